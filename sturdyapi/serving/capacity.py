"""How many workers: as many as there is CPU for, and as the connections to the database allow."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple

from sturdyapi.exceptions import ConnectionBudgetError, WorkerCountError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CpuLimit", "Workers", "choose_workers", "cpu_limit"]

_MOST_PER_CPU = 32
"""More workers than this for one CPU are a slip: the formulas give one to three."""

_CGROUPS = Path("sys/fs/cgroup")
_V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


class CpuLimit(NamedTuple):
    """How much CPU this process may use."""

    cpus: float
    """Not always whole: a container may get half a CPU."""
    source: str
    """What sets the limit, in words for a person, such as `CPU quota of the container`."""

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU{'' if self.cpus == 1 else 's'} ({self.source})"


@dataclass(frozen=True, slots=True)
class Workers:
    """A number of workers, and why it is this one."""

    count: int
    reason: str
    """One clause, such as `2 CPUs (CPU quota of the container)`."""
    warning: str | None = None
    """What will go wrong with this number, and what to do about it."""


class _Budget(NamedTuple):
    connections: int
    pool: str
    per_worker: int

    @property
    def workers(self) -> int:
        return self.connections // self.per_worker

    def __str__(self) -> str:
        return (
            f"connection budget {self.connections} / {self.per_worker} per worker of '{self.pool}'"
        )


def cpu_limit(root: Path = Path("/")) -> CpuLimit:
    """Return the least of what the machine has, the affinity allows and the container is given.

    Neither `os.cpu_count()` nor the affinity knows of a container's quota: they tell the CPUs of
    the whole machine, and a worker for each of these is throttled instead of faster. What can't be
    read, or makes no sense, is no quota.

    Args:
        root: Where `/proc` and `/sys` are looked for.

    Source:
        https://docs.kernel.org/admin-guide/cgroup-v2.html,
        https://docs.kernel.org/scheduler/sched-bwc.html
    """
    limits = [
        CpuLimit(os.cpu_count() or 1, "CPUs of the machine"),
        CpuLimit(_usable_cpus(), "CPU affinity"),
        *(CpuLimit(quota, "CPU quota of the container") for quota in _quotas(root)),
    ]
    return min(limits, key=lambda limit: limit.cpus)


def choose_workers(
    requested: int | Literal["auto", "2n+1"],
    limit: CpuLimit,
    *,
    pools: Mapping[str, int],
    connection_budget: int | None,
) -> Workers:
    """Return how many workers to start.

    Pools may speak to one server or to several, which can't be seen from here. The budget holds for
    each pool by itself: the largest decides. Where several speak to the same server, give each its
    share of what that server allows.

    Args:
        requested: A number; `auto` for one per whole CPU; `2n+1` for the rule of thumb of servers
            that wait, with n CPUs. Both give at least one, and no more than the budget allows. A
            number is kept, with a warning where it is over the budget.
        limit: See `cpu_limit()`.
        pools: Connections that one worker opens at the most, by the name of the adapter.
        connection_budget: Connections that all workers together may open to one server.

    Raises:
        WorkerCountError: The number is below 1, or over 32 per CPU.
        ConnectionBudgetError: The pool of a single worker is over the budget.
    """
    budget = _budget(pools, connection_budget)
    if isinstance(requested, int):
        return _as_set(requested, limit, budget)
    whole = max(1, floor(limit.cpus))
    wanted = Workers(whole, str(limit))
    if requested == "2n+1":
        wanted = Workers(2 * whole + 1, f"2n+1 with {limit}")
    if budget is None or wanted.count <= budget.workers:
        return wanted
    return Workers(budget.workers, str(budget))


def _usable_cpus() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas that this process is under: each level of the tree may set one."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            files = [folder / "cpu.max" for folder in _levels(root / _CGROUPS, path)]
            quotas = [_quota(*_text(file).split()) for file in files]
        elif "cpu" in controllers.split(","):
            mounts = (root / _CGROUPS / mount for mount in _V1_MOUNTS)
            quotas = [_v1_quota(folder) for mount in mounts for folder in _levels(mount, path)]
        else:
            continue
        yield from (quota for quota in quotas if quota is not None)


def _levels(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a group and of all that it is in.

    In a container the path may be the host's, of which only the mount itself is there.
    """
    group = PurePosixPath(path.lstrip("/"))
    yield mount
    if ".." not in group.parts:
        yield from (mount / level for level in (group, *group.parents) if level.parts)


def _v1_quota(folder: Path) -> float | None:
    return _quota(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _quota(*words: str) -> float | None:
    """Return CPUs from a time and the period in which it may be used, both in microseconds."""
    try:
        time, period = (int(word) for word in words)
    except ValueError:  # `max` among others
        return None
    return time / period if time > 0 and period > 0 else None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""


def _budget(pools: Mapping[str, int], connections: int | None) -> _Budget | None:
    if connections is None or not pools:
        return None
    pool, per_worker = max(pools.items(), key=lambda each: each[1])
    if per_worker > connections:
        raise ConnectionBudgetError(pool, max_connections=per_worker, budget=connections)
    return _Budget(connections, pool, per_worker) if per_worker > 0 else None


def _as_set(count: int, limit: CpuLimit, budget: _Budget | None) -> Workers:
    highest = _MOST_PER_CPU * ceil(limit.cpus)
    if not 1 <= count <= highest:
        raise WorkerCountError(count, highest=highest, limit=str(limit))
    if budget is None or count <= budget.workers:
        return Workers(count, "as set")
    return Workers(count, "as set", _over_budget(count, budget))


def _over_budget(count: int, budget: _Budget) -> str:
    fewer = f"{budget.workers} workers or fewer" if budget.workers > 1 else "1 worker"
    share = budget.connections // count
    smaller = f", or give '{budget.pool}' max_size={share} or less" if share else ""
    return (
        f"{count} workers with {budget.per_worker} connections of '{budget.pool}' each may open "
        f"{count * budget.per_worker}, and connection_budget is {budget.connections}. "
        f"Take {fewer}{smaller}."
    )
