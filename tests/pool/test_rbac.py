"""The rights under deployments/rbac suffice for all the pool does, on an API server that enforces them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from pool.core.clusters import ConditionType, OperationKind
from pool.core.errors import Forbidden, NamespaceNotOurs, UnknownPool
from pool.kube.client import Kube
from pool.kube.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    DATA_VOLUMES,
    NAMESPACES,
    POOLS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from pool.kube.watching import Watching
from pool.kubevirt.manifests import wanted_image
from pool.kubevirt.preflight import ensure_storage_proved
from pool.work import images
from pool.work.bootstrap import bootstrap
from pool.work.diagnostics import bundle
from pool.work.golden import take
from pool.work.namespaces.checks import check_cluster_namespaces
from pool.work.namespaces.prefixes import check_prefix
from pool.work.pools import ensure_pool
from pool.work.rebuild import rebuild
from pool.work.reset import reset
from pool.work.teardown import teardown
from pool.work.upkeep import keep_up
from pool.work.upkeep.acting import Keeper, Work
from pool.work.upkeep.health import look
from tests.pool.bench import CLUSTER, SETTINGS, Bench, bench_at

RBAC = Path(__file__).resolve().parents[2] / "deployments" / "rbac"
KINDS = {
    one.kind: one for one in (NAMESPACES, SERVICE_ACCOUNTS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)
}


def manifests() -> list[dict[str, Any]]:
    found = [obj for path in sorted(RBAC.glob("*.yaml")) for obj in yaml.safe_load_all(path.read_text()) if obj]
    return sorted(found, key=lambda obj: obj["kind"] != "Namespace")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench whose `kube` is the pool's ServiceAccount."""
    async with bench_at(tmp_path / "admin", 1000.0) as admin:
        for manifest in manifests():
            await admin.kube.apply(KINDS[manifest["kind"]], manifest)
        async with as_service_account(admin, tmp_path / "kubeconfig") as bench:
            yield bench


@asynccontextmanager
async def as_service_account(admin: Bench, path: Path) -> AsyncIterator[Bench]:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token_of = SERVICE_ACCOUNTS.path("cks-pool", "cks-pool", "token")
    token = (await admin.kube.request("POST", token_of, None, request))["status"]["token"]
    assert admin.simulator.kubeconfig_path is not None
    config = yaml.safe_load(admin.simulator.kubeconfig_path.read_text())
    config["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(config))
    async with Kube.connect(path) as kube, Watching(kube) as watching:
        yield Bench(admin.simulator, kube, watching, admin.wire)


async def test_the_service_account_can_do_all_the_pool_does(bench: Bench) -> None:
    await bench.prepare()
    await check_prefix(bench.kube, bench.pool)
    await check_cluster_namespaces(bench.kube, bench.pool, ["cluster1"], SETTINGS)
    assert [cluster.name for cluster in await bench.state.clusters()] == ["cluster1"]
    await bench.bootstrap()
    await ensure_storage_proved(bench.kube, bench.watching, bench.pool, SETTINGS)
    await bench.take_golden()
    await bench.reset()
    await bench.pooled_beside("standby")
    await bench.refresh()
    shown = await bundle(bench.kube, bench.cluster, SETTINGS.namespace)
    assert not [kind for kind, listed in shown.items() if str(listed).startswith("not listed")]

    await rebuild(bench.host(), "cluster1", run_id="rebuilt")
    was = wanted_image(bench.pool)
    await bench.state.delete_cluster(await bench.pooled())
    await teardown(bench.host(), "cluster1", run_id="torn-down")
    assert [cluster.name for cluster in await bench.state.clusters()] == ["standby"]
    await bench.want(image={"url": "docker://registry.example/newer:1"})
    assert await images.remove_unused_images(bench.kube, bench.state, bench.pool) == [was.disk]


async def test_a_pool_lives_and_goes_by_maintenance_as_the_service_account(bench: Bench) -> None:
    """It grows, serves a session, and is deleted, with what maintenance starts carried out at once."""
    await bench.prepare()
    await ensure_pool(bench.kube, bench.state, size=1)

    async def start(work: Work) -> str:
        doing = {
            OperationKind.BOOTSTRAP: bootstrap,
            OperationKind.GOLDEN: take,
            OperationKind.RESET: reset,
            OperationKind.TEARDOWN: teardown,
        }
        await doing[work.kind](bench.host(), work.cluster_id, run_id=bench.run_id())
        return work.wish

    async def maintain() -> None:
        with suppress(UnknownPool):
            while await keep_up(Keeper(bench.host(), start, bench.run_id()), "default"):
                pass

    await maintain()
    assert (await bench.pooled()).phase == "available"
    await bench.state.assign("alice")
    await bench.state.extend("alice", 60)
    await bench.state.heartbeat_session("alice")
    await bench.state.release("alice")
    await maintain()
    assert (await bench.pooled()).phase == "available"
    assert (await bench.state.pool()).status.available == 1

    await bench.kube.delete(POOLS, "default", SETTINGS.namespace)
    await maintain()
    assert await bench.state.pool_names() == []
    assert await bench.kube.find(NAMESPACES, "cluster1") is None
    assert await bench.kube.list(DATA_VOLUMES, "vm-templates") == []


async def test_a_cluster_whose_namespace_is_gone_is_made_anew_as_the_service_account(bench: Bench) -> None:
    """Its right to the Secrets there is gone as well."""
    await bench.bootstrap()
    await bench.take_golden()
    await bench.kube.delete(NAMESPACES, "cluster1")
    await bench.watching.until(NAMESPACES, "cluster1", None, lambda seen: seen is None or None, timeout=10, what="it")
    await look(bench.host(), "cluster1")
    seen = (await bench.pooled()).status.condition(ConditionType.GUEST_HEALTHY)
    assert seen is not None
    assert (seen.status, seen.reason) == ("False", "NotFound")
    await rebuild(bench.host(), "cluster1", run_id=bench.run_id())
    assert (await bench.pooled()).phase == "available"


async def test_it_reads_no_secrets_but_its_clusters(bench: Bench) -> None:
    await bench.prepare()
    assert await bench.kube.find(SECRETS, "cluster-ca", CLUSTER.namespace) is None
    for namespace in ("default", "kube-system", "cks-pool", "vm-templates"):
        with pytest.raises(Forbidden):
            await bench.kube.find(SECRETS, "anything", namespace)
    with pytest.raises(Forbidden):
        await bench.kube.list(SECRETS)


async def test_what_it_may_not_look_at_is_not_taken_for_an_empty_namespace(bench: Bench) -> None:
    """It lists no Secrets anywhere: only what it made itself is sure to be nobody's."""
    await bench.kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    with pytest.raises(NamespaceNotOurs, match=r"Secret.*, perhaps: listing them is forbidden"):
        await check_cluster_namespaces(bench.kube, bench.pool, ["cluster1"], SETTINGS)
