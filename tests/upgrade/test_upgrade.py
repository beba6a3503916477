"""From the release before to this one and back one step, on what that release's own code stored (`kept.py`).

| on the host                | who works on it | what becomes of it                                                  |
|----------------------------|-----------------|---------------------------------------------------------------------|
| its kinds and objects      | this code       | refused: the gateway is not ready, the worker does not start        |
| today's kinds, its objects | this code       | all is read; sessions go on, the rest is planned as if it were ours |
| kinds of a release to come | this code       | it goes on, keeps their fields and leaves the kinds as they are     |
| its kinds, today's objects | its code        | it reads them; holders stay, only notes that are newer are pruned   |

The code of the release before is not run here. What it reads is what its definitions leave of an object, and what it
writes is played by this code on its definitions, which prune and judge each write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import jsonschema
import pytest

from flows import worker
from flows.runtime import check_host
from pool.core.clusters import OperationKind
from pool.core.crds import SCHEMA, SCHEMA_LABEL, definitions
from pool.core.errors import Invalid, NoClusterAvailable, WrongVersion
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import Action, BindPending, CheckHealth, Started
from pool.kube.client import Object
from pool.kube.resources import CRDS, POOLED_CLUSTERS
from pool.state.events import Listener
from pool.work.namespaces import ensure_crds
from pool.work.namespaces.kinds import check_kinds, schema_of
from pool.work.opening import opened
from pool.work.steps import Host
from simulator.app import Simulator
from tests.gateway.door import followed, inside
from tests.pool.lab import ATTESTED, Lab
from tests.upgrade.kept import (
    KINDS,
    LAST_WRITE,
    MODELS,
    apply,
    fields,
    previous_definitions,
    previous_objects,
    restore_previous,
    schema_in,
)


@pytest.fixture
async def old(api_server: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    """A host as the release before left it, in the moment after its last write."""
    assert api_server.kubeconfig_path is not None
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(api_server.kubeconfig_path))
    async with Lab.open(api_server.kubeconfig_path, install=False) as lab:
        await restore_previous(api_server, lab.kube, lab.watching)
        lab.clock.time = LAST_WRITE
        yield lab


@pytest.fixture
async def upgraded(old: Lab) -> Lab:
    """The same, with today's kinds."""
    await apply(old.kube, old.watching, definitions())
    return old


async def stored(lab: Lab) -> dict[str, Object]:
    """All objects as the API server serves them, by kind and name."""
    found = {}
    for kind in KINDS.values():
        for obj in await lab.kube.list(kind, lab.settings.namespace):
            found[f"{kind.kind} {obj['metadata']['name']}"] = obj
    return found


async def holders(lab: Lab) -> dict[str, tuple[str | None, str | None, int]]:
    """Who holds each cluster: session, its UID, epoch."""
    found = {}
    for cluster in await lab.state.clusters():
        status = cluster.status
        found[cluster.name] = status.assigned_session, status.assigned_session_uid, status.epoch
    return found


async def test_everything_that_was_stored_is_read_whole_and_would_be_written_as_it_was(upgraded: Lab) -> None:
    before = {f"{obj['kind']} {obj['metadata']['name']}": obj for obj in previous_objects()}
    found = await stored(upgraded)
    assert found.keys() == before.keys()
    for name, obj in found.items():
        read = MODELS[obj["kind"]].seen(obj)
        assert not read.unreadable
        rewritten = read.to_object()
        for part in ("spec", "status"):
            was = {key: value for key, value in (before[name].get(part) or {}).items() if value not in (None, "")}
            assert _same(was, rewritten[part]), f"{name} {part}"


def _same(was: Any, now: Any) -> bool:
    """Whether nothing of `was` is lost or changed; times may be written in another form."""
    if isinstance(was, dict):
        return all(key in now and _same(value, now[key]) for key, value in was.items())
    if isinstance(was, list):
        return len(was) == len(now) and all(map(_same, was, now))
    return str(was).replace("+00:00", "Z") == str(now).replace("+00:00", "Z")


async def test_sessions_go_on_over_an_upgrade_and_nothing_is_handed_out_twice(upgraded: Lab) -> None:
    lab = upgraded
    assert await lab.state.assign("alice") == await lab.state.session("alice"), "asked for again, it has what it had"
    more = (await lab.state.extend("alice", 600, key="one")).expires_at
    assert (await lab.state.extend("alice", 600, key="one")).expires_at == more
    await lab.state.heartbeat_session("alice")
    # What a reset in place left half done is carried on for its session, at a new epoch.
    await lab.silence()
    async with lab.state.operation("cluster4", OperationKind.RESET, "after-the-upgrade", session_id="bob") as work:
        await work.finish(attested=ATTESTED)
    assert (await lab.state.session("bob")).status.epoch == 2
    # Who waited before gets the one that is free; nobody else does.
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("frank")
    await lab.state.serve_queue()
    assert (await lab.state.session("carol")).status.assigned_cluster == "cluster1"
    await lab.state.release("alice")
    assert (await lab.reset("cluster3")).phase == "available"
    assert (await lab.state.assign("dave")).status.assigned_cluster == "cluster3", "an ID that ended begins anew"
    await lab.check()


async def test_maintenance_plans_for_old_objects_what_the_release_before_would(upgraded: Lab) -> None:
    lab = upgraded
    sessions, clusters = await lab.state.sessions(), await lab.state.clusters()
    observed = Observed.of(await lab.state.pool(), sessions, clusters, lab.state.silent(clusters))
    actions = plan(observed, PlanConfig(), lab.clock())
    assert [_told(action) for action in actions if not isinstance(action, CheckHealth)] == [
        "BindPending",
        "reset cluster2",
        "teardown cluster7",
        "rebuild cluster5",
    ]
    # With the two that go on it is five at once; cluster8, which is missing, comes after them.


def _told(action: Action) -> str:
    if isinstance(action, Started):
        return f"{action.operation} {action.cluster_id}"
    return type(action).__name__ if isinstance(action, BindPending) else str(action)


async def test_one_step_back_holders_stay_and_only_newer_notes_are_lost(upgraded: Lab) -> None:
    lab = upgraded
    await lab.state.extend("alice", 600, key="one")
    await lab.state.request("frank", wait_seconds=600, key="first")
    await lab.state.note_swept("default", 3)
    await lab.state.note_maintenance("default")
    before, held = await stored(lab), await holders(lab)

    await apply(lab.kube, lab.watching, previous_definitions())
    schemas = {crd["spec"]["names"]["kind"]: schema_in(crd) for crd in previous_definitions()}
    for name, obj in (await stored(lab)).items():
        kept = pruned(obj, schemas[obj["kind"]])
        jsonschema.validate(kept, schemas[obj["kind"]])
        lost = fields_of(before[name]) - fields_of(kept)
        assert lost <= {".status.extensionKeys[]", ".status.lastMaintenance", ".status.leftoversSwept"}, name
    assert await holders(lab) == held
    # What it writes from there on: nobody else's cluster is handed out, whoever waited is served in turn.
    await lab.state.serve_queue()
    assert {s.name: s.status.assigned_cluster for s in await lab.state.sessions() if s.phase == "Active"} == {
        "alice": "cluster3",
        "bob": "cluster4",
        "carol": "cluster1",
    }
    stolen = (await lab.state.cluster("cluster3")).with_status(assigned_session="mallory", assigned_session_uid="m")
    with pytest.raises(Invalid, match="does not change hands"):
        await lab.kube.replace(POOLED_CLUSTERS, stolen.to_object(), subresource="status")
    await lab.state.release("carol")
    assert (await lab.reset("cluster1")).phase == "available"
    await lab.state.serve_queue()
    assert (await lab.state.session("frank")).status.assigned_cluster == "cluster1"

    # And forward again.
    await apply(lab.kube, lab.watching, definitions())
    assert not [one for one in await lab.state.clusters() if one.unreadable]
    await lab.state.extend("alice", 60, key="two")
    assert (await lab.state.cluster("cluster3")).status.extension_keys[0] == "two"


def pruned(value: Any, schema: dict[str, Any]) -> Any:
    """What a definition leaves of an object: fields that it does not know go, as the API server has it."""
    if isinstance(value, list):
        return [pruned(one, schema["items"]) for one in value]
    known = schema.get("properties")
    if not isinstance(value, dict) or not known:
        return value
    return {key: pruned(one, known[key]) for key, one in value.items() if key in known}


def fields_of(value: Any, path: str = "") -> set[str]:
    if isinstance(value, list):
        return {found for one in value for found in fields_of(one, f"{path}[]")}
    if isinstance(value, dict):
        return {found for key, one in value.items() for found in fields_of(one, f"{path}.{key}")}
    return {path}


async def test_with_older_kinds_the_worker_does_not_start_and_says_what_helps(
    old: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await stored(old)
    with pytest.raises(WrongVersion, match=r"is of an older version.*kubectl apply -k deployments/crds") as refused:
        await worker.serve("cks-pool")
    assert await stored(old) == before

    def refuse(*_: object) -> None:
        raise refused.value

    monkeypatch.setattr(worker, "run_beside_signals", refuse)
    assert worker.main(["--pool", "cks-pool"]) == 1


async def test_kinds_set_back_whose_label_stayed_are_told_by_a_field_that_they_lack(upgraded: Lab) -> None:
    """As a plain `kubectl apply` of the older ones leaves it, where the newer ones were applied by somebody else."""
    lab = upgraded
    for crd in previous_definitions():
        await lab.kube.apply(CRDS, deepcopy(crd), force=True)
        labelled = {"metadata": {"labels": {SCHEMA_LABEL: str(SCHEMA)}}}
        await lab.kube.patch(CRDS, crd["metadata"]["name"], labelled)
    with pytest.raises(WrongVersion, match=r"pools\.cks\.io is of an older version.*the field status\.\w+, got none"):
        await check_kinds(lab.kube)


async def test_a_gateway_is_not_ready_while_the_kinds_are_older_and_says_what_helps(
    old: Lab, api_server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.gateway.AGAIN", 0.05)
    given = old.settings.model_copy(update={"kubeconfig": api_server.kubeconfig_path})
    refused = asyncio.Event()

    @asynccontextmanager
    async def open_host(_: Listener) -> AsyncIterator[Host]:
        try:
            async with opened(given, patience=0.1) as host:
                yield host
        except WrongVersion:
            refused.set()
            raise

    async with inside(open_host, ready=False) as door:
        await asyncio.wait_for(refused.wait(), 10)
        answer = await door.http.get("/readyz")
        assert answer.status_code == 503
        assert "kubectl apply -k deployments/crds" in answer.json()["detail"]
        await apply(old.kube, old.watching, definitions())
        await followed(door)
        assert (await door.http.get("/readyz")).status_code == 200


async def test_create_namespaces_brings_older_kinds_up(old: Lab) -> None:
    await ensure_crds(old.kube, old.watching)
    await check_kinds(old.kube)
    await check_host()


@pytest.fixture
async def newer(upgraded: Lab) -> Lab:
    """The kinds of a release to come: it knows one field more, and another phase."""
    for crd in definitions():
        wanted = deepcopy(crd)
        wanted["metadata"]["labels"][SCHEMA_LABEL] = str(SCHEMA + 1)
        schema_in(wanted)["properties"]["status"]["properties"]["mood"] = {"type": "string"}
        await upgraded.kube.apply(CRDS, wanted, force=True)
    return upgraded


async def test_a_worker_goes_on_with_newer_kinds_keeps_their_fields_and_leaves_them_as_they_are(newer: Lab) -> None:
    lab = newer
    await check_host()
    await lab.kube.patch(
        POOLED_CLUSTERS, "cluster3", {"status": {"mood": "good"}}, lab.settings.namespace, subresource="status"
    )
    await lab.state.extend("alice", 60)
    await lab.state.release("alice")
    assert (await stored(lab))["PooledCluster cluster3"]["status"]["mood"] == "good"
    # Its create-namespaces, run by an installer in the middle of the upgrade.
    await ensure_crds(lab.kube, lab.watching)
    assert {schema_of(crd) for crd in await lab.kube.list(CRDS) if crd["spec"]["group"] == "cks.io"} == {SCHEMA + 1}


async def test_kinds_that_no_longer_serve_this_version_are_refused_the_other_way_round(upgraded: Lab) -> None:
    lab = upgraded
    crd = deepcopy(definitions()[0])
    crd["metadata"]["labels"][SCHEMA_LABEL] = str(SCHEMA + 5)
    later = deepcopy(crd["spec"]["versions"][0]) | {"name": "v1", "storage": False}
    crd["spec"]["versions"] = [crd["spec"]["versions"][0] | {"served": False}, later]
    await lab.kube.apply(CRDS, crd, force=True)
    with pytest.raises(WrongVersion, match="newer version than this program: expected v1alpha1 served, got v1"):
        await check_kinds(lab.kube)


async def test_kinds_that_are_not_there_are_another_matter(api_server: Simulator) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path, install=False) as lab:
        await check_kinds(lab.kube)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_and_value_of_the_release_before_is_still_known(kind: str) -> None:
    before, now = _of(previous_definitions(), kind), _of(definitions(), kind)
    assert before.keys() <= now.keys()
    for path, values in before.items():
        assert values <= now[path], path


def test_the_schema_has_grown_with_what_is_new_since_the_release_before() -> None:
    new = {kind: _of(definitions(), kind).keys() - _of(previous_definitions(), kind).keys() for kind in KINDS}
    before = max(schema_of(crd) for crd in previous_definitions())
    assert any(new.values()) <= (before < SCHEMA), f"new fields {new}: let SCHEMA in pool/core/crds.py grow"
    assert before + 1 >= SCHEMA, "it grows once a release"


def _of(found: list[Object], kind: str) -> dict[str, Any]:
    (definition,) = (crd for crd in found if crd["spec"]["names"]["kind"] == kind)
    return fields(schema_in(definition))
