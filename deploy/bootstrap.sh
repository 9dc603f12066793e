#!/usr/bin/env bash
# Installs what the machine lacks, then hands over: `bootstrap.sh up|down|status|logs|dev …`.
# Written in bash because on a new machine Python may be among the things that are missing.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

say() { printf '  %s\n' "$*"; }
refuse() { printf 'wharf: %s\n' "$*" >&2; exit 1; }

become_root() {
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null || refuse "run this as root, or install sudo"
    sudo -n true 2>/dev/null || say "asking sudo for the rights to install packages and to run services as a user of their own"
    local names
    # Our settings, and what apt and pip need to get through a proxy.
    names=$(env | sed -nE 's/^(WHARF_[A-Z0-9_]*|GC_TIME_WINDOW_HOURS|PIP_[A-Z_]*|CI|PROGRAM|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|[a-z]+_proxy|[A-Z]+_PROXY)=.*/\1/p' | paste -sd, -)
    exec sudo ${names:+--preserve-env="$names"} -- bash deploy/bootstrap.sh "$@"
}

check_system() {
    local ID="" VERSION_ID="" PRETTY_NAME="this system"
    # shellcheck disable=SC1091
    [ -r /etc/os-release ] && . /etc/os-release
    case "$ID" in
        # Debian's testing and unstable have no number: they are newer than all that have.
        debian) [ "${VERSION_ID:-99}" -ge 12 ] 2>/dev/null && return ;;
        ubuntu) [ "${VERSION_ID%%.*}" -ge 24 ] 2>/dev/null && return ;;
    esac
    refuse "$PRETTY_NAME is not supported; Wharf runs on Debian 12 or newer and Ubuntu 24.04 or newer"
}

# Prints the packages of the list that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s\n' "$package"
    done
}

# Packages start their services on well-known ports while they are installed. Ours run elsewhere, so
# for this while nothing is started, and what this run brought in is not enabled either.
install_packages() {
    local packages before
    mapfile -t packages < <(missing_packages "$@")
    [ "${#packages[@]}" -eq 0 ] && return
    say "installing ${packages[*]}"
    before=$(enabled_units)
    trap restore_host EXIT
    start_nothing
    [[ " ${packages[*]} " != *" postgresql "* ]] || make_no_cluster
    run_apt update
    run_apt install -y --no-install-recommends -o Dpkg::Options::=--force-confold "${packages[@]}"
    restore_host
    trap - EXIT
    switch_off_new_units "$before"
}

LOG=/var/log/wharf-install.log
POLICY=/usr/sbin/policy-rc.d
CLUSTERS=/etc/postgresql-common/createcluster.conf
# What `restore_host` takes back, also after Ctrl-C.
policy_made="" clusters_made="" clusters_kept=""

run_apt() {
    local seconds
    for ((seconds = 0; seconds < 300; seconds += 2)); do
        # No needrestart: it would restart services that are none of our business.
        DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8 \
            apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" < /dev/null >> "$LOG" 2>&1 && return
        # The option waits for who installs, not for who reads the lists, as a machine does by itself after its start.
        tail -n 3 "$LOG" | grep -q 'Could not get lock' || break
        [ "$seconds" -gt 0 ] || say "waiting until another program is done with apt"
        sleep 2
    done
    tail -n 20 "$LOG" >&2
    refuse "apt-get $1 failed; the whole story is in $LOG"
}

start_nothing() {
    [ ! -e "$POLICY" ] || return 0
    policy_made=$POLICY
    printf '#!/bin/sh\nexit 101\n' > "$POLICY" && chmod 755 "$POLICY"
}

# Wharf has a cluster of its own; nobody asked for another one.
make_no_cluster() {
    if [ ! -e "$CLUSTERS" ]; then
        clusters_made=$CLUSTERS
        mkdir -p "$(dirname "$CLUSTERS")" && echo 'create_main_cluster = false' > "$CLUSTERS"
    elif ! grep -qE '^[[:space:]]*create_main_cluster' "$CLUSTERS"; then
        clusters_kept=$(mktemp "$CLUSTERS.wharf-XXXXXX")
        cp -p "$CLUSTERS" "$clusters_kept"
        echo 'create_main_cluster = false' >> "$CLUSTERS"
    fi
}

restore_host() {
    [ -z "$policy_made" ] || rm -f "$policy_made"
    if [ -n "$clusters_kept" ]; then
        mv "$clusters_kept" "$CLUSTERS"
    elif [ -n "$clusters_made" ]; then
        # The package's own file lies beside ours.
        if [ -e "$CLUSTERS.ucf-dist" ]; then mv "$CLUSTERS.ucf-dist" "$CLUSTERS"; else rm -f "$CLUSTERS"; fi
    fi
    policy_made="" clusters_made="" clusters_kept=""
}

switch_off_new_units() {
    [ -d /run/systemd/system ] || return 0
    local unit
    comm -13 <(printf '%s\n' "$1") <(enabled_units) | while read -r unit; do
        [ -n "$unit" ] || continue
        say "leaving $unit switched off"
        systemctl disable "$unit" >> "$LOG" 2>&1 || true
    done
}

enabled_units() {
    command -v systemctl >/dev/null || return 0
    systemctl list-unit-files --type=service --state=enabled --no-legend 2>/dev/null | awk '{print $1}' | sort || true
}

make_user() {
    local name=${WHARF_USER:-wharf}
    [[ "$name" =~ ^[a-z_][a-z0-9_-]*$ ]] || refuse "WHARF_USER is '$name'; it must be a plain user name"
    [ "$(id -u "$name" 2>/dev/null || echo 1)" -ne 0 ] || refuse "WHARF_USER is '$name'; Wharf does not run as root"
    id "$name" >/dev/null 2>&1 && return
    say "making the system user $name"
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$name"
}

# The tools for working on Wharf itself, in .venv.
make_development_environment() {
    install_packages python3 python3-venv make ca-certificates gettext
    local mark=.venv/.made-for now
    now=$(sha256sum pyproject.toml | cut -d' ' -f1)$(/usr/bin/python3 --version)
    [ "$(cat "$mark" 2>/dev/null)" = "$now" ] && return
    say "making .venv with the libraries and tools of pyproject.toml"
    rm -rf .venv
    /usr/bin/python3 -m venv .venv
    /usr/bin/python3 deploy/stack/requirements.py s3 dev | xargs -d '\n' .venv/bin/pip install --quiet --disable-pip-version-check
    printf '%s' "$now" > "$mark"
}

RUNTIME=(postgresql redis-server nginx docker-registry python3 python3-venv gettext ca-certificates util-linux procps)
# What `make compose-check` needs; besides, Go builds compose v2 for it.
COMPOSE=(docker.io docker-compose debootstrap openssl)
# What the tests need besides.
TESTS=(skopeo chromium fonts-wqy-zenhei openssl curl iproute2 faketime)

main() {
    local command=${1:-}
    case "$command" in
        up)
            become_root "$@"
            check_system
            install_packages "${RUNTIME[@]}"
            make_user
            ;;
        trial-tls)
            become_root "$@"
            check_system
            install_packages python3 openssl
            make_user
            ;;
        down | status | logs | renew-tls | rotate-token-key)
            become_root "$@"
            command -v /usr/bin/python3 >/dev/null || refuse "nothing is installed yet; run make up"
            ;;
        dev)
            [ -z "$(missing_packages python3 python3-venv make ca-certificates gettext)" ] || become_root "$@"
            check_system
            make_development_environment
            return
            ;;
        compose-check)
            become_root "$@"
            check_system
            install_packages "${COMPOSE[@]}"
            make_development_environment
            exec .venv/bin/python -m tests.compose
            ;;
        test | run)
            become_root "$@"
            check_system
            local tools=("${TESTS[@]}")
            if [ "${CI:-}" = true ] || [ "${WHARF_TEST_DOCKER:-}" = 1 ]; then tools+=(docker.io); fi
            # The benchmark's load is made by wrk.
            [ "${*:2:2}" != "-m bench" ] || tools=(wrk)
            # A generator of clients is a program for Java; skopeo pushes for them.
            [ "${*:2:2}" != "-m tests.clients" ] || tools=(default-jre-headless skopeo)
            install_packages "${RUNTIME[@]}" "${tools[@]}"
            make_user
            make_development_environment
            shift
            [ "$command" = test ] || exec .venv/bin/python "$@"
            # All of them by several processes; of a few one sees at once what they print.
            if [ $# -gt 0 ]; then
                set -- -s "$@"
            else
                set -- --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder
            fi
            exec .venv/bin/python -m pytest "$@"
            ;;
        *) refuse "usage: bootstrap.sh up|down|status|logs|renew-tls|trial-tls|rotate-token-key|dev|test|compose-check" ;;
    esac
    exec /usr/bin/python3 -B -m deploy.stack "$@"
}

main "$@"
