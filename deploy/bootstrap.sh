#!/usr/bin/env bash
# Installs what the machine lacks, then hands over: `bootstrap.sh up|down|status|logs|dev …`.
# Written in bash because on a new machine Python may be among the things that are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '  %s\n' "$*"; }
refuse() { printf 'wharf: %s\n' "$*" >&2; exit 1; }

become_root() {
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null || refuse "run this as root, or install sudo"
    sudo -n true 2>/dev/null || say "asking sudo for the rights to install packages and to run services as a user of their own"
    local names
    # Our settings, and what apt and pip need to get through a proxy.
    names=$(env | sed -nE 's/^(WHARF_[A-Z_]*|PIP_[A-Z_]*|CI|PROGRAM|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|[a-z]+_proxy)=.*/\1/p' | paste -sd, -)
    exec sudo ${names:+--preserve-env="$names"} -- bash deploy/bootstrap.sh "$@"
}

check_system() {
    local ID="" VERSION_ID="" PRETTY_NAME="this system"
    # shellcheck disable=SC1091
    [ -r /etc/os-release ] && . /etc/os-release
    case "$ID" in
        debian) [ "${VERSION_ID:-99}" -ge 12 ] && return ;;
        ubuntu) [ "${VERSION_ID%%.*}" -ge 24 ] && return ;;
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
    local packages
    mapfile -t packages < <(missing_packages "$@")
    [ "${#packages[@]}" -eq 0 ] && return
    say "installing ${packages[*]}"
    local log=/var/log/wharf-install.log policy=/usr/sbin/policy-rc.d
    local created="" cluster_conf=/etc/postgresql-common/createcluster.conf cluster_made="" before after
    before=$(enabled_units)
    if [ ! -e "$policy" ]; then
        created=$policy
        printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
        # shellcheck disable=SC2064
        trap "rm -f '$policy'" EXIT
    fi
    if printf '%s\n' "${packages[@]}" | grep -qx postgresql && [ ! -e "$cluster_conf" ]; then
        # Wharf has a cluster of its own; nobody asked for another one.
        mkdir -p "$(dirname "$cluster_conf")" && echo 'create_main_cluster = false' > "$cluster_conf"
        cluster_made=$cluster_conf
    fi
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update && apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "${packages[@]}"; } \
        > "$log" 2>&1; then
        tail -n 20 "$log" >&2
        refuse "apt could not install the packages; the whole story is in $log"
    fi
    if [ -n "$cluster_made" ]; then
        # The package's own file lies beside ours.
        if [ -e "$cluster_made.ucf-dist" ]; then mv "$cluster_made.ucf-dist" "$cluster_made"; else rm -f "$cluster_made"; fi
    fi
    [ -n "$created" ] && rm -f "$created" && trap - EXIT
    after=$(enabled_units)
    if [ -d /run/systemd/system ]; then
        comm -13 <(printf '%s\n' "$before") <(printf '%s\n' "$after") | while read -r unit; do
            [ -z "$unit" ] || { say "leaving $unit switched off"; systemctl disable "$unit" >> "$log" 2>&1 || true; }
        done
    fi
}

enabled_units() {
    command -v systemctl >/dev/null || return 0
    systemctl list-unit-files --type=service --state=enabled --no-legend 2>/dev/null | awk '{print $1}' | sort || true
}

make_user() {
    local name=${WHARF_USER:-wharf}
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
    /usr/bin/python3 deploy/stack/requirements.py --dev | xargs -d '\n' .venv/bin/pip install --quiet --disable-pip-version-check
    printf '%s' "$now" > "$mark"
}

RUNTIME=(postgresql redis-server nginx docker-registry python3 python3-venv gettext ca-certificates util-linux procps)
# What the tests need besides.
TESTS=(skopeo chromium fonts-wqy-zenhei openssl curl)

main() {
    local command=${1:-}
    case "$command" in
        up)
            become_root "$@"
            check_system
            install_packages "${RUNTIME[@]}"
            make_user
            ;;
        down | status | logs | rotate-token-key)
            become_root "$@"
            command -v /usr/bin/python3 >/dev/null || refuse "nothing is installed yet; run make up"
            ;;
        dev)
            [ -z "$(missing_packages python3 python3-venv make ca-certificates gettext)" ] || become_root "$@"
            check_system
            make_development_environment
            return
            ;;
        test | run)
            become_root "$@"
            check_system
            local tools=("${TESTS[@]}")
            if [ "${CI:-}" = true ] || [ "${WHARF_TEST_DOCKER:-}" = 1 ]; then tools+=(docker.io); fi
            install_packages "${RUNTIME[@]}" "${tools[@]}"
            make_user
            make_development_environment
            shift
            [ "$command" = test ] || exec .venv/bin/python "$@"
            # Shows what the kill test did, which is part of its result.
            exec .venv/bin/python -m pytest -s "$@"
            ;;
        *) refuse "usage: bootstrap.sh up|down|status|logs|rotate-token-key|dev|test" ;;
    esac
    exec /usr/bin/python3 -m deploy.stack "$@"
}

main "$@"
