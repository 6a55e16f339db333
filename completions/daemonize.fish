# fish completion for daemonize

# The words of the command, up to the cursor; status 1 where it has not begun.
function __procgroup_daemonize_words
    set -l argv (commandline -opc)[2..]
    argparse -s p/pidfile= l/lockfile= o/stdout= e/stderr= i/stdin= t/truncate a/append c/chdir= m/umask= u/user= \
        E/env=+ k/keep-fd=+ w/wait= n/ready= f/foreground s/supervise r/respawn R/limit= v/verbose q/quiet h/help V/version \
        -- $argv 2>/dev/null
    or return
    string join \n -- $argv
    set -q argv[1]
end

function __procgroup_daemonize_options
    not __procgroup_daemonize_words >/dev/null
end

# The command and its arguments are completed as if they stood alone.
function __procgroup_daemonize_command
    set -l line (string escape -- (__procgroup_daemonize_words)) (commandline -ct)
    complete --do-complete="$line"
end

function __procgroup_daemonize_user
    set -l user (string match -r '^[^:]*:' -- (commandline -ct))
    if set -q user[1]
        printf '%s\n' $user(__fish_complete_groups)
    else
        __fish_complete_users
    end
end

complete -c daemonize -f -a '(__procgroup_daemonize_command)'
complete -c daemonize -n __procgroup_daemonize_options -s p -l pidfile -r -F -d 'Write its PID here, locked while it lives'
complete -c daemonize -n __procgroup_daemonize_options -s l -l lockfile -r -F -d 'Single instance by this lock alone'
complete -c daemonize -n __procgroup_daemonize_options -s o -l stdout -r -F -d 'Standard output, a file or "|command"'
complete -c daemonize -n __procgroup_daemonize_options -s e -l stderr -r -F -d 'Standard error'
complete -c daemonize -n __procgroup_daemonize_options -s i -l stdin -r -F -d 'Standard input'
complete -c daemonize -n __procgroup_daemonize_options -s t -l truncate -d 'Empty the -o and -e files first'
complete -c daemonize -n __procgroup_daemonize_options -s a -l append -d 'Append to them (the default)'
complete -c daemonize -n __procgroup_daemonize_options -s c -l chdir -x -a '(__fish_complete_directories (commandline -ct))' -d 'Working directory'
complete -c daemonize -n __procgroup_daemonize_options -s m -l umask -x -a '000 002 022 027 077' -d 'File creation mask, octal'
complete -c daemonize -n __procgroup_daemonize_options -s u -l user -x -a '(__procgroup_daemonize_user)' -d 'Run as this user'
complete -c daemonize -n __procgroup_daemonize_options -s E -l env -x -a '(set -nx)=' -d 'Add to the environment'
complete -c daemonize -n __procgroup_daemonize_options -s k -l keep-fd -x -d 'Leave this descriptor open'
complete -c daemonize -n __procgroup_daemonize_options -s w -l wait -x -d 'Return after this time, if it still runs then'
complete -c daemonize -n __procgroup_daemonize_options -s n -l ready -x -d 'Return when it says READY=1, at most after this time'
complete -c daemonize -n __procgroup_daemonize_options -s f -l foreground -d 'Do not detach: become the command'
complete -c daemonize -n __procgroup_daemonize_options -s s -l supervise -d 'Stay as its parent until it ends, remove the pidfile'
complete -c daemonize -n __procgroup_daemonize_options -s r -l respawn -d 'With -s: start it again when it fails'
complete -c daemonize -n __procgroup_daemonize_options -s R -l limit -x -d 'With -r: give up after so many failures in a row'
complete -c daemonize -n __procgroup_daemonize_options -s v -l verbose -d 'Say what is done'
complete -c daemonize -n __procgroup_daemonize_options -s q -l quiet -d 'Say nothing but errors'
complete -c daemonize -n __procgroup_daemonize_options -s h -l help -d 'Print usage'
complete -c daemonize -n __procgroup_daemonize_options -s V -l version -d 'Print the version'
