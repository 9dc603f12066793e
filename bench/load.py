"""Load on one server, made so that the client is not what is measured.

Small answers are asked for by `wrk`; whatever wrk cannot do (HEAD: it waits for the body) by processes of our own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from bench import processor_time
from bench.client import Failed
from bench.targets import Target

Work = Callable[[], list[float]]
"""What one client does while the clock runs: how long each operation took, in seconds."""
_fork = multiprocessing.get_context("fork")
_PATIENCE = 300
_WRK_SCRIPT = """
local paths, headers, requests, last = {%(paths)s}, {%(headers)s}, {}, 0
function init(args) for number, path in ipairs(paths) do requests[number] = wrk.format("GET", path, headers) end end
function request() last = last %% #paths + 1 return requests[last] end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('@@{"requests":%%d,"us":%%d,"median":%%f,"late":%%f,"bad":%%d,"lost":%%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What was done in one pass, and what it cost."""

    operations: int
    seconds: float
    median_ms: float
    late_ms: float
    """99 of 100 operations were faster."""
    client_cpu: float
    """Seconds, all clients together."""
    server_cpu: dict[str, float]
    """Seconds of each program."""

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    def cpu_us(self, program: str) -> float:
        """Microseconds of a program for one operation."""
        return 1e6 * self.server_cpu[program] / self.operations

    @property
    def server_us(self) -> float:
        """Microseconds of all programs for one operation."""
        return 1e6 * sum(self.server_cpu.values()) / self.operations

    @property
    def client_us(self) -> float:
        return 1e6 * self.client_cpu / self.operations


@dataclass
class _Costs:
    """CPU seconds of a block of code, known when it has ended."""

    children: float = 0.0
    servers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Report:
    """What a client's process tells when it is done."""

    began: float
    ended: float
    cpu: float
    took: list[float]
    problem: str = ""


def ask_repeatedly(target: Target, paths: Sequence[str], headers: Mapping[str, str], seconds: int) -> Load:
    """GET these paths in turn by wrk, 16 connections; Failed when any answer is not a success."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script, _clock(target) as costs:
        quoted = ",".join(f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in headers.items())
        script.write(_WRK_SCRIPT % {"paths": ",".join(map(json.dumps, paths)), "headers": quoted})
        script.flush()
        command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "--timeout", "30s", "-s", script.name, target.url]
        output = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 90, check=True).stdout
    found = re.search(r"@@(\{.*\})", output)
    said = json.loads(found[1]) if found else {}
    if not said.get("requests") or said["bad"] or said["lost"]:
        raise Failed(f"wrk at {target.url}{paths[0]}: {output[-500:]}")
    seconds_taken, median, late = said["us"] / 1e6, said["median"] / 1e3, said["late"] / 1e3
    return Load(said["requests"], seconds_taken, median, late, costs.children, costs.servers)


def together(target: Target, clients: int, prepare: Callable[[int], Work]) -> Load:
    """Prepare so many clients, each in a process of its own, then let them all work at once."""
    barrier = _fork.Barrier(clients + 1)
    pipes = [_start(prepare, number, barrier) for number in range(clients)]
    # Until all have prepared themselves their work must not count.
    while barrier.n_waiting < clients and not barrier.broken:
        time.sleep(0.002)
    with _clock(target) as costs:
        if not barrier.broken:
            barrier.wait(_PATIENCE)
        reports = [pipe.recv() for pipe in pipes]
    if problems := sorted({report.problem for report in reports if report.problem}):
        raise Failed("; ".join(problems))
    durations = sorted(duration for report in reports for duration in report.took)
    seconds = max(report.ended for report in reports) - min(report.began for report in reports)
    median, late = (1e3 * durations[int(len(durations) * part)] for part in (0.5, 0.99))
    return Load(len(durations), seconds, median, late, sum(report.cpu for report in reports), costs.servers)


def for_seconds(seconds: float, operation: Callable[[], None]) -> list[float]:
    """Repeat an operation until the time is over; how long each took."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        took.append(timed(operation))
    return took


def timed(operation: Callable[[], None]) -> float:
    """How many seconds it takes."""
    began = time.monotonic()
    operation()
    return time.monotonic() - began


@contextmanager
def _clock(target: Target) -> Iterator[_Costs]:
    costs = _Costs()
    before, children = processor_time.used(target.programs), _cpu(resource.RUSAGE_CHILDREN)
    yield costs
    after = processor_time.used(target.programs)
    costs.servers = {name: after[name] - before[name] for name in target.programs}
    costs.children = _cpu(resource.RUSAGE_CHILDREN) - children


def _start(prepare: Callable[[int], Work], number: int, barrier: Barrier) -> Connection[_Report, _Report]:
    receiver, sender = _fork.Pipe(duplex=False)
    _fork.Process(target=_work, args=(prepare, number, barrier, sender), daemon=True).start()
    sender.close()
    return receiver


def _work(prepare: Callable[[int], Work], number: int, barrier: Barrier, pipe: Connection[_Report, _Report]) -> None:
    try:
        work = prepare(number)
        barrier.wait(_PATIENCE)
        began, cpu = time.monotonic(), _cpu(resource.RUSAGE_SELF)
        took = work()
        pipe.send(_Report(began, time.monotonic(), _cpu(resource.RUSAGE_SELF) - cpu, took))
    except Exception as error:
        barrier.abort()
        pipe.send(_Report(0, 0, 0, [], f"{type(error).__name__}: {error}"))
    # Not to run what the parent registered for its own end.
    pipe.close()
    os._exit(0)


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
