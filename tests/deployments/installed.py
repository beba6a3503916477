"""The overlay, applied: its processes run from the wheel, as the ServiceAccounts that the overlay gives them."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import httpx
from hatchling.builders.wheel import WheelBuilder

from demo.processes import Child, free_port, ready_or_stopped, start
from pool.kube.client import Kube, Object
from pool.kube.resources import CONFIG_MAPS, SECRETS, Resource
from pool.kube.watching import Watching
from tests.deployments.overlays import OVERLAYS, containers, pods
from tests.pool.kubectl import Kubectl
from tests.pool.rights import kubeconfig_of

ROOT = OVERLAYS.parents[1]
HOME = "cks-pool"
COMPLETE = str(OVERLAYS / "complete")


@dataclass
class Installation:
    """What was applied, and where it runs."""

    kubectl: Kubectl
    admin: Kube
    watching: Watching
    given: Path
    folder: Path
    prefect: str
    """The API of the Prefect server that stands for the overlay's."""
    packages: Path
    """The wheel, unpacked."""

    async def run(self, workload: str, container: str = "", **environment: str) -> Child:
        """Start a container of a workload: its arguments, its settings, its account's token and nothing else."""
        template = dict(pods("complete"))[workload]
        one = next(one for one in containers(template) if container in ("", one["name"]))
        account = template["spec"]["serviceAccountName"]
        kubeconfig = await kubeconfig_of(account, self.admin, self.given, self.folder / account)
        command = [sys.executable, "-m", "cks_pool", *one["args"]]
        name = container or workload
        env = self._emptied() | await self.given_to(one) | self._here() | {"CKS_POOL_KUBECONFIG": str(kubeconfig)}
        return await start(name, command, log=self.folder / f"{name}.log", env=env | environment)

    async def worker(self) -> tuple[Child, Callable[[], Awaitable[bool]]]:
        """The worker, and whether it polls."""
        child = await self.run("cks-pool-worker")

        async def ready() -> bool:
            return "started" in child.log.read_text(errors="replace")

        return child, ready

    async def given_to(self, container: Object) -> dict[str, str]:
        """Its environment, as the manifest names it: of ConfigMaps, of Secrets, and its own."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                found |= (await self.admin.get(CONFIG_MAPS, source["configMapRef"]["name"], HOME))["data"]
            else:
                found |= await self.secret(source["secretRef"]["name"])
        for env in container.get("env", []):
            if "value" in env:
                found[env["name"]] = env["value"]
            else:
                key = env["valueFrom"]["secretKeyRef"]
                found[env["name"]] = (await self.secret(key["name"]))[key["key"]]
        return found

    def _emptied(self) -> dict[str, str]:
        """What the tests' own process has, and a pod has not."""
        return dict.fromkeys([name for name in os.environ if name.startswith(("PREFECT_", "CKS_"))], "")

    def _here(self) -> dict[str, str]:
        """What is elsewhere than in a pod."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {"PREFECT_HOME": str(home), "PREFECT_API_URL": self.prefect, "PYTHONPATH": str(self.packages)}

    async def secret(self, name: str) -> dict[str, str]:
        """What is in it."""
        data = (await self.admin.get(SECRETS, name, HOME))["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    async def mounted(self, secret: str) -> Path:
        """The Secret's keys as files."""
        folder = self.folder / secret
        folder.mkdir(exist_ok=True)
        for key, value in (await self.secret(secret)).items():
            (folder / key).write_text(value)
        return folder

    def places(self, tls: Path, tokens: Path) -> dict[str, str]:
        """Where the gateway's files are, which are elsewhere in a pod."""
        return {
            "CKS_GATEWAY_TLS_CERTIFICATE": str(tls / "tls.crt"),
            "CKS_GATEWAY_TLS_KEY": str(tls / "tls.key"),
            "CKS_GATEWAY_TOKENS": str(tokens / "tokens.yaml"),
        }

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[httpx.AsyncClient]:
        """The gateway, over TLS by the CA and with the token that the installation made."""
        tls, tokens = await self.mounted("cks-pool-gateway-tls"), await self.mounted("cks-pool-gateway-tokens")
        port = free_port()
        places = self.places(tls, tokens) | {"CKS_GATEWAY_LISTEN": f"127.0.0.1:{port}"}
        child = await self.run("cks-pool-gateway", **places)
        token = (await self.mounted("cks-pool-gateway-operator") / "token").read_text()
        trust = ssl.create_default_context(cafile=str(tls / "ca.crt"))
        async with httpx.AsyncClient(
            base_url=f"https://localhost:{port}",
            verify=trust,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        ) as client:
            try:

                async def ready() -> bool:
                    try:
                        return (await client.get("/readyz")).status_code == 200
                    except httpx.TransportError:
                        return False

                await ready_or_stopped(child, ready, timeout=120)
                yield client
            finally:
                await child.stop()


def unpacked(folder: Path) -> Path:
    """The wheel, built without a network."""
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    packages = folder / "packages"
    ZipFile(built).extractall(packages)
    return packages


async def done(child: Child) -> None:
    """The Job's container has succeeded."""
    status = await child.process.wait()
    await child.stop()
    assert status == 0, child.tail(40)


async def until(installation: Installation, resource: Resource, name: str, check: Callable[[Object], bool]) -> None:
    def found(obj: Object | None) -> bool | None:
        return True if obj and obj.get("status") and check(obj) else None

    what = f"{name} to be as expected"
    await installation.watching.until(resource, name, HOME, found, timeout=120, what=what)


async def started(door: httpx.AsyncClient, call: str, body: Any = None) -> None:
    """Ask for a flow run; with the same key again, as the answer says, while Prefect has no time."""
    # Other tests ask for the same at the same server.
    key = uuid4().hex
    async with asyncio.timeout(60):
        while (answer := await door.post(call, json=body, headers={"Idempotency-Key": key})).status_code == 503:
            pass
    assert answer.status_code == 202, answer.text
