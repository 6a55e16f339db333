#!/usr/bin/env bats
# daemonize: options and usage, finding and executing the command, its streams.

# shellcheck disable=SC2154,SC2016 # stderr is bats's; scripts in quotes
load helper

# fails STATUS TEXT ARGUMENT...: one line on standard error, no pidfile, no
# process; a usage error adds the usage line.
fails() {
    run --separate-stderr "-$1" timeout 20 daemonize "${@:3}"
    [[ -z $output ]] || fail "output: $output"
    [[ $stderr == "daemonize: "*"$2"* ]] || fail "$stderr"
    if (($1 == 2)); then
        [[ $stderr == *$'\nusage: daemonize '* ]] || fail "$stderr"
    else
        [[ $stderr != *$'\n'* ]] || fail "$stderr"
    fi
    [[ ! -e app.pid ]] || fail "pidfile left"
    eventually 10 nothing_left
}

# end: ends the daemon. It is quicker than end_all, which looks for others.
end() {
    kill -KILL "$pid"
    eventually 20 not alive "$pid"
}

@test "help and version" {
    run --separate-stderr -0 daemonize --help
    [[ ${lines[0]} == "usage: daemonize [options] [--] command [argument ...]" && -z $stderr ]]
    run --separate-stderr -0 daemonize -V
    [[ $output == "daemonize (procgroup) "[0-9]* && -z $stderr ]]
}

@test "a usage error is status 2, says what is wrong, and nothing is done" {
    fails 2 "which command?"
    fails 2 "which command?" -p app.pid
    fails 2 "-x: unknown option" -x sleep 1000
    fails 2 "--pid: unknown option" --pid=app.pid sleep 1000
    fails 2 "-p: needs an argument" -p
    fails 2 "-w: " -w soon sleep 1000
    fails 2 "-m: 8: expected" -m 8 sleep 1000
    fails 2 "-m: 1000: expected" -m 1000 sleep 1000
    fails 2 "-k: x: expected" -k x sleep 1000
    fails 2 "-E: A: expected" -E A sleep 1000
    fails 2 "-t and -a" -t -a -o log sleep 1000
    fails 2 "-t: there is no" -t sleep 1000
    fails 2 "-w and -n" -w 1 -n 1 sleep 1000
    fails 2 "-v and -q" -vq sleep 1000
    fails 2 "-f leaves nobody" -f -w 1 sleep 1000
    [[ ! -e app.pid && ! -e log ]]
    fails 2 "-u: an empty user name" -u "" sleep 1000
}

@test "options as POSIX has them, and as long names" {
    daemonize -vpapp.pid -w0.02 -- sleep 1000 2>/dev/null
    pid=$(<app.pid)
    end
    daemonize --pidfile=app.pid --wait 0.02 --quiet sleep 1000
    pid=$(<app.pid)
    end
    # They end at the command: its own are its own.
    daemonize -p app.pid -o out -c . echo -p x -- -v
    eventually 20 grep -qxe '-p x -- -v' out
}

@test "the command lines of the C program run unchanged" {
    run --separate-stderr -0 daemonize -a -c "$T" -e err -o out -p app.pid -l lock -u "$(id -un)" -E A=b -v \
        /bin/sh -c 'echo $A; pwd; echo wrong >&2; exec sleep 1000'
    eventually 20 grep -q wrong err
    [[ $(<out) == $'b\n'"$T" ]]
    pid=$(<app.pid)
    end
}

@test "not found is 127" {
    fails 127 "missing: command not found: no such file or directory" -p app.pid missing
    fails 127 "./missing: command not found" -p app.pid ./missing
    fails 127 "/missing/at/all: command not found" -p app.pid /missing/at/all
    fails 127 '"": command not found' -p app.pid ""
    fails 127 "-x: command not found" -p app.pid -- -x
    fails 127 "missing: command not found" -f -p app.pid missing
    [[ $stderr != *sh* ]]
    for line in "sleep 1000" A=b "sleep 1000 | cat"; do
        fails 127 "$line: command not found: no such file or directory (a shell's syntax? sh -c '...')" -p app.pid "$line"
    done
    : >file
    fails 127 "file/x: command not found: not a directory" -p app.pid file/x
}

@test "found and not executable is 126, with the errno's text" {
    echo 'echo hello' >plain
    mkdir dir
    printf '#!/nonexistent\n' >interpreter
    printf '#! /bin/sh\r\necho\r\n' >dos
    printf '\x7fELF garbage' >elf
    printf 'MZ\0\0 garbage' >binary
    chmod +x interpreter dos elf binary
    for option in "-w 0.02" "-f" ""; do
        # shellcheck disable=SC2086
        {
            fails 126 "./plain: cannot execute: permission denied" $option -p app.pid ./plain
            fails 126 "dir: cannot execute: is a directory" $option -p app.pid ./dir
            fails 126 "interpreter /nonexistent is missing: no such file or directory" $option -p app.pid ./interpreter
            fails 126 "interpreter /bin/sh\r is missing: no such file or directory" $option -p app.pid ./dos
            fails 126 "cannot execute: exec format error" $option -p app.pid ./elf
            fails 126 "cannot execute: exec format error" $option -p app.pid -o log ./binary
        }
    done
    PATH=$T:$PATH fails 126 "plain: cannot execute: permission denied" -p app.pid plain
    cp /bin/sleep busy
    exec 8<>busy
    fails 126 "cannot execute: text file busy" -p app.pid ./busy 1000
    exec 8>&-
}

@test "a noexec file system is 126" {
    need_root
    need_namespaces
    mkdir disk
    run -126 unshare -m sh -c 'mount -t tmpfs -o noexec none disk && cp /bin/sleep disk && daemonize -p app.pid disk/sleep 1000'
    [[ $output == "daemonize: "*"disk/sleep: cannot execute: permission denied" && ! -e app.pid ]]
}

@test "too many arguments is 126" {
    # The command is given by a longer path than daemonize was.
    deep=$(printf 'x%.0s' {1..200})
    mkdir -p "$deep/$deep/$deep/$deep/$deep/$deep"
    cd "$deep/$deep/$deep/$deep/$deep/$deep"
    cp /bin/sleep sleep
    # 128 KiB is the least that the kernel grants, and a stack of 512 KiB its bound.
    fits() {
        env -i "PROCGROUP_TEST=$T" prlimit --stack=524288 \
            "$BIN/daemonize" -p "$T/app.pid" "$1" 1000 "$(printf "%0$2d" 0)" 2>err
    }
    low=90000 high=131072
    while ((high - low > 16)); do # the longest argument that /bin/sleep can get
        middle=$(((low + high) / 2))
        status=0
        fits /bin/sleep "$middle" || status=$?
        if ((status == 0)); then low=$middle; else high=$middle; fi
        (cd "$T" && end_all)
    done
    status=0
    fits ./sleep "$low" || status=$?
    cp err "$T"
    cd "$T"
    end_all
    [[ $status -eq 126 && $(<err) == *"argument list too long" ]]
}

@test "what execvp would run runs: a script without #!, PATH past what cannot run" {
    printf 'echo "ran $1" >>"%s/out"\n' "$T" >script
    chmod +x script
    daemonize ./script by-path
    eventually 20 grep -qx "ran by-path" out
    PATH=$T:$PATH daemonize script by-name
    eventually 20 grep -qx "ran by-name" out
    : >empty
    chmod +x empty
    daemonize ./empty
    mkdir first
    printf '#!/nonexistent\n' >first/script
    chmod +x first/script
    PATH=$T/first:$T:$PATH daemonize script past-it
    eventually 20 grep -qx "ran past-it" out
    PATH=:$PATH daemonize script here # an empty part is the current directory
    eventually 20 grep -qx "ran here" out
    mkdir sub
    daemonize -c sub ./script from-sub # relative to the caller's
    eventually 20 grep -qx "ran from-sub" out
}

@test "EAGAIN, ENOMEM and EMFILE at the fork are 125, and leave no pidfile" {
    need strace
    # Threads come by clone(2) too, and their number varies; Go's runtime cannot
    # go on without one, and ends with status 2.
    for error in EAGAIN ENOMEM; do
        for nth in {1..6}; do
            run strace -f -b execve -o trace -e "inject=clone,clone3,fork,vfork:error=$error:when=$nth+" \
                daemonize -p app.pid sleep 1000
            case $status in
                0) eventually 10 executed "$(<app.pid)" sleep ;;
                125) [[ $output == *"cannot start a process: "* && ! -e app.pid ]] ;;
                2) [[ ! -s app.pid ]] ;;
                *) fail "$status $output" ;;
            esac
            end_all
            rm -f app.pid
        done
    done
    run -125 strace -f -b execve -o trace -e inject=pipe2:error=EMFILE daemonize -p app.pid sleep 1000
    [[ $output == "daemonize: cannot start a process: too many open files" && ! -e app.pid ]]
}

@test "a process limit: it runs, or nothing is left" {
    need_root
    need setpriv prlimit
    chmod 777 .
    for limit in {1..10}; do
        # A user of its own, so that nobody else's processes count.
        run -- setpriv --reuid=54321 --regid=54321 --clear-groups prlimit --nproc="$limit" \
            daemonize -p app.pid sleep 1000
        case $status in
            0) eventually 10 executed "$(<app.pid)" sleep ;;
            *) [[ ! -s app.pid ]] ;; # 2: Go's runtime could not start at all
        esac
        end_all
        rm -f app.pid
    done
}

@test "output: appended, emptied by -t alone, errors where output goes" {
    echo before >log
    daemonize -c . -o log sh -c 'echo out; echo err >&2; touch ran'
    eventually 20 test -e ran
    [[ $(<log) == $'before\nout\nerr' ]]
    rm ran
    daemonize -c . -t -o log -e err sh -c 'echo out; echo err >&2; touch ran'
    eventually 20 test -e ran
    [[ $(<log) == out && $(<err) == err ]]
    rm ran
    daemonize -c . -e err sh -c 'echo out; echo err >&2; touch ran'
    eventually 20 test -e ran
    [[ $(<err) == $'err\nerr' && $(<log) == out ]]
    echo line >in
    daemonize -i in -o copy cat
    eventually 20 grep -qx line copy
}

@test "-t empties nothing unless all else is well" {
    echo precious >log
    for bad in "-c /missing" "-i /missing" "-p missing/app.pid" "-e /dev/full" "-k 99" "-u no-such-user"; do
        # shellcheck disable=SC2086
        fails 125 "" -t -o log $bad sleep 1000
    done
    fails 127 "" -t -o log missing
    fails 126 "" -t -o log /etc/passwd
    [[ $(<log) == precious ]]
}

@test "-o and -e naming one file by alias, symbolic or hard link share one description" {
    mkdir sub
    : >log
    ln -s log soft
    ln log hard
    for alias in log ./log sub/../log "$T/log" soft hard; do
        daemonize -p app.pid -t -o log -e "$alias" sleep 1000
        pid=$(<app.pid)
        kcmp "$pid"
        end
    done
    daemonize -p app.pid -o new -e ./new sleep 1000
    pid=$(<app.pid)
    kcmp "$pid"
    end
}

# kcmp PID: its descriptors 1 and 2 are of one description, as seen by its
# offset: a new description of an appended file starts at 0.
kcmp() {
    need_python
    "$PYTHON" - "$1" <<'END' && return
import ctypes, os, platform, sys
number = {"x86_64": 312, "aarch64": 272}.get(platform.machine(), -1)
pid = int(sys.argv[1])
order = ctypes.CDLL(None).syscall(number, pid, pid, 0, 1, 2)  # KCMP_FILE
sys.exit(77 if order < 0 else order)
END
    case $? in
    77) skip "needs kcmp(2), CONFIG_KCMP" ;;
    *) return 1 ;;
    esac
}

@test "/dev/full, a directory, a FIFO without a reader, no permission: 125 before anything is detached" {
    mkdir dir
    mkfifo fifo
    for option in -o -e; do
        fails 125 "/dev/full: no space left on device" $option /dev/full -p app.pid sleep 1000
        fails 125 "dir: is a directory" $option dir -p app.pid sleep 1000
        fails 125 "fifo: nobody reads" $option fifo -p app.pid sleep 1000
        fails 125 "missing/log: no such file or directory" $option missing/log -p app.pid sleep 1000
    done
    fails 125 "dir: is a directory" -i dir -p app.pid sleep 1000
    fails 125 "none: no such file" -i none -p app.pid sleep 1000
    fails 125 "/missing: no such file" -c /missing -p app.pid sleep 1000
    fails 125 "/etc/passwd: not a directory" -c /etc/passwd -p app.pid sleep 1000
    timeout 20 daemonize -i fifo -p app.pid sleep 1000 # no writer: no hang
    pid=$(<app.pid)
    end
    rm app.pid
    ((EUID)) || return 0
    : >log
    chmod 444 log
    fails 125 "log: permission denied" -o log -p app.pid sleep 1000
}

@test "/dev/stdout is the caller's; a loop of links and / are no files" {
    daemonize -o /dev/stdout -p app.pid sh -c 'echo hello; exec sleep 1000' >out
    pid=$(<app.pid)
    eventually 10 grep -qx hello out
    end
    rm app.pid
    ln -s b a
    ln -s a b
    for file in / a/log; do
        fails 125 "$file" -o "$file" sleep 1000
        fails 125 "$file" -p "$file" sleep 1000
    done
}

@test "a FIFO with a reader is written to, blocking" {
    mkfifo fifo
    cat fifo >copy &
    reader=$!
    exec 8<>fifo # so that the open below finds a reader
    daemonize -p app.pid -o fifo sh -c 'echo hello; exec sleep 1000'
    pid=$(<app.pid)
    eventually 20 grep -q hello copy
    not grep -q '^flags:.*04...$' "/proc/$pid/fdinfo/1" # O_NONBLOCK
    exec 8>&-
    end
    wait $reader
}

@test "a closed or full standard error changes no status" {
    need_python
    closed() { "$PYTHON" -c '
import os, signal, subprocess, sys
r, w = os.pipe()
os.close(r)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.exit(subprocess.call(sys.argv[1:], stdout=w, stderr=w, restore_signals=True))' "$@"; }
    closed daemonize -v -p app.pid sleep 1000
    run -1 closed daemonize -p app.pid sleep 1000
    run -2 closed daemonize -x
    run -127 closed daemonize missing
    run -0 closed daemonize -h
    run -3 closed daemonize -w 5 -v false
    run -1 sh -c 'daemonize -p app.pid sleep 1000 2>/dev/full'
    run -1 sh -c 'daemonize -p app.pid sleep 1000 2>&- >&-'
    end_all
}

@test "-f becomes the command: same process, session and terminal, and its status" {
    run --separate-stderr -7 daemonize -f -p app.pid sh -c 'echo out; echo err >&2; exit 7'
    [[ $output == out && $stderr == err ]]
    run -143 daemonize -f sh -c 'kill $$'
    daemonize -f -p app.pid -c / sleep 1000 &
    job=$!
    eventually 20 is_named "$job" sleep
    [[ $(<app.pid) == "$job" && $(readlink "/proc/$job/cwd") == / ]]
    [[ $(stat_field "$job" 6) == "$(stat_field $BASHPID 6)" ]]
    [[ $(fds "$job") =~ ^0\ 1\ 2\ (5[0-9]|6[0-3])$ ]]
    run -1 daemonize -p app.pid sleep 1000
    kill "$job"
    wait "$job" || :
    # A failed exec speaks to the caller, not to the log.
    rm app.pid
    fails 126 "cannot execute: permission denied" -f -o log -e log -p app.pid /etc/passwd
    printf '#!/nonexistent\n' >bad
    chmod +x bad
    fails 126 "interpreter /nonexistent is missing" -f -o log -e log -p app.pid ./bad
    [[ ! -s log ]]
}
