# shellcheck shell=bash
# bash completion for daemonize, pidkill and pgtree. Installed under the name
# of each, where bash-completion finds it; it works without that package too.
#
# Options and their descriptions are read from --help, so they are always
# those of the program that is there.

_procgroup() {
    local program=$1 name=${1##*/} cur=$2 words=()
    local help takes option='' operand=0 groups=''
    COMPREPLY=()
    help=$("$program" --help 2>/dev/null)
    # Those that take an argument: " -p --pidfile -l --lockfile ".
    takes=$(sed -n 's/^  \(-.\), \(--[^ ]*\) [A-Z].*/\1 \2/p' <<<"$help")
    takes=" ${takes//$'\n'/ } "
    _procgroup_words
    _procgroup_parse
    if [[ $option ]]; then
        _procgroup_argument "$name$option"
    elif ((operand == 0)); then
        _procgroup_offer < <(sed -n '
            s/^  \(-.\), \(--[^ ]*\)\( [A-Z][^ ]*\)\{0,1\}  *\(.*\)/\1\t\4\n\2\t\4/p' <<<"$help")
    elif [[ $name == daemonize ]]; then
        _procgroup_command
    elif [[ $groups || $name == pgtree && $cur == [0-9]* ]]; then
        _procgroup_offer < <(_procgroup_numbers "$name")
    elif [[ $name == pgtree ]]; then
        _procgroup_offer < <(_procgroup_numbers pgtree; _procgroup_pidfiles; _procgroup_names)
    else
        _procgroup_offer < <(_procgroup_pidfiles)
    fi
    # No daemon, no number: files then, if files are meant.
    if [[ ${#COMPREPLY[@]} -eq 0 && ! $option$groups && $operand -gt 0 && $name != daemonize ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -X '!*.pid' -- "$cur"; compgen -d -- "$cur")
    fi
}

# _procgroup_words: the words up to the cursor. Readline cuts --pidfile=x in
# three, which is one word here.
_procgroup_words() {
    local word
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if ((${#words[@]})) && [[ ${words[-1]} == --* && ($word == = || ${words[-1]} == *=) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
}

# _procgroup_parse: sets option, if its argument is at the cursor, else operand
# to where the first one is; neither, if an option is at the cursor.
_procgroup_parse() {
    local i j last=$((${#words[@]} - 1)) word
    for ((i = 1; i < last; i++)); do
        word=${words[i]}
        if [[ $option ]]; then
            option=
            continue
        fi
        case $word in
        --)
            operand=$((i + 1))
            return
            ;;
        --*=*) ;;
        --*)
            [[ $name$word == pidkill--group ]] && groups=yes
            [[ $takes == *" $word "* ]] && option=$word
            ;;
        -?*)
            for ((j = 1; j < ${#word}; j++)); do
                [[ $name${word:j:1} == pidkillg ]] && groups=yes
                [[ $takes == *" -${word:j:1} "* ]] || continue
                ((j < ${#word} - 1)) || option=-${word:j:1}
                break # the rest is its argument
            done
            ;;
        *)
            operand=$i
            return
            ;;
        esac
    done
    case ${words[last]} in
    --*=*)
        option=${words[last]%%=*}
        cur=${words[last]#*=}
        ;;
    -*) ;;
    *) [[ $option ]] || operand=$last ;;
    esac
}

# _procgroup_offer: reads lines "word<TAB>what it is", and offers the words
# that begin with what is typed. The description is shown beside them, unless
# the word is about to be inserted.
_procgroup_offer() {
    local word what matches=() width=0
    while IFS=$'\t' read -r word what; do
        [[ $word && $word == "$cur"* ]] || continue
        matches+=("$word"$'\t'"$what")
        ((${#word} > width)) && width=${#word}
    done
    if ((${#matches[@]} == 1)) || [[ ${COMP_TYPE:-9} == @(37|42) ]]; then
        for word in "${matches[@]}"; do
            printf -v word %q "${word%%$'\t'*}"
            COMPREPLY+=("${word//\\,/,}")
        done
        return
    fi
    for what in "${matches[@]}"; do
        printf -v word "%-${width}s  %s" "${what%%$'\t'*}" "${what#*$'\t'}"
        COMPREPLY+=("${word:0:${COLUMNS:-80}-2}")
    done
}

# _procgroup_argument PROGRAM-OPTION: what that option takes.
_procgroup_argument() {
    case $1 in
    daemonize-[poeil] | daemonize--pidfile | daemonize--lockfile | daemonize--std*)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        ;;
    daemonize-c | daemonize--chdir)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        ;;
    daemonize-u | daemonize--user | pgtree-u | pgtree--user)
        mapfile -t COMPREPLY < <(compgen -u -- "$cur")
        ;;
    daemonize-E | daemonize--env)
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -e -S = -- "$cur")
        ;;
    pidkill-s | pidkill--signal)
        mapfile -t COMPREPLY < <(compgen -W "$(compgen -A signal SIG | sed s/^SIG//)" -- "$cur")
        ;;
    pidkill-r | pidkill--retry)
        _procgroup_offer <<<$'TERM/10/KILL/5\tthe default\nTERM/60/KILL/5\tfor the slow\nKILL/5\tat once\nTERM/forever/KILL/1\tKILL until it is gone'
        ;;
    pgtree-C | pgtree--color)
        mapfile -t COMPREPLY < <(compgen -W "auto always never" -- "$cur")
        ;;
    pgtree-o | pgtree--format)
        local before=
        [[ $cur == *,* ]] && before=${cur%,*},
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -P "$before" -W "pid ppid pgid sid tty tpgid stat uid user time etime start lstart nlwp rss cgroup comm args tree" -- "${cur##*,}")
        ;;
    esac
}

# _procgroup_numbers PROGRAM: the sessions (for pgtree) and groups there are,
# and what they are. Those of 0 are of another PID namespace; 1 is init's.
_procgroup_numbers() {
    pgtree -nl -o sid,pgid,pid,args 2>/dev/null | awk -v sessions="$([[ $1 == pgtree ]] && echo yes)" '
        { what = $0; sub(/^ *[0-9]+ +[0-9]+ +[0-9]+ /, "", what) }
        sessions && $1 > 1 && (!($1 in sid) || $3 == $1) { sid[$1] = what }
        $2 > 1 && (!($2 in pgid) || $3 == $2) { pgid[$2] = what; session[$2] = $1 }
        END {
            for (n in sid) print n "\tsession: " sid[n]
            for (n in pgid) if (!(n in sid)) print n "\tgroup of session " session[n] ": " pgid[n]
        }' | sort -n
}

# _procgroup_names: the names that processes have, once something is typed.
_procgroup_names() {
    [[ ! $cur ]] || pgtree -nl -o comm 2>/dev/null | sort -u
}

# _procgroup_pidfiles: the pidfiles whose daemon runs, of the directory that is
# typed and of those where services keep them.
_procgroup_pidfiles() {
    local files
    mapfile -t files < <(
        compgen -f -X '!*.pid' -- "$cur"
        [[ $cur ]] || compgen -G '/run/*.pid'
        [[ $cur ]] || compgen -G '/run/*/*.pid'
    )
    if ((${#files[@]})); then
        pidkill -0 -- "${files[@]}" 2>/dev/null | sed 's/: running (\(.*\))$/\t\1/'
    fi
}

# _procgroup_command: daemonize's operands are a command line of their own,
# completed as if it stood alone.
_procgroup_command() {
    local spec offset
    if ((operand == ${#words[@]} - 1)); then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -c -- "$cur" | sort -u)
        return
    fi
    # Where the operand is among readline's words.
    offset=$((COMP_CWORD - ${#words[@]} + 1 + operand))
    if declare -F _command_offset >/dev/null; then # of bash-completion
        _command_offset "$offset"
        return
    fi
    compopt -o bashdefault -o default
    spec=$(complete -p -- "${words[operand]##*/}" 2>/dev/null)
    [[ $spec =~ \ -F\ ([^ ]+) ]] || return
    COMP_WORDS=("${COMP_WORDS[@]:offset}")
    COMP_CWORD=$((COMP_CWORD - offset))
    COMP_LINE=${COMP_WORDS[*]} COMP_POINT=${#COMP_LINE}
    "${BASH_REMATCH[1]}" "${COMP_WORDS[0]}" "$cur" "${COMP_WORDS[COMP_CWORD - 1]}"
}

complete -F _procgroup daemonize pidkill pgtree
