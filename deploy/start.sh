#!/bin/sh
# start.sh NAME RUN-FOLDER SOCKET DEATH-SIGNAL PROGRAM… : become PROGRAM, after clearing away what a killed one left.
name=$1 run=$2 socket=$3 signal=$4
shift 4

# When a process was born, in ticks since boot: with its number that tells it from any other.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# The supervisor makes each program the leader of a process group. When a leader is killed with -9, its
# children may live on and keep the port (nginx's workers do): they are found by that group's number.
# After a reboot the number may be another program's, hence the boot id and the leader's birth.
clear_group() {
    read -r boot group birth < "$run/$name.group" || return
    [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] || return
    [ ! -e "/proc/$group" ] || [ "$(born "$group")" = "$birth" ] || return
    pkill -KILL -g "$group" -u "$(id -u)"
}

# PostgreSQL believes a number in its pid file as long as any process of ours has it, after a reboot that may be
# another program: then it would refuse to start for ever. Nobody has the cluster open: the file is stale.
# All of its processes work inside the cluster's folder, those that outlived a killed leader too.
clear_cluster() {
    for folder in /proc/[0-9]*/cwd; do
        [ "$folder" -ef "$1" ] && return
    done
    rm -f "$1/postmaster.pid" "$run/.s.PGSQL.5432" "$run/.s.PGSQL.5432.lock"
}

if [ "$name" = postgres ]; then
    clear_cluster "$3" # postgres -D FOLDER
elif [ -r "$run/$name.group" ]; then
    clear_group 2>/dev/null
fi
echo "$(cat /proc/sys/kernel/random/boot_id) $$ $(born $$)" > "$run/$name.group"
[ -z "$socket" ] || rm -f "$run/$socket"
# Should the supervisor itself be killed, its programs end too, so that the next start finds nobody in its way.
exec setpriv --pdeathsig "$signal" -- "$@"
