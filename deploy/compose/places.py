"""Where things are inside the containers, and whose. docker-compose.yml and the Dockerfile say the same."""

from __future__ import annotations

from pathlib import Path

# Of everything that the registry, core and the workers write. A number: it must be the same in all images.
USER = 10001

APP = Path("/opt/wharf/app")
VAR = Path("/var/lib/wharf")
SECRETS = VAR / "secrets"
STORE = VAR / "registry"
CHALLENGES = VAR / "challenges"
SOCKETS = Path("/run/wharf")
# In the container `configuration`: a folder for each program. In a program's own container that folder is all of it.
ETC = Path("/etc/wharf")
