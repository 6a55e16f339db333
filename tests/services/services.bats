# What people run: the real services, from Debian's packages, each with data
# and ports of its own. As root, by make services.

load ../bats/helper

setup() {
    test_setup
    need_root
    chmod 755 .
}

# A service that has overwritten its environment does not carry the test's mark.
teardown() {
    pidkill -qTt 2 "$T"/*.pid 2>/dev/null || :
    test_teardown
}

# up PIDFILE: a service that was started as it should be, and only once.
up() {
    pid=$(<"$1")
    alive "$pid"
    [[ $(stat_field "$pid" 5) == "$pid" ]]
    run -1 daemonize -m 022 -p "$1" sleep 1000
    [[ $output == *"already running (pid $pid)" ]]
    run -0 pidkill -0 "$1"
}

# down PIDFILE [OPTION...]: it ends, and nothing of it is left.
down() {
    pid=$(<"$1")
    run -0 pidkill "${@:2}" "$1"
    [[ -z $output ]] || fail "$output"
    [[ ! -e $1 ]]
    group_gone "$pid"
    eventually 10 nothing_left
}

user_of() { ps -o user= -p "$1"; }

@test "redis: ready, as its user, with its data readable for itself alone" {
    need redis-server redis-cli
    p=$(port)
    mkdir -m 700 data
    chown redis: data
    daemonize -m 022 -n 60 -u redis -p redis.pid -o redis.log -c data \
        redis-server --port "$p" --bind 127.0.0.1 --supervised systemd --daemonize no --pidfile "$T/data/own.pid"
    up redis.pid
    [[ $(user_of "$pid") == redis && $(field "$pid" Umask) == 0022 ]]
    [[ $(redis-cli -p "$p" set key value) == OK ]]
    # Its own pidfile, which the mask decides about, is as good a word.
    [[ $(stat -c %a data/own.pid) == 644 ]]
    run -0 pidkill -0 data/own.pid
    down redis.pid
    not listens "$p"
    # It wrote its data at TERM, and has it again.
    daemonize -m 022 -n 60 -u redis -p redis.pid -o redis.log -c data redis-server --port "$p" --bind 127.0.0.1 --supervised systemd
    [[ $(redis-cli -p "$p" get key) == value ]]
    down redis.pid
}

@test "nginx: workers, a reload, a new log, a graceful stop" {
    need nginx
    p=$(port)
    cat >nginx.conf <<-END
		daemon off;
		user www-data;
		pid $T/own.pid;
		worker_processes 2;
		error_log $T/error.log;
		events {}
		http {
		    access_log $T/access.log;
		    server { listen 127.0.0.1:$p; location / { return 200 "one\n"; } }
		}
	END
    daemonize -m 022 -w 0.5 -p nginx.pid -o nginx.log nginx -c "$T/nginx.conf"
    up nginx.pid
    get() { (exec 9<>"/dev/tcp/127.0.0.1/$p" && printf 'GET / HTTP/1.0\r\n\r\n' >&9 && tail -n 1 <&9); }
    [[ $(get) == one ]]
    workers() { pgtree -no pid,args nginx.pid | grep -c "nginx: worker process$"; }
    eventually 10 eval '[[ $(workers) -eq 2 ]]'
    [[ $(user_of "$(pgtree -no pid,args nginx.pid | awk '/worker process$/ { print $1; exit }')") == www-data ]]
    sed -i s/one/two/ nginx.conf
    kill -HUP "$pid"
    eventually 10 eval '[[ $(get) == two ]]'
    mv access.log access.log.1
    kill -USR1 "$pid"
    eventually 10 test -e access.log
    down nginx.pid -r QUIT/30/TERM/5/KILL/5
    not listens "$p"
    [[ ! -e own.pid ]]
    # Left to detach itself it is lost to -w, which says where it is.
    sed -i '/^daemon off/d' nginx.conf
    run -3 daemonize -m 022 -w 10 -p nginx.pid -o nginx.log nginx -c "$T/nginx.conf"
    [[ ${lines[0]} == "daemonize: nginx.pid: stays, as it is locked by "*" (nginx, user root)"*": pidkill -T nginx.pid" ]]
    run -0 pidkill -T nginx.pid
    not listens "$p"
    [[ ! -e nginx.pid ]]
}

@test "unbound: changes its user itself, and its word that it is ready counts" {
    need unbound
    p=$(port)
    cat >unbound.conf <<-END
		server:
		    interface: 127.0.0.1@$p
		    port: $p
		    username: unbound
		    chroot: ""
		    directory: "$T"
		    pidfile: ""
		    use-syslog: no
		    do-daemonize: no
		    module-config: "iterator"
		    local-zone: "example." static
		    local-data: "here.example. A 192.0.2.7"
		remote-control:
		    control-enable: no
	END
    daemonize -m 022 -n 60 -p unbound.pid -o unbound.log unbound -d -p -c "$T/unbound.conf"
    up unbound.pid
    [[ $(user_of "$pid") == unbound ]]
    # A question for here.example, in hexadecimal; the answer ends with the address.
    # shellcheck disable=SC1003 # printf's backslashes
    [[ $(exec 9<>"/dev/udp/127.0.0.1/$p"
        printf '\0\7\1\0\0\1\0\0\0\0\0\0\4here\7example\0\0\1\0\1' >&9
        head -c 46 <&9 | tail -c 4 | od -An -tu1) == *" 192   0   2   7" ]]
    down unbound.pid
}

@test "cron: its jobs have sessions of their own, which -T ends" {
    need cron
    need_namespaces
    mkdir -p empty crontabs run
    printf '@reboot root sleep 1000\n' >tab
    chmod 600 tab
    cat >mounts <<-'END'
		set -e
		mount --bind "$T/tab" /etc/crontab
		mount --bind "$T/empty" /etc/cron.d
		mount --bind "$T/crontabs" /var/spool/cron/crontabs
		mount --bind "$T/run" /run
		exec daemonize -m 022 -w 0.2 -p "$T/cron.pid" cron -f
	END
    touch /etc/crontab
    T=$T unshare -m sh mounts
    up cron.pid
    # cron, its child for the job, a shell, and the job.
    job() { job=$(pgrep -P "$(pgrep -P "$(pgrep -P "$pid")")") && track "$job"; }
    eventually 20 job
    [[ $(stat_field "$job" 6) != "$(stat_field "$pid" 6)" && $(field "$job" Umask) == 0022 ]]
    down cron.pid -T
}

@test "postgres: backends in sessions of their own, INT for a fast end" {
    need psql
    bin=$(dirname "$(find /usr/lib/postgresql -name initdb | sort -V | tail -n 1)")
    [[ -x $bin/initdb ]] || skip "needs initdb"
    mkdir -m 700 data
    chown postgres: data
    run -0 setpriv --reuid=postgres --regid=postgres --init-groups "$bin/initdb" -D "$T/data" -A trust --no-sync
    daemonize -m 022 -n 60 -u postgres -p pg.pid -o pg.log -c data \
        "$bin/postgres" -D "$T/data" -k "$T/data" -c listen_addresses=
    up pg.pid
    query() { psql -h "$T/data" -U postgres -Atc "$1"; }
    [[ $(query 'select 6 * 7') == 42 ]]
    # Its own pidfile has the number in the first of its lines.
    [[ $(head -n 1 data/postmaster.pid) == "$pid" ]]
    run -4 pidkill data/postmaster.pid
    query 'select pg_sleep(1000)' >client 2>&1 3>&- &
    eventually 10 pgrep -P "$pid" -f SELECT
    down pg.pid -r INT/60/QUIT/5/KILL/5
    not wait $!
}
