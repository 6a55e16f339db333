#!/usr/bin/env bats
# The completions, in the shells themselves.

load helper

setup() {
    test_setup
    COMPLETIONS=$BATS_TEST_DIRNAME/../../completions
    # Nobody's dotfiles, and a home to write history to.
    export HOME=$T XDG_CONFIG_HOME=$T XDG_DATA_HOME=$T TERM=xterm
}

# completes SHELL LINE: the line, as far as the shell completes it, and below it
# what the shell offers, each word with its description.
completes() {
    case $1 in
    fish)
        echo "$2" # as the others do
        fish -N -c "set fish_complete_path '$COMPLETIONS' \$fish_complete_path; complete -C \$argv[1]" -- "$2"
        ;;
    *) SHELL=$1 "$PYTHON" "$BATS_TEST_DIRNAME/complete.py" "$T/rc" "$2" ;;
    esac >offered
}

need_shell() {
    need_python
    need "$1"
    case $1 in
    # One key press lists, whatever there is.
    bash) cat >rc <<-END ;;
		. '$COMPLETIONS/procgroup.bash'
		bind 'set completion-query-items 0'
		bind 'set page-completions off'
		bind 'set show-all-if-ambiguous on'
		bind 'set enable-bracketed-paste off'
		END
    zsh) cat >rc <<-END ;;
		fpath=('$COMPLETIONS' \$fpath)
		autoload -Uz compinit
		compinit -u -D
		LISTMAX=0
		unsetopt list_ambiguous # all numbers may begin with the same digit
		END
    esac
}

# shows WORD [DESCRIPTION]: they are among what was offered.
shows() {
    grep -Eq -- "(^|[[:space:]])${1//./\\.}[[:space:]].*${2:-}" offered || {
        echo "not offered: $*"
        cat offered
        return 1
    } >&2
}

not_shown() {
    ! grep -F -- "$1" offered
}

# help_options PROGRAM: "-p" and "--pidfile", a line each.
help_options() {
    "$1" --help | sed -n 's/^  \(-.\), \(--[^ ]*\).*/\1\n\2/p' | sort
}

# offered_options: the same of what was offered.
offered_options() {
    tail -n +2 offered | grep -Eo -- '(^|[[:space:]])--?[A-Za-z0-9][-a-z0-9]*([[:space:]]|$)' |
        tr -d ' \t' | sort -u
}

options_agree() {
    need_shell "$1"
    for program in daemonize pidkill pgtree; do
        completes "$1" "$program -"
        diff <(help_options "$program") <(offered_options)
    done
}

descriptions() {
    need_shell "$1"
    completes "$1" "pidkill --"
    shows --status "[Ss]end nothing; tell whether it runs"
    completes "$1" "pgtree --"
    shows --json "[Oo]ne JSON document"
    completes "$1" "daemonize --"
    shows --pidfile "[Ww]rite its PID here"
}

# Two daemons, a pidfile of none, and a file that is no pidfile.
two_daemons() {
    daemonize -p run.pid sleep 1001
    daemonize -p rust.pid sleep 1002
    echo 4194304 >runless.pid
    : >rule
    run=$(<run.pid) rust=$(<rust.pid)
}

pidfiles() {
    need_shell "$1"
    two_daemons
    completes "$1" "pidkill ru"
    shows run.pid "group $run"
    shows rust.pid "group $rust"
    not_shown runless
    not_shown rule
    completes "$1" "pidkill -vt 5 $T/ru"
    shows "$T/run.pid" "group $run"
    not_shown runless
    pidkill run.pid rust.pid
}

# Where nothing runs, what there is of pidfiles.
stale_pidfiles() {
    need_shell "$1"
    echo 4194304 >stale.pid
    completes "$1" "pidkill sta"
    grep -q 'stale\.pid' offered
}

numbers() {
    need_shell "$1"
    two_daemons
    sid=$(stat_field "$run" 6)
    # At "run" alone: the shell inserts the number where there is but one.
    completes "$1" "pidkill -qg "
    shows "$run" "group of session $sid: sleep 1001"
    not_shown "$sid  "
    completes "$1" "pidkill --group "
    shows "$run" "sleep 1001"
    completes "$1" "pgtree "
    shows "$run" "group of session $sid: sleep 1001"
    shows "$sid" "session: sleep 1001"
    pidkill run.pid rust.pid
}

arguments() {
    need_shell "$1"
    completes "$1" "pgtree -C a"
    grep -q always offered
    grep -q auto offered
    completes "$1" "pidkill --signal HU"
    grep -q HUP offered
    completes "$1" "pgtree -o pid,pp"
    grep -q pid,ppid offered
    completes "$1" "daemonize -u $(id -un)"
    grep -q "$(id -un)" offered
    mkdir somewhere
    completes "$1" "daemonize --chdir some"
    grep -q somewhere/ offered
}

# The command is a command line of its own: not daemonize's options, but its.
commands() {
    need_shell "$1"
    printf '#!/bin/sh\n' >"$T/un-mistakable"
    chmod +x un-mistakable
    PATH=$T:$PATH
    completes "$1" "daemonize un-mis"
    grep -q un-mistakable offered
    completes "$1" "daemonize -vp x un-mis"
    grep -q un-mistakable offered
    completes "$1" "daemonize -p x -- un-mis"
    grep -q un-mistakable offered
    completes "$1" "daemonize -p x pgtree --asc"
    grep -q -- "--ascii" offered
    completes "$1" "daemonize -p x pgtree --pidf"
    not_shown --pidfile
    : >an-argument
    completes "$1" "daemonize un-mistakable an-arg"
    grep -q an-argument offered
}

@test "bash: options are those of --help" { options_agree bash; }
@test "bash: options have descriptions" { descriptions bash; }
@test "bash: pidkill completes running pidfiles" { pidfiles bash; }
@test "bash: pidkill completes stale pidfiles where none runs" { stale_pidfiles bash; }
@test "bash: pidkill -g and pgtree complete numbers and say what they are" { numbers bash; }
@test "bash: arguments of options" { arguments bash; }
@test "bash: daemonize completes commands and their arguments" { commands bash; }

@test "zsh: options are those of --help" { options_agree zsh; }
@test "zsh: options have descriptions" { descriptions zsh; }
@test "zsh: pidkill completes running pidfiles" { pidfiles zsh; }
@test "zsh: pidkill completes stale pidfiles where none runs" { stale_pidfiles zsh; }
@test "zsh: pidkill -g and pgtree complete numbers and say what they are" { numbers zsh; }
@test "zsh: arguments of options" { arguments zsh; }
@test "zsh: daemonize completes commands and their arguments" { commands zsh; }

@test "fish: options are those of --help" { options_agree fish; }
@test "fish: options have descriptions" { descriptions fish; }
@test "fish: pidkill completes running pidfiles" { pidfiles fish; }
@test "fish: pidkill completes stale pidfiles where none runs" { stale_pidfiles fish; }
@test "fish: pidkill -g and pgtree complete numbers and say what they are" { numbers fish; }
@test "fish: arguments of options" { arguments fish; }
@test "fish: daemonize completes commands and their arguments" { commands fish; }
