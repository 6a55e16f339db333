# fish completion for pgtree

# The sessions and groups there are, and what they are; pidfiles; and names,
# once one is begun. 0 stands for one of another PID namespace; 1 is init's.
function __procgroup_pgtree_targets
    pgtree -nl -o sid,pgid,pid,args 2>/dev/null | awk '
        { what = $0; sub(/^ *[0-9]+ +[0-9]+ +[0-9]+ /, "", what) }
        $1 > 1 && (!($1 in sid) || $3 == $1) { sid[$1] = what }
        $2 > 1 && (!($2 in pgid) || $3 == $2) { pgid[$2] = what; session[$2] = $1 }
        END {
            for (n in sid) print n "\tsession: " sid[n]
            for (n in pgid) if (!(n in sid)) print n "\tgroup of session " session[n] ": " pgid[n]
        }'
    test -n (commandline -ct)
    and pgtree -nl -o comm 2>/dev/null | sort -u
    __fish_complete_suffix .pid
end

function __procgroup_pgtree_columns
    set -l before (string match -r '^.*,' -- (commandline -ct))
    printf "$before%s\n" pid ppid pgid sid tty tpgid stat uid user time etime start lstart nlwp rss cgroup comm args tree
end

complete -c pgtree -f -a '(__procgroup_pgtree_targets)'
complete -c pgtree -s o -l format -x -a '(__procgroup_pgtree_columns)' -d 'Columns'
complete -c pgtree -s s -l short -d 'The tree alone, name(pid)'
complete -c pgtree -s p -l parents -d 'By descent alone; a target with its ancestors'
complete -c pgtree -s J -l json -d 'One JSON document'
complete -c pgtree -s t -l threads -d 'Threads too'
complete -c pgtree -s k -l kernel -d 'Kernel threads too'
complete -c pgtree -s u -l user -x -a '(__fish_complete_users)' -d 'Only these users\' processes'
complete -c pgtree -s n -l no-heading -d 'Rows alone, for scripts'
complete -c pgtree -s l -l long -d 'Do not cut lines at the terminal\'s width'
complete -c pgtree -s A -l ascii -d 'Draw the tree in ASCII'
complete -c pgtree -s U -l utf8 -d 'Draw the tree in UTF-8'
complete -c pgtree -s C -l color -x -a 'auto always never' -d 'Use colour'
complete -c pgtree -s h -l help -d 'Print usage'
complete -c pgtree -s V -l version -d 'Print the version'
