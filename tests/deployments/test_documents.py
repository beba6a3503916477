"""The commands for kubectl that documents show, run as they stand there, in a shell, against a Kubernetes API."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from cks_pool.secrets import ensure_secrets
from pool.kube.client import Kube
from simulator.app import Simulator
from tests.pool.kubectl import needed

pytestmark = needed

ROOT = Path(__file__).resolve().parents[2]
SHOWN = re.compile(r"(?:^\$ |`)(kubectl [^`\n]+)", re.MULTILINE)
NOT_HERE = ("exec", "wait", "port-forward", "edit", "delete -k")
"""What needs controllers, somebody at the other end, or an editor; and what removes namespaces, for the same reason."""
CLUSTER = """
apiVersion: cks.io/v1alpha1
kind: PooledCluster
metadata: {name: cluster1, namespace: cks-pool}
spec: {pool: default, namespace: cluster1}
"""


class Shell:
    """A person's, with kubectl set up, in a folder that has the manifests."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self._folder = folder
        self._env = os.environ | {"KUBECONFIG": str(kubeconfig), "HOME": str(folder), "NO_PROXY": "*"}
        (folder / "deployments").symlink_to(ROOT / "deployments")

    async def __call__(self, line: str, given: str = "") -> str:
        """What it prints, of each part of a pipe that fails too."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *("bash", "-o", "pipefail", "-c", line),
            cwd=self._folder,
            env=self._env,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        out, err = await asyncio.wait_for(process.communicate(given.encode()), 60)
        assert process.returncode == 0, f"{line}\n{out.decode()}{err.decode()}"
        return out.decode()


def shown(page: str) -> list[str]:
    """Its commands that are tried here, in their order."""
    commands = SHOWN.findall((ROOT / "docs" / page).read_text())
    return [command for command in commands if not any(f" {word}" in command for word in NOT_HERE)]


@pytest.fixture
def shell(tmp_path: Path, api_server: Simulator) -> Shell:
    assert api_server.kubeconfig_path is not None
    return Shell(tmp_path, api_server.kubeconfig_path)


async def test_installing_and_operating_go_as_their_pages_say(
    shell: Shell, api_server: Simulator, tmp_path: Path
) -> None:
    pool = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "pool.yaml").write_text(pool)
    first, *commands = shown("install.md")
    assert first == "kubectl apply -k deployments/overlays/complete"
    await shell(first)
    assert api_server.kubeconfig_path is not None
    async with Kube.connect(api_server.kubeconfig_path) as kube:
        await ensure_secrets(kube, "cks-pool", kube.now(), prefect=True)
    last = next(at for at, command in enumerate(commands) if "delete pools" in command)
    for command in commands[:last]:
        await shell(command)
    assert (tmp_path / "token").read_text().startswith("cks_")
    assert (tmp_path / "ca.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")

    await shell("kubectl apply -f -", given=CLUSTER)
    for command in shown("operate.md"):
        if "exam" not in command:
            await shell(command)

    for command in commands[last:]:
        await shell(command)
    assert await shell("kubectl -n cks-pool get pools -o name") == ""
