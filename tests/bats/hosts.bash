# hosts DIR COMMAND... - runs the command where web1, web2 and web3 are machines
# that ssh reaches: sshd in a PID, mount, host name and network namespace each,
# their homes in DIR. web4 is down. Everything goes with the command.

set -euo pipefail

if [[ $1 != inside ]]; then
    exec unshare --net --mount --pid --fork --kill-child --mount-proc bash "$0" inside "$@"
fi
dir=$2
shift 2
cd "$dir"

ssh-keygen -q -t ed25519 -N '' -f key
mount -t tmpfs none /run # for sshd, and not the machine's
mkdir /run/sshd
cat >sshd_config <<END
HostKey $dir/key
AuthorizedKeysFile $dir/key.pub
PidFile none
UsePAM no
PermitRootLogin yes
StrictModes no
SetEnv PATH=$BIN:/usr/bin:/bin PROCGROUP_TEST=$PROCGROUP_TEST
END
cat >ssh_config <<END
IdentityFile $dir/key
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
ControlPath $dir/%h
Host web4
    HostName 10.9.0.254
END

ip link set lo up
ip link add net0 type bridge
ip addr add 10.9.0.254/24 dev net0
ip link set net0 up
for i in 1 2 3; do
    mkdir -p "web$i"
    mkfifo "up$i"
    # The network comes when there is somebody to give it to.
    # shellcheck disable=SC2016 # for the shell inside
    unshare --net --mount --uts --pid --fork --kill-child --mount-proc sh -ec '
        read -r _ <"up$0"
        hostname "web$0"
        mount -t tmpfs none /run
        mkdir /run/sshd
        mount --bind "web$0" /root
        exec "$(command -v sshd)" -D -e -f sshd_config' "$i" 2>"sshd$i.log" &
    # unshare is the parent: its child has the namespaces.
    until child=$(pgrep -P $!) && [[ $(readlink "/proc/$child/ns/net") != $(readlink /proc/self/ns/net) ]]; do sleep 0.02; done
    ip link add "to$i" type veth peer name eth0 netns "$child"
    ip link set "to$i" master net0 up
    nsenter -t "$child" -n ip addr add "10.9.0.$i/24" dev eth0
    nsenter -t "$child" -n ip link set eth0 up
    echo >"up$i"
    printf 'Host web%s\n    HostName 10.9.0.%s\n' "$i" "$i" >>ssh_config
done

mkdir bin
printf '#!/bin/sh\nexec %s -F %s "$@"\n' "$(command -v ssh)" "$dir/ssh_config" >bin/ssh
chmod +x bin/ssh
PATH=$dir/bin:$PATH
for i in 1 2 3; do
    # One connection for all that follows: making one takes longer than using it.
    until ssh -fMN "web$i" >/dev/null 2>"ssh$i.log"; do sleep 0.1; done
done
"$@"
