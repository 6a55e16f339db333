# Where daemonize is started from: the real programs, from Debian's packages.
# Every daemon must come out the same. As root, by make contexts.

load ../bats/helper

# started PIDFILE: what every daemon must be like, whoever started it. Then it
# is ended.
started() {
    local pid
    eventually 20 test -s "$1"
    pid=$(<"$1")
    track "$pid"
    eventually 20 alive "$pid"
    [[ $(stat_field "$pid" 5) == "$pid" ]]  # leads its group
    [[ $(stat_field "$pid" 6) != "$pid" ]]  # and not its session
    [[ $(stat_field "$pid" 7) == 0 ]]       # no terminal
    [[ $(fds "$pid") == "0 1 2 50" ]]
    [[ $(readlink "/proc/$pid/cwd") == / ]]
    [[ $(field "$pid" SigIgn) =~ ^0+$ ]]
    [[ $(field "$pid" SigBlk) =~ ^0+$ ]]
    pidkill "$1"
    [[ ! -e $1 ]]
    eventually 20 not alive "$pid"
}

# background COMMAND...: a server of the test's own, ended by its teardown.
background() {
    "$@" >"$T/server.log" 2>&1 3>&- &
    server=$!
    track "$server"
}

teardown() {
    [[ -z ${server:-} ]] || kill "$server" || :
    [[ ! -S $T/tmux ]] || tmux -S "$T/tmux" kill-server || :
    test_teardown
}

@test "ssh host daemonize ... returns at once, and the daemon stays" {
    need_root
    need sshd ssh ssh-keygen
    local p
    p=$(port)
    mkdir -p /run/sshd
    ssh-keygen -qt ed25519 -N '' -f host
    ssh-keygen -qt ed25519 -N '' -f key
    cat >sshd_config <<-END
	ListenAddress 127.0.0.1:$p
	HostKey $T/host
	AuthorizedKeysFile $T/key.pub
	StrictModes no
	PermitRootLogin yes
	UsePAM no
	PidFile none
	END
    background "$(command -v sshd)" -D -e -f "$T/sshd_config"
    eventually 20 listens "$p"
    remote=(timeout 10 ssh -i key -p "$p" -o BatchMode=yes -o StrictHostKeyChecking=no
        -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@127.0.0.1)

    run "${remote[@]}" "$BIN/daemonize -p $T/a.pid -o $T/a.log sleep 1000; echo status \$?"
    [[ $status == 0 && $output == "status 0" ]]
    started a.pid
    # With a terminal, which goes away with the connection.
    run "${remote[@]}" -tt "$BIN/daemonize -p $T/b.pid sleep 1000; echo status \$?"
    [[ $output == *"status 0"* ]]
    started b.pid
}

@test "from a crontab" {
    need_root
    need cron
    need_namespaces
    mkdir -p empty crontabs
    cat >tab <<-END
	* * * * * root $BIN/daemonize -p $T/a.pid -o $T/a.log sleep 1000 || :
	END
    chmod 600 tab
    # Its own tables only, and none of the machine's.
    cat >mounts <<-'END'
	set -e
	mount --bind "$1/tab" /etc/crontab
	mount --bind "$1/empty" /etc/cron.d
	mount --bind "$1/crontabs" /var/spool/cron/crontabs
	mount -t tmpfs none /run
	exec cron -f
	END
    touch /etc/crontab
    background unshare -m sh "$T/mounts" "$T"
    eventually 75 test -s a.pid
    started a.pid
}

@test "from inetd: the connection is closed at once" {
    need_root
    need inetd
    local p
    p=$(port)
    echo "127.0.0.1:$p stream tcp nowait root $BIN/daemonize daemonize -p $T/a.pid sleep 1000" >inetd.conf
    background "$(command -v inetd)" -i "$T/inetd.conf"
    eventually 20 listens "$p"
    run timeout 10 bash -c "exec 9<>/dev/tcp/127.0.0.1/$p; cat <&9"
    [[ $status == 0 && -z $output ]]
    started a.pid
}

@test "from at, and from batch" {
    need_root
    need at atd
    background "$(command -v atd)" -f -l 100
    echo "$BIN/daemonize -p $T/a.pid sleep 1000" | at now
    eventually 15 test -s a.pid
    started a.pid
    echo "$BIN/daemonize -p $T/b.pid sleep 1000" | batch
    # atd looks for batch jobs when it is told that there is one.
    eventually 75 test -s b.pid
    started b.pid
}

@test "under nohup, setsid and su" {
    nohup daemonize -p "$T/a.pid" sleep 1000 >nohup.log 2>&1
    started a.pid
    setsid -w daemonize -p "$T/b.pid" sleep 1000
    started b.pid
    need_root
    mkdir theirs
    chown "$TEST_USER" theirs
    cp "$BIN/daemonize" theirs # only root may be able to enter the checkout
    su -s /bin/sh "$TEST_USER" -c "$T/theirs/daemonize -p $T/theirs/c.pid sleep 1000"
    started theirs/c.pid
}

@test "in tmux, whose server then ends" {
    need tmux
    tmux -S "$T/tmux" -f /dev/null new-session -d \
        "daemonize -p $T/a.pid sleep 1000; touch $T/through; exec sleep 1000"
    eventually 10 test -e through
    tmux -S "$T/tmux" kill-server
    started a.pid
}

@test "as a child of a container's init" {
    need_root
    need_namespaces
    # Nobody reaps there: gone has to mean no more than zombies.
    cat >init <<-'END'
	daemonize -p "$1/a.pid" sleep 1000 || exit 1
	pid=$(cat "$1/a.pid")
	read -r _ _ _ parent pgid sid tty _ <"/proc/$pid/stat"
	echo "$((pgid == pid)) $((sid != pid)) $tty $parent"
	pidkill -0 "$1/a.pid" && pidkill "$1/a.pid"
	END
    run unshare -pf --mount-proc sh "$T/init" "$T"
    [[ $status == 0 && ${lines[0]} == "1 1 0 1" && ! -e a.pid ]]
}

@test "from the interactive shells of busybox, zsh and fish" {
    local shell found=0
    need_python
    for shell in "busybox ash -i" "zsh -f -i" "fish --no-config -i"; do
        command -v "${shell%% *}" >/dev/null || continue
        found=$((found + 1))
        # A job of its own, so that daemonize leads a process group.
        # shellcheck disable=SC2086 # a list of words
        HOME=$T "$PYTHON" - $shell <<-END
		import os, pty, select, sys, time
		pid, fd = pty.fork()
		if pid == 0:
		    os.execvp(sys.argv[1], sys.argv[1:])
		os.write(fd, b"daemonize -p $T/$found.pid sleep 1000; echo st''atus done\n")
		deadline, seen = time.time() + 20, b""
		while b"status done" not in seen and time.time() < deadline:
		    if select.select([fd], [], [], 0.1)[0]:
		        seen += os.read(fd, 4096)
		assert b"status done" in seen, seen
		os.close(fd)
		os.waitpid(pid, 0)
		END
        started "$found.pid"
    done
    ((found > 0)) || skip "needs busybox, zsh or fish"
}
