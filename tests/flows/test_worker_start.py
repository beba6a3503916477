"""What a worker refuses before it serves anybody; no Prefect server is asked for it."""

from __future__ import annotations

import pytest

from flows import worker


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
