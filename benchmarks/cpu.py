"""Who used how much processor time: whole process trees, from the operating system's own accounts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of CPU that a process tree has used since it began, and the memory its processes hold now (shared pages once for
    each, so PostgreSQL's buffers count again and again)."""

    cpu_s: float
    rss_mb: float


def usage_of(pid: int) -> Usage:
    """The process, its children now, and those of its children that have ended. Of this process only itself: the stack's
    supervisor is a child of the benchmark that started it."""
    cpu_s = rss = 0.0
    root = psutil.Process(pid)
    if pid == os.getpid():
        times = root.cpu_times()
        return Usage(times.user + times.system, root.memory_info().rss / 2**20)
    for process in (root, *root.children(recursive=True)):
        try:
            times, memory = process.cpu_times(), process.memory_info()
        except psutil.NoSuchProcess:
            continue  # it ended between the listing and the look: its parent's account has it
        cpu_s += times.user + times.system + times.children_user + times.children_system
        rss += memory.rss
    return Usage(cpu_s, rss / 2**20)


def usages(pids: Mapping[str, int]) -> dict[str, Usage]:
    """By name."""
    return {name: usage_of(pid) for name, pid in pids.items()}


def spent(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, float]:
    """Seconds of CPU between two looks, by name. Who began in between began with nothing."""
    return {name: usage.cpu_s - (before[name].cpu_s if name in before else 0.0) for name, usage in after.items()}
