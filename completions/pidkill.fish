# fish completion for pidkill

# The pidfiles whose daemon runs, of the directory that is typed and of those
# where services keep them, and their groups; else any pidfile.
function __procgroup_pidkill_pidfiles
    set -l word (commandline -ct)
    set -l files $word*
    test -n "$word"
    or set -a files /run/*.pid /run/*/*.pid
    set files (string match '*.pid' -- $files)
    set -l running
    set -q files[1]
    and set running (pidkill -0 -- $files 2>/dev/null | string replace -r ': running \((.*)\)$' '\t$1')
    set -q running[1]
    and string join \n -- $running
    or __fish_complete_suffix .pid
end

# The groups there are, and what they are. 0 stands for one of another PID
# namespace; 1 is init's.
function __procgroup_pidkill_groups
    pgtree -n -o pgid,sid,pid,args 2>/dev/null | awk '
        { what = $0; sub(/^ *[0-9]+ +[0-9]+ +[0-9]+ /, "", what) }
        $1 > 1 && (!($1 in pgid) || $3 == $1) { pgid[$1] = what; sid[$1] = $2 }
        END { for (n in pgid) print n "\tgroup of session " sid[n] ": " pgid[n] }'
end

function __procgroup_pidkill_by_group
    set -l argv (commandline -opc)[2..]
    argparse t/timeout= r/retry= 9/kill s/signal= g/group S/session T/tree L/leader a/all 0/status m/must-run \
        n/dry-run f/force v/verbose q/quiet h/help V/version -- $argv 2>/dev/null
    set -q _flag_group
end

complete -c pidkill -f
complete -c pidkill -n 'not __procgroup_pidkill_by_group' -a '(__procgroup_pidkill_pidfiles)'
complete -c pidkill -n __procgroup_pidkill_by_group -a '(__procgroup_pidkill_groups)'
complete -c pidkill -s t -l timeout -x -d 'How long to wait after TERM before KILL'
complete -c pidkill -s r -l retry -x -a 'TERM/10/KILL/5 TERM/60/KILL/5 KILL/5 TERM/forever/KILL/1' -d 'Signals and waits'
complete -c pidkill -s 9 -l kill -d 'The same as -r KILL/5'
complete -c pidkill -s s -l signal -x -a '(kill -l | string split -n " ")' -d 'Send this signal once, and do nothing else'
complete -c pidkill -s a -l all -d 'With -s: to every process of the group'
complete -c pidkill -s g -l group -d 'Operands are process group IDs'
complete -c pidkill -s S -l session -d 'The whole session'
complete -c pidkill -s T -l tree -d 'The group, and all descendants that left it'
complete -c pidkill -s L -l leader -d "The daemon's process alone"
complete -c pidkill -s 0 -l status -d 'Send nothing; tell whether it runs'
complete -c pidkill -s m -l must-run -d 'Not running is status 1'
complete -c pidkill -s n -l dry-run -d 'Say who would get which signal'
complete -c pidkill -s f -l force -d 'Skip the identity and ownership checks'
complete -c pidkill -s v -l verbose -d 'Say what is done'
complete -c pidkill -s q -l quiet -d 'Say nothing but errors'
complete -c pidkill -s h -l help -d 'Print usage'
complete -c pidkill -s V -l version -d 'Print the version'
