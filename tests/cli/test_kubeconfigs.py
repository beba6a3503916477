"""The way into a cluster: the pool's own or a session's, printed, or merged into a file that keeps everything else."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
import yaml

from cks_pool.kubeconfig_files import default_file, merged
from pool.guest import pki
from pool.guest.identity import ensure_identity
from pool.guest.kubeconfig import ensure_kubeconfig
from pool.kube.resources import NAMESPACES
from pool.kubevirt.cluster import Cluster
from tests.cli.conftest import Command
from tests.pool.lab import Lab


@pytest.fixture
async def held(lab: Lab) -> Cluster:
    """cluster1, with its Secrets, held by session 0042."""
    await lab.pool(1)
    await lab.state.assign("0042")
    cluster = Cluster.of(await lab.state.cluster("cluster1"))
    await lab.kube.create(NAMESPACES, NAMESPACES.manifest(cluster.namespace))
    now = lab.state.now()
    await ensure_kubeconfig(lab.kube, cluster, await ensure_identity(lab.kube, cluster, now), now)
    return cluster


def user_of(config: dict) -> tuple[str, bytes]:
    """Common name and certificate of the user of a kubeconfig's current context."""
    (context,) = [one["context"] for one in config["contexts"] if one["name"] == config["current-context"]]
    (user,) = [one["user"] for one in config["users"] if one["name"] == context["user"]]
    certificate = base64.b64decode(user["client-certificate-data"])
    pair = pki.KeyPair(certificate, base64.b64decode(user["client-key-data"]))
    return pki.load(pair)[0].subject.rfc4514_string(), certificate


async def test_the_pools_own_is_printed(held: Cluster, command: Command) -> None:
    said = await command("kubeconfig", "cluster1")
    found = yaml.safe_load(said.out)
    assert found["current-context"] == "cks-cluster1"
    assert found["clusters"][0]["cluster"]["server"] == f"https://{held.endpoint}"
    assert "CN=cks-pool" in user_of(found)[0]


async def test_a_sessions_own_is_in_its_name_and_ends_with_it(held: Cluster, lab: Lab, command: Command) -> None:
    session = await lab.state.session("0042")
    found = yaml.safe_load((await command("kubeconfig", "--session", "0042")).out)
    subject, certificate = user_of(found)
    assert "CN=0042" in subject
    assert found["current-context"] == "cks-cluster1"
    assert abs((pki.ends(certificate) - session.status.expires_at).total_seconds()) < 2


async def test_another_address_keeps_the_name_of_the_certificate(held: Cluster, command: Command) -> None:
    address = "https://{cluster}.labs.example.com:6443"
    for of in (("cluster1",), ("--session", "0042")):
        found = yaml.safe_load((await command("kubeconfig", *of, "--server", address)).out)
        cluster = found["clusters"][0]["cluster"]
        assert cluster["server"] == "https://cluster1.labs.example.com:6443"
        assert cluster["tls-server-name"] == held.server_name


async def test_it_is_merged_into_a_file_that_keeps_the_rest(held: Cluster, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "config"
    other = {"name": "other", "cluster": {"server": "https://other"}}
    path.write_text(yaml.safe_dump({"clusters": [other], "preferences": {"colors": True}, "current-context": "other"}))
    path.chmod(0o644)
    for _ in range(2):
        said = await command("kubeconfig", "cluster1", "--file", str(path))
        assert "kubectl --context cks-cluster1" in said.out
    found = yaml.safe_load(path.read_text())
    assert [one["name"] for one in found["clusters"]] == ["other", "cks-cluster1"]
    assert [one["name"] for one in found["users"]] == ["cks-cluster1"]
    assert found["preferences"] == {"colors": True}
    assert found["current-context"] == "cks-cluster1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".config")] == []


async def test_a_file_is_made_where_there_is_none(
    held: Cluster, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "config"
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert (await command("kubeconfig", "--session", "0042", "--merge")).status == 0
    assert yaml.safe_load(path.read_text())["current-context"] == "cks-cluster1"


@pytest.mark.parametrize("content", ["- 1", "clusters: [1]", "{", "text"])
async def test_what_is_no_kubeconfig_is_left_as_it_is(
    held: Cluster, command: Command, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    said = await command("kubeconfig", "cluster1", "--file", str(path))
    assert said.status == 2
    assert "--file" in said.line
    assert path.read_text() == content


async def test_a_file_that_kubectl_writes_just_now_is_left_alone(
    held: Cluster, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "config.lock").touch()
    said = await command("kubeconfig", "cluster1", "--file", str(tmp_path / "config"))
    assert said.status == 2
    assert "config.lock" in said.line
    assert not (tmp_path / "config").exists()


async def test_a_link_stays_one(held: Cluster, command: Command, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "config")
    await command("kubeconfig", "cluster1", "--file", str(link))
    assert link.is_symlink()
    assert (tmp_path / "config").exists()


async def test_what_there_is_no_kubeconfig_of(lab: Lab, command: Command) -> None:
    await lab.add("cluster1", "creating")
    assert "has no kubeconfig yet" in (await command("kubeconfig", "cluster1")).line
    assert "one of cluster1" in (await command("kubeconfig", "cluster2")).line
    assert "no session 0042" in (await command("kubeconfig", "--session", "0042")).line
    assert "either" in (await command("kubeconfig")).line
    assert "either" in (await command("kubeconfig", "cluster1", "--session", "0042")).line


def test_the_file_is_the_one_that_kubectl_would_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
    assert default_file() == second
    first.touch()
    assert default_file() == first
    monkeypatch.delenv("KUBECONFIG")
    assert default_file() == Path.home() / ".kube" / "config"


def test_entries_of_the_same_name_are_replaced() -> None:
    made = {"clusters": [{"name": "a", "cluster": 2}], "users": [], "contexts": [], "current-context": "a"}
    found = merged({"clusters": [{"name": "a", "cluster": 1}, {"name": "b", "cluster": 3}], "users": None}, made)
    assert found["clusters"] == [{"name": "b", "cluster": 3}, {"name": "a", "cluster": 2}]
