"""Asking the platform how it is, the way its clients would."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

from deploy.stack import supervisor
from deploy.stack.layout import Layout
from deploy.stack.programs import core_socket
from deploy.stack.settings import Settings, Unusable
from deploy.stack.unix_http import UnixConnection

HEALTHY_WITHIN = 90
# Whose log tells more about a part that is unwell.
LOG_OF = {"database": "postgres", "redis": "redis", "registry": "registry", "jobservice": "worker"}
# Nothing secret is said, and it never leaves the machine; the certificate is for another name than this address.
_anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_anybody.check_hostname = False
_anybody.verify_mode = ssl.CERT_NONE
# A proxy that the machine uses knows nothing of our loopback address.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_anybody))


def report(settings: Settings) -> dict[str, Any]:
    """Harbor's answer; its status says so when there is none."""
    door = f"https://127.0.0.1:{settings.tls.port}" if settings.tls else f"http://127.0.0.1:{settings.port}"
    url = f"{door}/api/v2.0/health"
    try:
        with _direct.open(url, timeout=5) as answer:
            document = json.load(answer)
    except (OSError, ValueError) as error:
        return {"status": f"no answer at {url}: {error}"}
    return document if isinstance(document, dict) else {"status": f"no sensible answer at {url}"}


def wait(layout: Layout, settings: Settings) -> None:
    """Return when all is well; Unusable says what is not, with the end of its log."""
    deadline = time.monotonic() + HEALTHY_WITHIN
    while (health := report(settings)).get("status") != "healthy":
        if time.monotonic() > deadline:
            raise Unusable(_story(layout, health))
        time.sleep(0.3)


def wait_for_core(layout: Layout, name: str) -> None:
    """Return when this replica of core answers by itself; Unusable, with the end of its log, when it does not."""
    deadline = time.monotonic() + HEALTHY_WITHIN
    while not _answers(layout, name):
        if time.monotonic() > deadline:
            raise Unusable(
                f"{name} does not answer after {HEALTHY_WITHIN} s, so nothing else is restarted\n"
                f"--- the end of {layout.log / name}.log\n{_tail(layout, name)}"
            )
        time.sleep(0.1)


def _answers(layout: Layout, name: str) -> bool:
    connection = UnixConnection(str(core_socket(layout, name)), 5)
    try:
        connection.request("GET", "/api/v2.0/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _story(layout: Layout, health: dict[str, Any]) -> str:
    stopped = [name for name, state in supervisor.states(layout).items() if state != "RUNNING"]
    unwell = [part["name"] for part in health.get("components", []) if part.get("status") != "healthy"]
    culprits = stopped or [LOG_OF.get(name, "core") for name in unwell] or ["nginx", "core"]
    tails = "\n".join(f"--- the end of {layout.log / name}.log\n{_tail(layout, name)}" for name in culprits)
    what = f"not running: {', '.join(stopped)}" if stopped else f"unhealthy: {', '.join(unwell)}"
    said = what if stopped or unwell else health["status"]
    return f"the platform is not healthy after {HEALTHY_WITHIN} s; {said}\n{tails}"


def _tail(layout: Layout, name: str) -> str:
    log = layout.log / f"{name}.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else "(nothing)"
