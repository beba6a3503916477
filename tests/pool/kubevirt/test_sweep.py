"""A reset's sweep over HTTP: what others' aborted restores left goes; what is foreign, or in use, stays."""

from __future__ import annotations

from pool.kube.client import Object
from pool.kube.resources import NAMESPACES, PVCS, VMS
from pool.kubevirt.volumes import RESTORE_ANNOTATION, sweep
from simulator.api.requests import Target
from tests.pool.bench import Bench


def restored(bench: Bench, name: str, namespace: str) -> Object:
    """A claim as a restore that nobody knows any more has left it."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = PVCS.manifest(name, namespace, labels=bench.cluster.labels, spec=spec)
    claim["metadata"]["annotations"] = {RESTORE_ANNOTATION: "somebodys-restore"}
    return claim


def vm(name: str, namespace: str, claim: str) -> Object:
    """A halted VM on a claim."""
    volumes = [{"name": "rootdisk", "persistentVolumeClaim": {"claimName": claim}}]
    domain = {"devices": {"disks": [{"name": "rootdisk", "disk": {"bus": "virtio"}}]}}
    template = {"spec": {"domain": domain, "volumes": volumes}}
    return VMS.manifest(name, namespace, spec={"runStrategy": "Halted", "template": template})


async def names(bench: Bench, namespace: str) -> set[str]:
    return {claim["metadata"]["name"] for claim in await bench.kube.list(PVCS, namespace)}


async def test_only_what_nobody_uses_goes_and_only_in_the_pools_namespaces(bench: Bench) -> None:
    await bench.prepare()
    await bench.kube.create(NAMESPACES, NAMESPACES.manifest("production"))
    for namespace in ("cluster1", "production"):
        await bench.kube.create(PVCS, restored(bench, "left", namespace))
    await bench.kube.create(PVCS, restored(bench, "in-use", "cluster1"))
    await bench.kube.create(VMS, vm("somebodys", "cluster1", "in-use"))
    plain = restored(bench, "plain", "cluster1")
    del plain["metadata"]["annotations"]
    await bench.kube.create(PVCS, plain)
    nobodys = restored(bench, "nobodys", "cluster1")
    del nobodys["metadata"]["labels"]
    await bench.kube.create(PVCS, nobodys)

    found = await sweep(bench.fence(), bench.watching, bench.cluster, timeout=10)

    assert [str(one) for one in found] == ["PersistentVolumeClaim cluster1/left"]
    await bench.watching.until(
        PVCS, "left", "cluster1", lambda claim: True if claim is None else None, timeout=10, what="it to go"
    )
    assert await names(bench, "cluster1") == {"in-use", "plain", "nobodys"}
    assert await names(bench, "production") == {"left"}


async def test_a_claim_made_anew_under_the_name_of_a_leftover_is_not_removed_for_it(bench: Bench) -> None:
    await bench.prepare()
    await bench.kube.create(PVCS, restored(bench, "left", "cluster1"))
    made: list[Object] = []

    async def replaced() -> None:
        await bench.kube.delete(PVCS, "left", "cluster1")
        await bench.watching.until(
            PVCS, "left", "cluster1", lambda claim: True if claim is None else None, timeout=10, what="it to go"
        )
        again = restored(bench, "left", "cluster1")
        del again["metadata"]["annotations"]
        made.append(await bench.kube.create(PVCS, again))

    async def before(target: Target) -> None:
        if target.verb == "delete":
            bench.wire.before = None
            await replaced()

    bench.wire.before = before
    assert await sweep(bench.fence(), bench.watching, bench.cluster, timeout=10) == []
    found = await bench.kube.get(PVCS, "left", "cluster1")
    assert found["metadata"]["uid"] == made[0]["metadata"]["uid"]
    assert not found["metadata"].get("deletionTimestamp")
