#!/bin/sh
# watch.sh SIGNAL FOLDER HOSTS PROGRAM… : become PROGRAM, and send it SIGNAL whenever a file under FOLDER, or an address
# of one of HOSTS, is another than before. For programs that read them once: nginx and gunicorn reload at HUP, others
# end at TERM and are started again by their restart policy.
set -eu
signal=$1 folder=$2 hosts=$3
shift 3

state() {
    find "$folder" -type f ! -name '*.tmp' | sort | xargs cat | sha256sum
    for host in $hosts; do getent ahosts "$host" | sort; done
}

watch() {
    before=$1
    while sleep 2; do
        now=$(state)
        [ "$now" = "$before" ] || kill -"$signal" "$program"
        before=$now
    done
}

# The watcher is this process's child, and this process becomes the program. What it may read is looked at before it
# starts: a change in between is told.
program=$$
before=$(state)
watch "$before" &
exec "$@"
