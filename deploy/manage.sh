#!/usr/bin/env bash
# manage.py inside the running platform, as its user and with its environment: `sudo deploy/manage.sh verify`.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "run this as root or with sudo" >&2; exit 1; }
exec /usr/bin/python3 -B -m deploy.stack manage "$@"
