"""`python3 -m deploy.stack up|down|status|logs|renew-tls|trial-tls|rotate-token-key|manage …`, as root."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.certificate import Certificate
from deploy.certificate import load as load_certificate
from deploy.stack import (
    health,
    https,
    installation,
    postgres,
    preconditions,
    rollout,
    service_user,
    supervisor,
    trial_tls,
)
from deploy.stack import layout as layouts
from deploy.stack import settings as operator
from deploy.stack.layout import Layout
from deploy.stack.patience import wait
from deploy.stack.programs import STORES, configuration_files, kind, names, programs
from deploy.stack.settings import Settings, Unusable

# Tokens live as long as is set, and the registry forgives another minute.
LEEWAY = 60
# The doors first, then who works behind them, the stores at last.
STOPPED_IN_TURN = ({"nginx"}, {"core", "beat", "worker", "event", "bulk"}, {*STORES})


def main() -> None:
    """Run one command; an operator's mistake ends in one sentence and exit code 1."""
    # Libraries and program are for the service user to read, however careful root's own habits are.
    os.umask(0o022)
    try:
        layout, word = layouts.find(os.environ.get("WHARF_USER"))
        if word and sys.argv[1] == "up":
            say(word)
        COMMANDS[sys.argv[1]](layout)
    except Unusable as problem:
        sys.exit(f"wharf: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)


def up(layout: Layout) -> None:
    """Bring everything up to this checkout and these settings; changes nothing that is so already."""
    said, words = operator.remembered(layout.etc, os.environ)
    settings = operator.parse(said)
    preset = _preset_password(layout)
    certificate = _check(layout, settings)
    bucket_key = preconditions.bucket_key(settings.bucket_key) if settings.bucket_key else ""
    for word in words:
        say(word)
    layout.make_folders()
    with _alone(layout):
        code = _install(layout, settings)
        _keys(layout, "init", preset)
        _take_store(layout, settings, bucket_key)
        if not postgres.is_made(layout):
            say("making a PostgreSQL cluster")
            postgres.make_cluster(layout)
        renewed = https.write(layout, certificate) if certificate else False
        _write_configuration(layout, settings, code)
        _start_stores(layout)
        _prepare_database(layout, settings, code)
        rollout.roll_out(layout, settings, say)
        # When they are in force: until then ours are the ports of before, and whoever goes back finds them his.
        layouts.write(layout.etc / "settings.json", operator.as_text(said))
        if certificate and settings.tls:
            https.take_up(layout, settings.tls.port, certificate, reload=renewed)
        else:
            layout.certificate.unlink(missing_ok=True)
        health.wait(layout, settings)
    _tell(layout, settings, certificate)


def down(layout: Layout) -> None:
    """Stop exactly what `up` started."""
    if not supervisor.is_running(layout):
        say("nothing is running")
        return
    with _alone(layout):
        pid = supervisor.pid(layout)
        if pid is None:
            return
        for kinds in STOPPED_IN_TURN:
            ending = [name for name in supervisor.states(layout) if kind(name) in kinds]
            say(f"stopping {', '.join(ending)}")
            supervisor.stop(layout, ending)
        supervisor.shutdown(layout)
        wait(30, lambda: not Path(f"/proc/{pid}").exists(), f"supervisord (pid {pid}) does not stop; see {layout.log}")
    say("stopped; the data stay in " + str(layout.var))


def status(layout: Layout) -> None:
    """Every program's state and the platform's health; exit code 1 when something is off."""
    states = supervisor.states(layout)
    if not states:
        sys.exit("wharf: nothing is running; start it with make up")
    settings = _settings_in_force(layout)
    for name in names(settings):
        say(f"{name:10} {states.get(name, 'MISSING').lower()}")
    report = health.report(settings)
    say(f"{'health':10} {report.get('status')}")
    for component in report.get("components", []):
        say(f"  {component['name']:10} {component['status']} {component.get('error', '')}".rstrip())
    if settings.tls:
        # The copy that nginx has; Unusable says so when it has expired meanwhile.
        shown = load_certificate(layout.certificate, layout.certificate, settings.host)
        say(f"{'https':10} {https.expiry(shown)}")
    if set(states.values()) != {"RUNNING"} or report.get("status") != "healthy":
        sys.exit(1)


def logs(layout: Layout) -> None:
    """Follow all logs, or PROGRAM's alone."""
    chosen = os.environ.get("PROGRAM")
    known = [*names(_settings_in_force(layout)), "supervisord"]
    if chosen and chosen not in known:
        raise Unusable(f"PROGRAM is {chosen!r}; it must be one of {', '.join(known)}")
    files = [layout.log / f"{chosen}.log"] if chosen else sorted(layout.log.glob("*.log"))
    if not files or not files[0].exists():
        raise Unusable(f"there is no log in {layout.log} yet; start the platform with make up")
    os.execv("/usr/bin/tail", ["tail", "-n", "20", "-F", *map(str, files)])


def manage(layout: Layout) -> None:
    """manage.py with the platform's own environment; the arguments are passed on."""
    environment = _environment(layout, _settings_in_force(layout))
    if "TERM" in os.environ:
        environment["TERM"] = os.environ["TERM"]
    os.chdir(layout.app)
    command = layout.as_user(str(layout.venv / "bin" / "python"), str(layout.app / "manage.py"), *sys.argv[2:])
    os.execve(command[0], command, environment)


def renew_tls(layout: Layout) -> None:
    """Give nginx the certificate that now lies where the operator said; nothing is restarted, no connection cut."""
    settings = _settings_in_force(layout)
    if not supervisor.is_running(layout):
        raise Unusable("nothing is running; start it with make up, which reads the certificate too")
    if settings.tls is None:
        raise Unusable("HTTPS is off; switch it on with WHARF_TLS_CERT=… WHARF_TLS_KEY=… make up")
    with _alone(layout):
        certificate = load_certificate(settings.tls.certificate, settings.tls.key, settings.host)
        https.write(layout, certificate)
        https.take_up(layout, settings.tls.port, certificate, reload=True)
    say(f"nginx shows the certificate of {settings.host}, {https.expiry(certificate)}")


def make_trial_tls(layout: Layout) -> None:
    """A certificate authority for trying, and a certificate for the host of the external URL."""
    preconditions.check_folder(layout)
    said = operator.remembered(layout.etc, os.environ)[0]
    folder = trial_tls.folder(layout)
    # As if they were set already: then the external URL is what it will be.
    chosen = {"WHARF_TLS_CERT": f"{folder}/server.crt", "WHARF_TLS_KEY": f"{folder}/server.key"}
    settings = operator.parse({**said, **chosen})
    chosen |= {name: said[name] for name in ("WHARF_PORT", "WHARF_TLS_PORT") if name in said}
    trial_tls.make(folder, settings.host)
    say(trial_tls.how_to_use(folder, settings.address, {**chosen, "WHARF_EXTERNAL_URL": settings.external_url}))


def rotate_token_key(layout: Layout) -> None:
    """A new key for signing tokens, without a moment in which a good token is refused."""
    if not supervisor.is_running(layout):
        raise Unusable("nothing is running; start it with make up")
    settings = _settings_in_force(layout)
    expiry = int(settings.passed_on.get("WHARF_TOKEN_EXPIRATION", "5")) * 60 + LEEWAY
    for step, word, pause in (
        ("prepare", "the registry learns the next certificate", 0),
        ("switch", f"the next key signs; waiting {expiry} s for the old tokens to expire", expiry),
        ("finish", "the old certificate is trusted no more", 0),
    ):
        say(word)
        with _alone(layout):
            _keys(layout, step)
            _write_configuration(layout, settings, (layout.etc / "prepared-for").read_text())
            _start_stores(layout)
            rollout.roll_out(layout, settings, say)
            health.wait(layout, settings)
        time.sleep(pause)


COMMANDS: dict[str, Callable[[Layout], None]] = {
    "up": up,
    "down": down,
    "status": status,
    "logs": logs,
    "manage": manage,
    "renew-tls": renew_tls,
    "trial-tls": make_trial_tls,
    "rotate-token-key": rotate_token_key,
}


def say(sentence: str) -> None:
    """One line for the person at the terminal."""
    print(f"  {sentence}", flush=True)


# --- steps of up -------------------------------------------------------------------------------------------
def _check(layout: Layout, settings: Settings) -> Certificate | None:
    preconditions.check_folder(layout)
    preconditions.check_virtualenv(layout, os.environ.get("WHARF_VENV"), settings)
    preconditions.check_space(layout)
    preconditions.check_encryption_key(layout)
    postgres.binaries(layout)
    ours = _settings_in_force(layout).ports if supervisor.is_running(layout) else {}
    for port, setting in settings.ports.items():
        if port not in ours:
            preconditions.check_port(port, setting, layout.user)
    tls = settings.tls
    return load_certificate(tls.certificate, tls.key, settings.host) if tls else None


def _preset_password(layout: Layout) -> dict[str, str]:
    preset = os.environ.get("WHARF_ADMIN_PASSWORD")
    if not preset:
        return {}
    if (layout.secrets / "admin-password").exists():
        say("WHARF_ADMIN_PASSWORD counts at the first start only; the admin's password stays what it is")
        return {}
    return {"WHARF_ADMIN_PASSWORD": operator.admin_password(preset)}


def _install(layout: Layout, settings: Settings) -> str:
    """Program and libraries as the checkout has them; what comes back is the fingerprint of both."""
    code = installation.program_fingerprint()
    copied = installation.install_program(layout, code)
    if copied:
        say(f"copied the program to {layout.app}")
    installation.use_virtualenv(layout, os.environ.get("WHARF_VENV"))
    libraries = installation.libraries_fingerprint(layout, settings.extras)
    if not installation.libraries_are_installed(layout, libraries):
        say("installing the Python libraries (about half a minute)")
        installation.install_libraries(layout, libraries, settings.extras)
    if copied:
        installation.compile_program(layout)
    return code + libraries


def _keys(layout: Layout, step: str, extra: dict[str, str] | None = None) -> None:
    python, program = str(layout.venv / "bin" / "python"), str(layout.app / "deploy" / "keys.py")
    environment = {**layout.environment(), **(extra or {})}
    service_user.run(layout, python, program, step, str(layout.secrets), environment=environment)


def _take_store(layout: Layout, settings: Settings, bucket_key: str) -> None:
    """Make sure that the store can be used and is ours, with what runs still going on as before."""
    tried = layout.bucket_key.with_suffix(".new")
    group = layout.etc.stat().st_gid
    if settings.bucket:
        layouts.write(tried, bucket_key, group=group, mode=0o640)
    claimed = layout.etc / "store-claimed"
    claim = ["--claim"] if _may_claim(layout, settings, claimed) else []
    environment = {**_environment(layout, settings), "WHARF_STORE_CREDENTIALS": str(tried)}
    words = [str(layout.venv / "bin" / "python"), "manage.py", "check_store", *claim]
    result = service_user.attempt(layout, *words, environment=environment, cwd=layout.app)
    if result.returncode != 0:
        tried.unlink(missing_ok=True)
        said = result.stderr.strip().splitlines() or ["check_store failed without a word"]
        reason = said[-1].removeprefix("CommandError: ")
        raise Unusable(reason.removeprefix("django.core.exceptions.ImproperlyConfigured: "))
    if settings.bucket:
        tried.replace(layout.bucket_key)
    else:
        layout.bucket_key.unlink(missing_ok=True)
    layouts.write(claimed, "This platform's data lie in a store that is marked as its own.\n")


def _write_configuration(layout: Layout, settings: Settings, code: str) -> None:
    files = configuration_files(layout, settings)
    files[layout.etc / "supervisord.conf"] = supervisor.configuration(layout, programs(layout, settings, code))
    group = layout.etc.stat().st_gid
    for path, text in files.items():
        layouts.write(path, text, group=group, mode=0o640)


def _start_stores(layout: Layout) -> None:
    if supervisor.is_running(layout):
        supervisor.update(layout, STORES)
    else:
        say("starting " + ", ".join(STORES))
        supervisor.launch(layout)
    supervisor.start(layout, STORES)
    # After a crash it reads its log of changes first, and that may be long.
    wait(120, lambda: postgres.is_ready(layout), f"PostgreSQL did not start; see {layout.log}/postgres.log")


def _prepare_database(layout: Layout, settings: Settings, code: str) -> None:
    mark = layout.etc / "prepared-for"
    if mark.exists() and mark.read_text() == code:
        return
    postgres.make_database(layout)
    say("bringing the database and the pages up to this version")
    python, environment = str(layout.venv / "bin" / "python"), _environment(layout, settings)
    for command in (["init"], ["collectstatic", "--noinput"]):
        words = [python, "manage.py", *command, "--verbosity", "0"]
        service_user.run(layout, *words, environment=environment, cwd=layout.app)
    layouts.write(mark, code)


def _tell(layout: Layout, settings: Settings, certificate: Certificate | None) -> None:
    shown = f"  certificate    {https.expiry(certificate)}; after a renewal: make renew-tls\n" if certificate else ""
    print(
        f"\nWharf is up: {settings.external_url}\n"
        f"  sign in as     admin, with the password in {layout.secrets}/admin-password\n"
        f"  from docker    docker login {settings.address}\n"
        f"{shown}"
        f"  look           make status, make logs        stop: make down\n"
    )


def _may_claim(layout: Layout, settings: Settings, claimed: Path) -> bool:
    """Whether a store that is nobody's may become ours.

    A database that is older than the mark counts on the folder that it always had: an empty bucket is not its store.
    """
    return not claimed.exists() and not (settings.bucket and postgres.is_made(layout))


# --- what several commands need ------------------------------------------------------------------------------
def _settings_in_force(layout: Layout) -> Settings:
    """Those of the last `up`."""
    return operator.parse(operator.remembered(layout.etc, {})[0])


def _environment(layout: Layout, settings: Settings) -> dict[str, str]:
    return {**layout.environment(), "WHARF_EXTERNAL_URL": settings.external_url, **settings.passed_on}


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """One command at a time changes a platform."""
    with (layout.etc / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another make up, down, renew-tls or rotate-token-key")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
