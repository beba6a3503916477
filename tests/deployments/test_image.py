"""The image, built here from a base made here; its containers live a pool's life as the manifests run them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from demo.processes import Child, free_port, ready_or_stopped
from pool.kube.resources import POOLED_CLUSTERS, POOLS
from tests.deployments import image
from tests.deployments.image import FromImage, Image
from tests.deployments.installed import ROOT, Installation, done, started, until
from tests.pool.kubectl import needed

WHY_NOT = image.missing()
pytestmark = [
    *(pytest.mark.prefect, pytest.mark.xdist_group("prefect-2"), pytest.mark.timeout(1800)),
    *(needed, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "can be built")),
]

NAME = "localhost/cks-pool-tested"
SITE = "opt/cks-pool/lib/python3*/site-packages"
REFUSED = re.compile(r"Read-only file system|Permission denied|Operation not permitted")


@pytest.fixture(scope="module")
def built() -> str:
    """Its ID."""
    return image.build(NAME)


@pytest.fixture(scope="module")
def unpacked(built: str) -> Iterator[Image]:
    with image.unpacked(NAME) as found:
        yield found


@pytest.fixture
def containers(unpacked: Image, installation: Installation) -> FromImage:
    return FromImage(**vars(installation), image=unpacked)


def test_built_again_it_is_the_same(built: str) -> None:
    assert image.build(NAME) == built


def test_it_has_what_the_lock_has_and_says_so(unpacked: Image) -> None:
    parts = json.loads((unpacked.root / "opt/cks-pool/sbom.cdx.json").read_text())
    named = {one["name"]: one["version"] for one in parts["components"]}
    locked = {one["name"]: one["version"] for one in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    installed = {_normal(path.name.removesuffix(".dist-info")) for path in unpacked.root.glob(f"{SITE}/*.dist-info")}
    assert named.items() <= locked.items()
    assert installed == {f"{name}-{version}" for name, version in named.items() if name != "pywin32"} | {
        f"cks-pool-{locked['cks-pool']}"
    }
    assert not installed & {f"{name}-{locked[name]}" for name in ("cks-pool-simulator", "pytest", "hatchling", "uv")}


def _normal(name: str) -> str:
    """Of a distribution and its version, as PyPI spells the first."""
    given, _, version = name.rpartition("-")
    return f"{re.sub('[-_.]+', '-', given).lower()}-{version}"


def test_it_is_compiled_and_says_which_version_it_is(unpacked: Image) -> None:
    sources = list(unpacked.root.glob(f"{SITE}/cks_pool/**/*.py"))
    assert len(sources) > 20
    assert all(list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc")) for path in sources)
    labels = unpacked.config["Labels"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert labels["org.opencontainers.image.version"] == version
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])


async def test_a_pool_lives_in_its_containers(containers: FromImage) -> None:
    for step in ("secrets", "prefect"):
        await done(await containers.run("cks-pool-setup-0-1-0", step))
    worker = await ready_or_stopped(*await containers.worker(), timeout=300)
    try:
        async with containers.gateway() as door:
            await started(door, "/api/v1/admin/bootstrap-pool", {"size": 1})
            await until(containers, POOLS, "default", lambda pool: pool["status"].get("available") == 1)
            assigned = await door.post("/api/v1/sessions", json={"sessionId": "alice", "ttlSeconds": 600})
            assert assigned.status_code == 201, assigned.text
            assert (await door.delete("/api/v1/sessions/alice")).status_code == 200
            await until(
                containers,
                POOLED_CLUSTERS,
                "cluster1",
                lambda one: (one["status"]["phase"], one["status"]["epoch"]) == ("available", 1),
            )
        assert (containers.written("cks-pool-worker", "tmp") / "alive").exists()
    finally:
        await worker.stop(grace=60)
    assert worker.process.returncode == 0
    assert refused(containers.folder) == []


async def test_prefects_server_starts_from_it(containers: FromImage) -> None:
    await done(await containers.run("cks-pool-setup-0-1-0", "secrets"))
    async with prefects_server(containers) as client:
        assert (await client.get("/api/admin/version")).status_code == 401
        page = await client.get("/")
        assert "text/html" in page.headers["content-type"], page.text
        assert (await client.get("/ui-settings")).json()["api_url"] == "http://127.0.0.1:4200/api"
    assert refused(containers.folder) == []


@asynccontextmanager
async def prefects_server(containers: FromImage) -> AsyncIterator[httpx.AsyncClient]:
    """As the component has it, but for its database: a file in its volume."""
    port = free_port()
    child: Child = await containers.run(
        "cks-pool-prefect",
        PREFECT_SERVER_DATABASE_CONNECTION_URL="sqlite+aiosqlite:////var/lib/prefect/prefect.db",
        PREFECT_SERVER_API_PORT=str(port),
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/api/health")).status_code == 200
            except httpx.TransportError:
                return False

        try:
            await ready_or_stopped(child, ready, timeout=300)
            yield client
        finally:
            await child.stop(grace=60)


def refused(folder: Path) -> list[str]:
    """What a container said that it could not write."""
    return [line for log in folder.glob("*.log") for line in log.read_text().splitlines() if REFUSED.search(line)]
