"""CPU time that servers used: unlike a rate it hardly depends on what else the machine does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def used(programs: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds of each program so far, its children included; `programs` says each one's process id."""
    parents = _parents()
    return {name: sum(map(_seconds, _family(pid, parents))) for name, pid in programs.items()}


def _family(root: int, parents: Mapping[int, int]) -> set[int]:
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _parents() -> dict[int, int]:
    numbers = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return {pid: int(fields[1]) for pid in numbers if (fields := _fields(pid))}


def _seconds(pid: int) -> float:
    # utime, stime, and those of children that ended (proc(5)).
    return sum(map(int, _fields(pid)[11:15])) / _TICKS


def _fields(pid: int) -> list[str]:
    """What /proc says behind the program's name, which may hold spaces; nothing for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
