"""What is under deployments/rbac suffices for all the pool does, on an API server that enforces rights and policies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from pool.core.clusters import POOL_NAMESPACE_LABEL, ConditionType, OperationKind
from pool.core.crds import definitions
from pool.core.errors import Forbidden, NamespaceNotOurs, NoClusterAvailable, UnknownPool, VMFailed
from pool.kube.resources import CRDS, DATA_SOURCES, DATA_VOLUMES, NAMESPACES, POOLS, ROLE_BINDINGS
from pool.kube.watching import Watching
from pool.kubevirt.manifests import wanted_image
from pool.kubevirt.preflight import ensure_storage_proved
from pool.state import PoolState
from pool.work import images
from pool.work.bootstrap import bootstrap
from pool.work.diagnostics import bundle
from pool.work.golden import take
from pool.work.namespaces import ensure_crds, ensure_pool_namespace, ensure_templates_namespace
from pool.work.namespaces.checks import check_cluster_namespaces
from pool.work.namespaces.prefixes import check_prefix
from pool.work.pools import ensure_pool
from pool.work.rebuild import rebuild
from pool.work.reset import reset
from pool.work.teardown import teardown
from pool.work.upkeep import keep_up
from pool.work.upkeep.acting import Keeper, Work
from pool.work.upkeep.health import look
from simulator.api.errors import ApiError
from simulator.app import Simulator
from tests.pool.bench import SETTINGS, Bench, bench_at
from tests.pool.builders import pool
from tests.pool.kubectl import Kubectl, needed
from tests.pool.lab import Lab
from tests.pool.rights import DEPLOYMENTS, GATEWAY, INSTALLER, KINDS, WORKER, as_account, install


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench of the host's administrator, who has installed what there is to install."""
    async with bench_at(tmp_path / "admin", 1000.0) as admin:
        await install(admin.kube)
        yield admin


@pytest.fixture
async def bench(admin: Bench, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench whose `kube` is the worker's."""
    async with bench_as(WORKER, admin, tmp_path) as bench:
        yield bench


@asynccontextmanager
async def bench_as(account: str, admin: Bench, folder: Path) -> AsyncIterator[Bench]:
    given = admin.simulator.kubeconfig_path
    assert given is not None
    async with as_account(account, admin.kube, given, folder) as kube, Watching(kube) as watching:
        yield Bench(admin.simulator, kube, watching, admin.wire)


async def test_the_worker_can_do_all_the_pool_does_once_it_is_installed(bench: Bench) -> None:
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
    assert all(isinstance(printed, list) for printed in shown["consoles"].values()), shown["consoles"]

    await rebuild(bench.host(), "cluster1", run_id="rebuilt")
    was = wanted_image(bench.pool)
    await bench.state.delete_cluster(await bench.pooled())
    await teardown(bench.host(), "cluster1", run_id="torn-down")
    assert [cluster.name for cluster in await bench.state.clusters()] == ["standby"]
    await bench.want(image={"url": "docker://registry.example/newer:1"})
    assert await images.remove_unused_images(bench.kube, bench.state, bench.pool) == [was.disk]


async def test_the_gateway_can_do_all_it_serves(admin: Bench, tmp_path: Path) -> None:
    given = admin.simulator.kubeconfig_path
    assert given is not None
    async with (
        Lab.open(given, install=False) as lab,
        as_account(GATEWAY, admin.kube, given, tmp_path) as kube,
        Watching(kube) as watching,
    ):
        await lab.pool(2)
        state = PoolState(kube, lab.settings, now=lab.clock, watching=watching)
        async with aclosing(state), state.following():
            assert (await state.assign("alice")).status.assigned_cluster == "cluster1"
            await state.extend("alice", 60)
            await state.heartbeat_session("alice")
            assert (await state.release("alice")).cluster_id == "cluster1"
            assert (await state.resize("default", 5)).spec.size == 5
            assert (await state.cordon("cluster2", True)).spec.cordoned
            with pytest.raises(NoClusterAvailable):
                await state.assign("bob")
            await state.serve_queue()


async def test_the_worker_clones_images_of_other_namespaces_once_it_is_let(admin: Bench, bench: Bench) -> None:
    """With the rights that docs/nodes.md gives it."""
    await ensure_templates_namespace(admin.kube, SETTINGS)
    await admin.kube.create(NAMESPACES, NAMESPACES.manifest("golden"))
    disk = {"source": {"blank": {}}, "storage": {"resources": {"requests": {"storage": "20Gi"}}}}
    await admin.kube.create(DATA_VOLUMES, DATA_VOLUMES.manifest("node", "golden", spec=disk))
    named = DATA_SOURCES.manifest("node", "golden", spec={"source": {"pvc": {"namespace": "golden", "name": "node"}}})
    await admin.kube.create(DATA_SOURCES, named)
    sources = [pool(image={"url": f"{kind}://golden/node"}) for kind in ("pvc", "datavolume", "datasource")]
    for of in sources:
        with pytest.raises(VMFailed, match="insufficient permissions in clone source namespace golden") as raised:
            await images.ensure_image(bench.kube, bench.watching, of, SETTINGS)
        assert "docs/nodes.md" in raised.value.cure
    page = (DEPLOYMENTS.parent / "docs" / "nodes.md").read_text()
    for manifest in yaml.safe_load_all(page.split("```yaml\n")[1].split("```")[0]):
        await admin.kube.apply(KINDS[manifest["kind"]], manifest, force=True)
    for of in sources:
        image = await images.ensure_image(bench.kube, bench.watching, of, SETTINGS)
        assert image.url == of.spec.image.url


async def test_a_pool_lives_and_goes_by_maintenance_as_the_worker(bench: Bench) -> None:
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


async def test_a_cluster_whose_namespace_is_gone_is_made_anew_as_the_worker(bench: Bench) -> None:
    """Its right to the Secrets there is gone as well."""
    await bench.bootstrap()
    await bench.take_golden()
    await bench.kube.delete(NAMESPACES, "cluster1")
    await bench.watching.until(NAMESPACES, "cluster1", None, gone, timeout=10, what="it")
    await look(bench.host(), "cluster1")
    seen = (await bench.pooled()).status.condition(ConditionType.GUEST_HEALTHY)
    assert seen is not None
    assert (seen.status, seen.reason) == ("False", "NotFound")
    await rebuild(bench.host(), "cluster1", run_id=bench.run_id())
    assert (await bench.pooled()).phase == "available"


async def test_what_it_may_not_look_at_is_not_taken_for_an_empty_namespace(admin: Bench, bench: Bench) -> None:
    """It lists no Secrets anywhere: only what it made itself is sure to be nobody's."""
    await admin.kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    with pytest.raises(NamespaceNotOurs, match=r"Secret.*, perhaps: listing them is forbidden"):
        await check_cluster_namespaces(bench.kube, bench.pool, ["cluster1"], SETTINGS)


async def test_the_installer_prepares_and_removes_and_the_worker_does_the_rest(admin: Bench, tmp_path: Path) -> None:
    """As create-namespaces and teardown-pool do when a person runs them; here on a host without the kinds."""
    for crd in definitions():
        await admin.kube.delete(CRDS, crd["metadata"]["name"])
        await admin.watching.until(CRDS, crd["metadata"]["name"], None, gone, timeout=10, what="it")
    async with bench_as(INSTALLER, admin, tmp_path) as installer, bench_as(WORKER, admin, tmp_path) as worker:
        await check_cluster_namespaces(installer.kube, installer.pool, ["cluster1"], SETTINGS)
        await installer.prepare()
        await worker.bootstrap()
        await worker.take_golden()
        await worker.reset()
        await installer.state.delete_cluster(await installer.pooled())
        await teardown(installer.host(), "cluster1", run_id="torn-down")
        assert await installer.kube.find(NAMESPACES, "cluster1") is None


async def test_who_may_not_install_is_told_who_may(admin: Bench, bench: Bench) -> None:
    """And what is installed as this version needs it is left alone."""
    await admin.kube.patch(CRDS, "pools.cks.io", {"spec": {"names": {"shortNames": ["other"]}}})
    with pytest.raises(Forbidden, match=r"pools.cks.io is not as this version needs it.*kubectl apply"):
        await ensure_crds(bench.kube, bench.watching)
    await admin.kube.delete(NAMESPACES, "vm-templates")
    await admin.watching.until(NAMESPACES, "vm-templates", None, gone, timeout=10, what="it")
    with pytest.raises(Forbidden, match=r"Namespace vm-templates is not there.*create-namespaces as installer"):
        await ensure_templates_namespace(bench.kube, SETTINGS)


async def test_what_is_installed_is_not_written_again(admin: Bench) -> None:
    await admin.prepare()
    admin.wire.calls.clear()
    await ensure_pool_namespace(admin.kube, SETTINGS)
    await ensure_crds(admin.kube, admin.watching)
    await ensure_templates_namespace(admin.kube, SETTINGS)
    assert {verb for verb, _ in admin.wire.calls} <= {"get", "list", "watch"}


async def test_a_right_that_counts_only_after_a_while_is_waited_for(bench: Bench) -> None:
    """API servers read bindings from a cache."""
    not_yet = ApiError(403, "Forbidden", "networkpolicies is forbidden")
    bench.wire.refuse(not_yet, verb="patch", plural="networkpolicies", times=2)
    await bench.prepare()
    assert bench.wire.calls["patch", "networkpolicies"] == 3


async def test_namespaces_of_before_are_marked_by_who_installs(admin: Bench, bench: Bench) -> None:
    """A worker must not touch what does not say that it is its own; create-namespaces by the installer mends that."""
    await admin.prepare()
    unmarked = {"metadata": {"labels": {POOL_NAMESPACE_LABEL: None}}}
    await admin.kube.patch(NAMESPACES, "cluster1", unmarked)
    await admin.kube.patch(ROLE_BINDINGS, "clone-cluster1", unmarked, "vm-templates")
    with pytest.raises(Forbidden, match="touches only namespaces with the label"):
        await bench.prepare()
    await admin.prepare()
    await bench.prepare()


@needed
async def test_kubectl_applies_it_all_in_one_go_and_again(tmp_path: Path) -> None:
    async with Simulator(controllers=False, kubeconfig=tmp_path / "kubeconfig"):
        kubectl = Kubectl(tmp_path / "kubeconfig", "", tmp_path)
        folder = str(DEPLOYMENTS / "rbac")
        await kubectl("apply", "-k", folder)
        again = await kubectl("apply", "-k", folder)
        assert [line for line in again.splitlines() if not line.endswith(" unchanged")] == []


def gone(seen: dict[str, Any] | None) -> bool | None:
    return seen is None or None
