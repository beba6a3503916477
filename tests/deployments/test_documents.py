"""Commands of the documents, run in a shell as they stand there: kubectl with a Kubernetes API, curl with a gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from cks_pool.secrets import ensure_secrets
from pool.guest.identity import ensure_identity
from pool.kube.resources import CONFIG_MAPS, NAMESPACES, PVCS, SECRETS
from pool.kubevirt.cluster import Cluster
from simulator.app import Simulator
from tests.gateway.door import of_lab, served
from tests.pool.kubectl import needed
from tests.pool.lab import Lab

pytestmark = [needed, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
SHOWN = re.compile(r"(?:^\$ |`)(kubectl [^`#\n]+)", re.MULTILINE)
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
IN_THE_WORKER = "kubectl -n cks-pool exec deployment/cks-pool-worker -- cks-pool token "
"""What is run here in the worker's place."""
NOT_HERE = ("exec", "wait", "port-forward", "edit", ".run/kubeconfig")
"""What needs controllers, somebody at the other end, an editor, or `make up`."""
MINE = "deployments/overlays/mine"
"""Where the pages have an overlay of one's own."""
VOLUME = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
SETTINGS = "app.kubernetes.io/name=cks-pool-settings"
BOUND = {"phase": "Bound", "capacity": {"storage": "10Gi"}}
"""What the database's StatefulSet asks for, and gets."""
CALLS = re.compile(r"^\$ (curl .+)$", re.MULTILINE)


class Shell:
    """A person's, with kubectl set up, in a folder that has the manifests."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self._folder = folder
        self._env = os.environ | {"KUBECONFIG": str(kubeconfig), "HOME": str(folder), "NO_PROXY": "*"}
        shutil.copytree(ROOT / "deployments", folder / "deployments")

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
        out, err = await asyncio.wait_for(process.communicate(given.encode()), 120)
        assert process.returncode == 0, f"{line}\n{out.decode()}{err.decode()}"
        return out.decode()


def shown(page: str) -> list[str]:
    """Its commands that are tried here, in their order."""
    commands = SHOWN.findall((ROOT / page).read_text())
    # There is no worker here, which what is deleted waits for.
    tried = [f"{command} --wait=false" if " delete " in command else command for command in commands]
    tried = [command.replace(IN_THE_WORKER, f"{sys.executable} -m cks_pool token ") for command in tried]
    return [command for command in tried if not any(f" {word}" in command for word in NOT_HERE)]


def blocks(page: str, kind: str) -> list[str]:
    """The manifests of that kind which it shows."""
    return [block for block in YAML.findall((ROOT / page).read_text()) if yaml.safe_load(block)["kind"] == kind]


@asynccontextmanager
async def installed(page: str, simulator: Simulator, folder: Path) -> AsyncIterator[tuple[Shell, Lab, list[str]]]:
    """By the overlay that the page shows first, and the command that applies it; with the Secrets that the setup Job
    makes. Yields the commands after that, too."""
    assert simulator.kubeconfig_path is not None
    shell = Shell(folder, simulator.kubeconfig_path)
    mine = folder / MINE
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(blocks(page, "Kustomization")[0])
    commands = shown(page)
    at = commands.index(f"kubectl apply -k {MINE}")
    for command in commands[: at + 1]:
        await shell(command)
    commands = commands[at + 1 :]
    async with Lab.open(simulator.kubeconfig_path, install=False) as lab:
        await ensure_secrets(lab.kube, lab.settings.namespace, lab.clock(), prefect=True)
        yield shell, lab, commands


async def used_as_shown(page: str, shell: Shell, lab: Lab, folder: Path) -> None:
    """The page's calls of the API: a session gets a cluster and its kubeconfig, and gives it back."""
    made = await lab.add("cluster1")
    await lab.kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    await ensure_identity(lab.kube, Cluster.of(made), lab.clock())
    async with served(of_lab(lab), **await files_of_the_gateway(lab, folder)) as door:
        gateway = f"export GATEWAY=https://localhost:{door.http.base_url.port}"
        calls = [f'{gateway} TOKEN="$(cat token)"; {call}' for call in CALLS.findall((ROOT / page).read_text())]
        asked, _, given_back = [await shell(call) for call in calls]
    assert json.loads(asked)["assignedCluster"] == json.loads(given_back)["clusterId"] == "cluster1"
    assert yaml.safe_load((folder / "alice.kubeconfig").read_text())["users"][0]["name"] == "alice"


async def test_the_readme_installs_a_pool_of_three_which_a_platform_uses_as_it_says(
    api_server: Simulator, tmp_path: Path
) -> None:
    async with installed("README.md", api_server, tmp_path) as (shell, lab, commands):
        last = next(at for at, command in enumerate(commands) if "pool exam" in command)
        for command in commands[:last]:
            await shell(command)
        assert (await lab.state.pool()).spec.size == 3
        await used_as_shown("README.md", shell, lab, tmp_path)

        (another,) = blocks("README.md", "Pool")
        await shell("kubectl apply -f -", another)
        await lab.add("exam3", pool="exam")
        for command in commands[last:]:
            await shell(command)
        assert (await lab.state.cluster("exam3")).removing
        assert await shell("kubectl -n cks-pool get pools -o name") == "pool.cks.io/default\n"


async def test_installing_operating_and_upgrading_go_as_their_pages_say(api_server: Simulator, tmp_path: Path) -> None:
    install = "docs/install.md"
    async with installed(install, api_server, tmp_path) as (shell, lab, commands):
        volume = PVCS.manifest("data-cks-pool-database-0", lab.settings.namespace, spec=VOLUME)
        await lab.kube.replace(PVCS, await lab.kube.create(PVCS, volume) | {"status": BOUND}, subresource="status")
        last = next(at for at, command in enumerate(commands) if "delete pools" in command)
        for command in commands[:last]:
            await shell(command)
        await used_as_shown(install, shell, lab, tmp_path)
        assert "lms-2026-11" in (tmp_path / "mounted-tokens.yaml").read_text(), "which the gateway has read"
        assert blocks(install, "Pool") == [(ROOT / "deployments" / "pool.yaml").read_text()]

        labels = dict([SETTINGS.split("=")])
        before = CONFIG_MAPS.manifest("cks-pool-settings-before", lab.settings.namespace, labels=labels)
        await lab.kube.create(CONFIG_MAPS, before)
        for command in shown("docs/operate.md"):
            if "exam" not in command:
                await shell(command)
        (left,) = await lab.kube.list(CONFIG_MAPS, lab.settings.namespace, labels=SETTINGS)
        assert left["metadata"]["name"] in await shell("kubectl -n cks-pool get deployment cks-pool-gateway -o yaml")

        for command in shown("docs/upgrade.md"):
            await shell(command)
        replicas = await shell(
            "kubectl -n cks-pool get deployments,statefulsets -o jsonpath='{.items[*].spec.replicas}'"
        )
        assert replicas == "2 2 1 1", "programs that were sent home for a step back are back"

        for command in commands[last:]:
            await shell(command)
        left = await shell("kubectl get crds,namespaces,clusterroles -l app.kubernetes.io/part-of=cks-pool -o name")
        kept = ["customresourcedefinition.apiextensions.k8s.io/pooledclusters.cks.io", "namespace/cks-pool"]
        assert left.split() == kept, "by a cluster that no worker is there to tear down"


async def test_a_prefect_that_is_there_already_gets_its_secret_before_anything_else(
    api_server: Simulator, tmp_path: Path
) -> None:
    assert api_server.kubeconfig_path is not None
    shell = Shell(tmp_path, api_server.kubeconfig_path)
    text = (ROOT / "deployments" / "overlays" / "own-prefect" / "kustomization.yaml").read_text()
    commands = re.findall(r"^#     (kubectl .+)", text, re.MULTILINE)
    for command in [*commands, "kubectl apply -k deployments/overlays/own-prefect"]:
        await shell(command)
    assert await shell("kubectl -n cks-pool get secrets -o name") == "secret/cks-pool-prefect\n"


async def files_of_the_gateway(lab: Lab, folder: Path) -> dict[str, Path]:
    """Its Secrets as its pod has them mounted, by the settings that name them."""
    mounted = {}
    for setting, secret, key in (
        ("tls_certificate", "cks-pool-gateway-tls", "tls.crt"),
        ("tls_key", "cks-pool-gateway-tls", "tls.key"),
        ("tokens", "cks-pool-gateway-tokens", "tokens.yaml"),
    ):
        found = await lab.kube.get(SECRETS, secret, lab.settings.namespace)
        mounted[setting] = folder / f"mounted-{key}"
        mounted[setting].write_bytes(base64.b64decode(found["data"][key]))
    return mounted
