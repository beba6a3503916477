"""The contract suite beside another server: its options, tried on a simulator of another process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from simulator.app import Simulator
from simulator.client import GVR

NAMESPACES = GVR("", "v1", "namespaces")
SUITE = Path(__file__).resolve().parent / "contract"


async def run(*arguments: str) -> str:
    """The last line that pytest prints about the suite."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, cwd=SUITE.parents[1])
    told, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, told.decode()
    return told.decode().strip().splitlines()[-1]


async def test_it_judges_the_server_that_it_is_given_and_cleans_up(simulator: Simulator, tmp_path: Path) -> None:
    kubeconfig = str(tmp_path / "kubeconfig")
    chosen = "of_many_writers or goes_from_waiting"
    told = await run(str(SUITE), "--kubeconfig", kubeconfig, "--patience", "20", "-k", chosen)
    assert told.startswith("2 passed")
    kept = {one["metadata"]["name"] for one in await simulator.client.list(NAMESPACES) if not _going(one)}
    assert kept == {"default", "kube-node-lease", "kube-public", "kube-system", "vm-templates"}


async def test_what_a_server_has_not_is_left_out() -> None:
    whole, bare = await asyncio.gather(
        run(str(SUITE), "--collect-only", "--no-guests"), run(str(SUITE), "--collect-only", "--no-controllers")
    )
    assert "deselected" in whole
    assert "deselected" in bare
    assert _collected(bare) < _collected(whole)


def _collected(line: str) -> int:
    """Of `51/119 tests collected (68 deselected)`, the first number."""
    return int(line.partition("/")[0])


def _going(obj: dict[str, dict[str, str]]) -> bool:
    return "deletionTimestamp" in obj["metadata"]
