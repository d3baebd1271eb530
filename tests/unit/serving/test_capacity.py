"""The number of workers, from the CPUs and from the connections of the pools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sturdyapi.exceptions import (
    EX_CONFIG,
    CommandError,
    ConnectionBudgetError,
    WorkerCountError,
)
from sturdyapi.serving.capacity import CpuLimit, Workers, choose_workers, cpu_limit

MACHINE_CPUS = 64

TWO_CPUS = CpuLimit(2.0, "CPU quota of the container")


@pytest.fixture(autouse=True)
def _large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs on a machine with 64 CPUs, all of which this process may use."""
    monkeypatch.setattr(os, "cpu_count", lambda: MACHINE_CPUS)
    _allow(monkeypatch, MACHINE_CPUS)


def _allow(monkeypatch: pytest.MonkeyPatch, cpus: int) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: cpus, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cpus)), raising=False)


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_without_a_quota_it_is_the_machine(tmp_path: Path) -> None:
    """Outside a container the CPUs of the machine count."""
    assert cpu_limit(tmp_path) == CpuLimit(64, "CPUs of the machine")


def test_an_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may use 3 of 64 CPUs has 3."""
    _allow(monkeypatch, 3)
    assert cpu_limit(tmp_path) == CpuLimit(3, "CPU affinity")


V1 = "3:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n1:name=systemd:/docker/abc\n"
QUOTAS = {
    "the only file a container sees": (
        1.5,
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"},
    ),
    "own group": (
        2.0,
        {
            "proc/self/cgroup": "0::/kube/pod1/app\n",
            "sys/fs/cgroup/kube/pod1/app/cpu.max": "200000 100000\n",
        },
    ),
    "the group above": (
        0.5,
        {
            "proc/self/cgroup": "0::/kube/pod1/app\n",
            "sys/fs/cgroup/kube/pod1/app/cpu.max": "max 100000\n",
            "sys/fs/cgroup/kube/cpu.max": "25000 50000\n",
        },
    ),
    "the least of several": (
        1.0,
        {
            "proc/self/cgroup": "0::/kube/pod1\n",
            "sys/fs/cgroup/kube/pod1/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/kube/cpu.max": "100000 100000\n",
        },
    ),
    "path of the host": (
        2.0,
        {
            "proc/self/cgroup": "0::/system.slice/docker-abc.scope\n",
            "sys/fs/cgroup/cpu.max": "200000 100000\n",
        },
    ),
    "path outside of the container": (
        2.0,
        {
            "proc/self/cgroup": "0::/../other\n",
            "sys/fs/cgroup/cpu.max": "200000 100000\n",
            "sys/fs/other/cpu.max": "100000 100000\n",
        },
    ),
    "version 1, own group": (
        2.0,
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
        },
    ),
    "version 1, root": (
        0.25,
        {
            "proc/self/cgroup": V1.replace("cpu,cpuacct", "cpuacct,cpu"),
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    ),
    "version 1, controllers the other way round": (
        2.0,
        {
            "proc/self/cgroup": "1:cpuset:/other\n2:cpuacct,cpu:/\n",
            "sys/fs/cgroup/cpuacct,cpu/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpuacct,cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpuacct,cpu/other/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpuacct,cpu/other/cpu.cfs_period_us": "100000\n",
        },
    ),
    "version 1 beside an empty version 2": (
        4.0,
        {
            "proc/self/cgroup": f"{V1}0::/docker/abc\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    ),
}


@pytest.mark.parametrize(("cpus", "files"), QUOTAS.values(), ids=QUOTAS)
def test_a_quota_counts(tmp_path: Path, cpus: float, files: dict[str, str]) -> None:
    """Trap 111: a container's quota is found, where `os.cpu_count()` tells the whole machine."""
    assert cpu_limit(_tree(tmp_path, files)) == CpuLimit(cpus, "CPU quota of the container")


def test_a_quota_over_the_machine_is_none(tmp_path: Path) -> None:
    """A quota of more CPUs than the machine has does not add any."""
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000000 100000\n"}
    assert cpu_limit(_tree(tmp_path, files)).cpus == MACHINE_CPUS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "max",
        "max 100000",
        "100000",
        "1 2 3",
        "-1 100000",
        "0 100000",
        "100000 0",
        "a b",
        "1e5 1e5",
        "nan nan",
        "\x00",
    ],
)
def test_garbage_is_no_quota(tmp_path: Path, text: str) -> None:
    """A file that makes no sense does not stop the start."""
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text}
    assert cpu_limit(_tree(tmp_path, files)).cpus == MACHINE_CPUS


@pytest.mark.parametrize("text", ["", "0", "0:", "garbage\n\n:::\n", "2:cpuset:/\n", "\xff"])
def test_a_strange_list_of_groups_is_no_quota(tmp_path: Path, text: str) -> None:
    """A process whose group can't be told has the CPUs of the machine."""
    assert cpu_limit(_tree(tmp_path, {"proc/self/cgroup": text})).cpus == MACHINE_CPUS


def test_unlimited_in_version_1_is_no_quota(tmp_path: Path) -> None:
    """Version 1 says -1 where there is no quota."""
    files = {
        "proc/self/cgroup": V1,
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    assert cpu_limit(_tree(tmp_path, files)).cpus == MACHINE_CPUS


def test_what_can_not_be_read_is_no_quota(tmp_path: Path) -> None:
    """A folder in place of a file, and bytes that are no text, do not stop the start."""
    (tmp_path / "sys/fs/cgroup/cpu.max").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_bytes(b"0::/\xff\n")
    assert cpu_limit(tmp_path).cpus == MACHINE_CPUS


def test_this_machine_has_a_limit() -> None:
    """On the real tree there is at least some CPU."""
    assert 0 < cpu_limit().cpus <= MACHINE_CPUS


@pytest.mark.parametrize(
    ("cpus", "auto", "formula"), [(0.25, 1, 3), (1.0, 1, 3), (1.9, 1, 3), (2.0, 2, 5), (8, 8, 17)]
)
def test_workers_follow_whole_cpus(cpus: float, auto: int, formula: int) -> None:
    """There is a worker for each whole CPU, and always one; 2n+1 is the formula on the same n."""
    limit = CpuLimit(cpus, "CPU affinity")
    counts = [
        choose_workers(how, limit, pools={}, connection_budget=None).count
        for how in ("auto", "2n+1")
    ]
    assert counts == [auto, formula]


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (TWO_CPUS, "2 CPUs (CPU quota of the container)"),
        (CpuLimit(1, "CPU affinity"), "1 CPU (CPU affinity)"),
        (CpuLimit(0.5, "CPU quota of the container"), "0.5 CPUs (CPU quota of the container)"),
    ],
)
def test_the_reason_names_the_limit(limit: CpuLimit, words: str) -> None:
    """The reason of a number of workers says how much CPU there is, and what limits it."""
    chosen = choose_workers("auto", limit, pools={}, connection_budget=None)
    formula = choose_workers("2n+1", limit, pools={}, connection_budget=None)
    assert (chosen.reason, formula.reason) == (words, f"2n+1 with {words}")


@pytest.mark.parametrize(("budget", "count"), [(100, 16), (20, 4), (24, 4), (5, 1)])
def test_the_connection_budget_bounds_workers(budget: int, count: int) -> None:
    """Workers times the size of the pool stays within what the server allows."""
    limit = CpuLimit(16, "CPUs of the machine")
    chosen = choose_workers("auto", limit, pools={"postgres": 5}, connection_budget=budget)
    assert chosen.count == count


def test_the_reason_names_the_budget() -> None:
    """The reason of a number that the budget decided shows the division."""
    limit = CpuLimit(16, "CPUs of the machine")
    for requested in ("auto", "2n+1"):
        chosen = choose_workers(requested, limit, pools={"postgres": 5}, connection_budget=20)
        assert chosen == Workers(4, "connection budget 20 / 5 per worker of 'postgres'", None)


def test_the_largest_pool_decides() -> None:
    """The budget holds for each pool by itself, since they may speak to different servers."""
    pools = {"reports": 2, "postgres": 5, "audit": 3}
    chosen = choose_workers("2n+1", TWO_CPUS, pools=pools, connection_budget=10)
    assert chosen == Workers(2, "connection budget 10 / 5 per worker of 'postgres'")


@pytest.mark.parametrize("pools", [{}, {"nothing": 0}])
def test_a_budget_without_pools_bounds_nothing(pools: dict[str, int]) -> None:
    """An app that opens no connections gets a worker for each CPU."""
    assert choose_workers("auto", TWO_CPUS, pools=pools, connection_budget=1).count == 2


def test_a_number_is_kept() -> None:
    """A number that was set is taken as it is, whatever the CPUs."""
    chosen = choose_workers(7, TWO_CPUS, pools={"postgres": 5}, connection_budget=35)
    assert chosen == Workers(7, "as set")


def test_a_number_over_the_budget_is_kept_with_a_warning() -> None:
    """The warning names the pool, the numbers and both remedies."""
    chosen = choose_workers(8, TWO_CPUS, pools={"postgres": 5}, connection_budget=20)
    assert chosen == Workers(
        8,
        "as set",
        "8 workers with 5 connections of 'postgres' each may open 40, and connection_budget is 20. "
        "Take 4 workers or fewer, or give 'postgres' max_size=2 or less.",
    )


def test_a_remedy_that_is_none_is_left_out() -> None:
    """Where each worker would get less than one connection, only fewer workers help."""
    chosen = choose_workers(8, TWO_CPUS, pools={"postgres": 5}, connection_budget=6)
    assert chosen.warning is not None
    assert chosen.warning.endswith("connection_budget is 6. Take 1 worker.")


@pytest.mark.parametrize("requested", ["auto", "2n+1", 1])
def test_a_budget_under_one_pool_is_an_error(requested: int) -> None:
    """A budget that a single worker is over is a fault of the settings, and says so."""
    with pytest.raises(ConnectionBudgetError) as caught:
        choose_workers(requested, TWO_CPUS, pools={"postgres": 10}, connection_budget=4)
    assert caught.value.exit_code == EX_CONFIG
    assert str(caught.value) == (
        "A single worker may open 10 connections of 'postgres', and connection_budget is 4. "
        "Give 'postgres' max_size=4 or less, or raise the budget."
    )


@pytest.mark.parametrize("count", [0, -1, 65, 100_000])
def test_an_absurd_number_is_refused(count: int) -> None:
    """Less than one worker, or more than 32 per CPU, is a slip on the command line."""
    with pytest.raises(WorkerCountError) as caught:
        choose_workers(count, TWO_CPUS, pools={}, connection_budget=None)
    assert isinstance(caught.value, CommandError)
    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        f"{count} workers can't be started with 2 CPUs (CPU quota of the container). "
        "Take 1 to 64, or 'auto' for one per CPU."
    )


def test_a_part_of_a_cpu_takes_32() -> None:
    """Half a CPU still takes as many workers as one."""
    half = CpuLimit(0.5, "CPU quota of the container")
    assert choose_workers(32, half, pools={}, connection_budget=None).count == 32


def test_it_loads_without_fastapi() -> None:
    """Counting workers imports neither FastAPI nor Pydantic."""
    program = (
        "import sturdyapi.serving.capacity, sys\nprint({'fastapi', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"set()\n"
