"""Flows run by the `cks-pool` command: bad input is a line that names the cure, status 2, and nothing is half-made."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cks_pool.__main__ import main
from cks_pool.deployed import FLOWS
from pool.core.pools import PoolSpec
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.resources import NAMESPACES, PODS
from pool.kube.watching import Watching
from pool.state import PoolState
from pool.work.namespaces import ensure_crds, ensure_pool_namespace
from tests.flows.conftest import environment
from tests.flows.test_deployments import DEPLOYMENTS


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Kubeconfig of a simulator in a process of its own: the command runs an event loop itself."""
    kubeconfig = tmp_path_factory.mktemp("cli") / "kubeconfig"
    command = [sys.executable, "-m", "simulator", "--kubeconfig", str(kubeconfig), "--speed", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        yield kubeconfig
        process.terminate()


@pytest.fixture
def host(cluster: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(cluster))
    return cluster


@pytest.fixture
def pools(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command's host with one Pool, of one cluster that is still to be made."""
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(cluster))
    monkeypatch.setenv("CKS_POOL_NAMESPACE", "pools")

    async def install() -> None:
        settings = Settings()
        async with Kube.connect(cluster) as kube, Watching(kube) as watching:
            await ensure_pool_namespace(kube, settings)
            await ensure_crds(kube, watching)
            state = PoolState(kube, settings, now=kube.now, watching=watching)
            await state.ensure_cluster(await state.ensure_pool("exam", PoolSpec(cluster_prefix="exam")), "exam1")

    asyncio.run(install())
    return cluster


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says on stderr; it must be one line and exit status 2."""
    assert main([*arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cks-pool: ")]
    assert len(lines) == 1
    return lines[0]


async def move_in(kubeconfig: Path, namespace: str) -> None:
    """Have somebody else's workload in a namespace."""
    async with Kube.connect(kubeconfig) as kube:
        await kube.create(NAMESPACES, NAMESPACES.manifest(namespace))
        spec = {"containers": [{"name": "app", "image": "app"}]}
        await kube.create(PODS, PODS.manifest("app", namespace, spec=spec))


async def namespaces(kubeconfig: Path) -> list[str]:
    async with Kube.connect(kubeconfig) as kube:
        return [one["metadata"]["name"] for one in await kube.list(NAMESPACES)]


def test_every_deployment_can_be_run_from_the_shell() -> None:
    assert {deployment["name"]: deployment["entrypoint"] for deployment in DEPLOYMENTS} == FLOWS


@pytest.mark.prefect
class TestBadInput:
    def test_a_cluster_name_that_is_no_dns_label(self, host: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "cluster_id" in refused(capsys, "run", "reset-cluster", "cluster_id=Not_A_Label")

    @pytest.mark.parametrize("size", ["0", "501", "many"])
    def test_a_size_out_of_bounds(self, host: Path, size: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert "size" in refused(capsys, "run", "bootstrap-pool", f"size={size}")

    def test_an_unknown_parameter(self, host: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "colour" in refused(capsys, "run", "pool-status", "colour=red")

    def test_a_parameter_without_a_value(self, host: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "NAME=VALUE" in refused(capsys, "run", "pool-status", "size")

    def test_unknown_sessions_and_clusters(self, host: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", "create-namespaces", "size=1"]) == 0
        assert "nobody" in refused(capsys, "run", "release-session", "session_id=nobody")
        assert "cluster7" in refused(capsys, "run", "reset-cluster", "cluster_id=cluster7")

    def test_a_number_is_a_session_as_typed(self, pools: Path, host: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """YAML would make 34 of it, and that no session's ID. The pool has no free cluster: tried, and failed."""
        assert main(["run", "assign-session", "session_id=0042", "pool=exam", "priority=5"]) == 1
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cks-pool: ")]
        assert "no cluster for session 0042" in lines[0]

    def test_a_namespace_of_somebody_else_stops_all_before_anything_is_made(
        self, host: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asyncio.run(move_in(host, "cluster2"))
        said = refused(capsys, "run", "bootstrap-pool", "size=3")
        assert "namespace cluster2 is not the pool's" in said
        assert "Pod app" in said
        assert "choose another spec.clusterPrefix" in said
        assert "cluster3" not in asyncio.run(namespaces(host))


@pytest.mark.prefect
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_flow_that_is_stopped_says_in_a_line_what_becomes_of_it(
    pools: Path, prefect_server: None, number: signal.Signals
) -> None:
    """It waits for a cluster of a pool that has none."""
    wait = ["run", "assign-session", "session_id=waits", "pool=exam", "wait_seconds=60"]
    command = [sys.executable, "-m", "cks_pool", *wait]
    env = {**os.environ, **environment(), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=env, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Beginning flow run" in line:
                break
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(60) == 128 + number
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("cks-pool: ")]
    assert f"stopped by {number.name}" in line
    assert "Crashed" in line
