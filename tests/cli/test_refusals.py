"""What cannot be carried out is said in one line with the cure; the exit status says which kind of trouble it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from cks_pool.errors import FAILED, REFUSED, BadInput, Failed, exit_status
from cks_pool.options import seconds
from cks_pool.parameters import as_typed
from pool.core.errors import InvalidInput, NoClusterAvailable, RestoreFailed, UnknownCluster
from pool.kube import client
from tests.cli.conftest import Command
from tests.pool.lab import Lab


async def test_a_kubeconfig_that_is_not_there(command: Command, tmp_path: Path) -> None:
    said = await command("status", "--kubeconfig", str(tmp_path / "missing"))
    assert said.status == 2
    assert "missing" in said.line
    assert "CKS_POOL_KUBECONFIG" in said.line


async def test_a_server_that_does_not_answer(
    lab: Lab,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(client, "CONNECT_PATIENCE", 0.2)
    config = yaml.safe_load(Path(os.environ["CKS_POOL_KUBECONFIG"]).read_text())
    # Port 1 of loopback: nothing listens there, the connection is refused at once.
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    dead = tmp_path / "dead"
    dead.write_text(yaml.safe_dump(config))
    said = await command("status", "--kubeconfig", str(dead))
    assert said.status == 2
    assert "127.0.0.1:1" in said.line
    assert caplog.records == [], "what is logged stands on stderr too, where nothing is set up"


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("stauts",), "status"),
        (("status", "-o", "jso"), "json"),
        (("status", "--wach"), "--watch"),
        (("assign",), "SESSION_ID"),
        (("assign", "0042", "--ttl", "soon"), "1h30m"),
        (("scale", "default"), "--size"),
        (("scale", "default", "--size", "many"), "int"),
        (("run", "reset-clusters"), "reset-cluster"),
    ],
)
async def test_words_that_mean_nothing(command: Command, words: tuple[str, ...], cure: str) -> None:
    said = await command(*words)
    assert said.status == 2
    assert said.out == ""
    assert cure in said.line


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadInput("x"), REFUSED),
        (InvalidInput("x"), REFUSED),
        (UnknownCluster("x"), REFUSED),
        (NoClusterAvailable("x", {}), FAILED),
        (RestoreFailed("x"), FAILED),
        (Failed("x"), FAILED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_the_status_tells_what_was_tried_from_what_was_refused(error: Exception, status: int) -> None:
    assert exit_status(error) == status


@pytest.mark.parametrize(
    ("text", "meant"), [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("2h", 7200), ("1h5s", 3605)]
)
def test_durations(text: str, meant: int) -> None:
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "soon", "1.5h", "-5", "5d", "m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadInput, match="1h30m"):
        seconds(text)


def test_values_of_parameters_are_what_was_typed() -> None:
    """Their types are the flow's to say."""
    found = as_typed(["session_id=0042", "size=3", "force=true", "epoch=null", "cluster_ids=[lab1, 007]"])
    assert found == {
        "session_id": "0042",
        "size": "3",
        "force": "true",
        "epoch": None,
        "cluster_ids": ["lab1", "007"],
    }


@pytest.mark.parametrize("text", ["size", "=3", "size=[", "a=1"])
def test_what_is_no_parameter(text: str) -> None:
    with pytest.raises(BadInput):
        as_typed([text, "a=2"])
