"""What a worker refuses before it serves anybody; no Prefect server is asked for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import worker
from pool.core.crds import SCHEMA, SCHEMA_LABEL
from pool.core.errors import WrongVersion
from pool.kube.resources import CRDS
from simulator.app import Simulator
from tests.pool.lab import Lab


def test_settings_that_cannot_be_stop_a_worker_at_its_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CKS_POOL_OPERATION_HEARTBEAT", "60")
    monkeypatch.setenv("CKS_POOL_OPERATION_GRACE", "10")
    with pytest.raises(SystemExit) as raised:
        worker.main(["--pool", "cks-pool"])
    assert raised.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "CKS_POOL_OPERATION_HEARTBEAT and CKS_POOL_OPERATION_GRACE" in said


async def test_a_worker_that_its_hosts_kinds_do_not_do_for_gives_no_sign_of_life(
    api_server: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one it would count as started, and a rollout would remove those before it."""
    assert api_server.kubeconfig_path is not None
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(api_server.kubeconfig_path))
    alive = tmp_path / "alive"
    async with Lab.open(api_server.kubeconfig_path) as lab:
        await lab.kube.patch(CRDS, "pools.cks.io", {"metadata": {"labels": {SCHEMA_LABEL: str(SCHEMA - 1)}}})
        with pytest.raises(WrongVersion):
            await worker.serve("cks-pool", alive=alive)
    assert not alive.exists()
