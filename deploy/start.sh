#!/bin/sh
# start.sh NAME RUN-FOLDER SOCKET DEATH-SIGNAL PROGRAM… : become PROGRAM, after clearing away what a killed one left.
#
# The supervisor makes each program the leader of a process group. When a leader is killed with -9, its
# children may live on and keep the port (nginx's workers do): they are found by that group's number.
name=$1 run=$2 socket=$3 signal=$4
shift 4
if [ "$name" != postgres ] && [ -r "$run/$name.group" ]; then
    pkill -KILL -g "$(cat "$run/$name.group")" -u "$(id -u)" 2>/dev/null
fi
echo $$ > "$run/$name.group"
[ -z "$socket" ] || rm -f "$run/$socket"
# Should the supervisor itself be killed, its programs end too, so that the next start finds nobody in its way.
exec setpriv --pdeathsig "$signal" -- "$@"
