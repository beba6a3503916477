"""What the worker and the gateway must not do, by trying: with the shipped rights, on a server that enforces them.

    pytest tests/pool/test_rights.py                       a simulator of its own for every test
    pytest tests/pool/test_rights.py --kubeconfig FILE     any other API server, since Kubernetes 1.30

There `deployments/crds` and `deployments/rbac` are applied, and stay.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pool.core.errors import Forbidden, NotFound
from pool.kube.client import Kube, Object
from pool.kube.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CRDS,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    POOLED_CLUSTERS,
    POOLS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    SESSIONS,
    VM_RESTORES,
    VMS,
)
from pool.work.namespaces.kinds import check_kinds
from simulator.app import Simulator
from tests.pool.rights import (
    DEPLOYMENTS,
    GATEWAY,
    INSTALLER,
    POLICIES,
    POLICY_BINDINGS,
    WORKER,
    as_account,
    dry,
    granted,
    in_force,
    install,
)

HOME, ELSEWHERE = "cks-pool", "cks-pool-elsewhere"
RBAC = "rbac.authorization.k8s.io"
NOT_OWN = "touches only namespaces with the label cks.io/pool-namespace=cks-pool"
NOT_BOUND = "the worker binds itself to cks-pool-cluster and the gateway to cks-pool-access in its clusters' namespaces"
ACCESS = "cks-pool-access"


def labels(home: str = HOME, **more: str) -> dict[str, str]:
    """Those of a cluster's namespace whose Pool is in the namespace `home`."""
    return {"cks.io/pool-namespace": home, "cks.io/pool-uid": "u-1", "cks.io/cluster-id": "cluster1", **more}


def subject(name: str = WORKER, namespace: str = HOME) -> Object:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def binding(namespace: str, role: str = "cks-pool-cluster", *subjects: Object, **more: Any) -> Object:
    kind = more.pop("kind", "ClusterRole")
    reference = {"apiGroup": RBAC, "kind": kind, "name": role}
    body = {"roleRef": reference, "subjects": list(subjects) or [subject()], "labels": labels(), **more}
    return ROLE_BINDINGS.manifest("tried", namespace, **body)


@dataclass
class Host:
    """A host with the rights installed, its administrator and its worker, and namespaces of three owners."""

    admin: Kube
    worker: Kube
    kubeconfig: Path
    own: str
    """Made by the worker."""
    other: str
    """Of another installation's cluster."""
    theirs: str
    """Of somebody who has nothing to do with this."""

    async def state(self, name: str) -> tuple[Any, Any]:
        """What must not change of a namespace."""
        meta = (await self.admin.get(NAMESPACES, name))["metadata"]
        return meta["labels"], meta.get("deletionTimestamp")


@pytest.fixture
async def kubeconfig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Path]:
    """Of the administrator of the server that is tried."""
    given: Path | None = request.config.getoption("--kubeconfig")
    if given is not None:
        yield given
        return
    async with Simulator(controllers=False, kubeconfig=tmp_path / "kubeconfig"):
        yield tmp_path / "kubeconfig"


@pytest.fixture
async def host(kubeconfig: Path, tmp_path: Path) -> AsyncIterator[Host]:
    async with Kube.connect(kubeconfig) as admin:
        await install(admin)
        async with as_account(WORKER, admin, kubeconfig, tmp_path) as worker:
            await in_force(worker)
            names = [f"{kind}-{uuid.uuid4().hex[:8]}" for kind in ("own", "other", "theirs")]
            host = Host(admin, worker, kubeconfig, *names)
            try:
                await worker.create(NAMESPACES, NAMESPACES.manifest(host.own, labels=labels()))
                await admin.create(NAMESPACES, NAMESPACES.manifest(host.other, labels=labels(ELSEWHERE)))
                await admin.create(NAMESPACES, NAMESPACES.manifest(host.theirs))
                yield host
            finally:
                for name in names:
                    await admin.delete(NAMESPACES, name)


async def refused(trial: Awaitable[Any], said: str = "") -> None:
    with pytest.raises(Forbidden) as error:
        await trial
    assert said in str(error.value)


async def test_the_worker_makes_only_namespaces_of_its_own_pools_clusters(host: Host) -> None:
    for wanted, said in (
        ({}, NOT_OWN),
        ({"app": "x"}, NOT_OWN),
        (labels(ELSEWHERE), NOT_OWN),
        ({"cks.io/pool-namespace": HOME}, "has the labels cks.io/pool-uid and cks.io/cluster-id"),
        (labels() | {"cks.io/pool-uid": ""}, "has the labels cks.io/pool-uid and cks.io/cluster-id"),
    ):
        await refused(dry(host.worker, NAMESPACES, NAMESPACES.manifest("tried", labels=wanted)), said)
    await dry(host.worker, NAMESPACES, NAMESPACES.manifest("tried", labels=labels()))


async def test_the_worker_takes_no_namespace_for_its_own(host: Host) -> None:
    """Neither by a patch nor by applying what would be its own."""
    for name in (host.theirs, host.other, "kube-system", HOME, "vm-templates", "default"):
        was = await host.state(name)
        await refused(host.worker.patch(NAMESPACES, name, {"metadata": {"labels": labels()}}), NOT_OWN)
        await refused(host.worker.apply(NAMESPACES, NAMESPACES.manifest(name, labels=labels()), force=True), NOT_OWN)
        assert await host.state(name) == was


async def test_the_worker_deletes_only_namespaces_of_its_own(host: Host) -> None:
    for name in (host.theirs, host.other, HOME, "vm-templates"):
        was = await host.state(name)
        await refused(host.worker.delete(NAMESPACES, name), NOT_OWN)
        assert await host.state(name) == was
    # Kubernetes itself keeps these.
    for name in ("kube-system", "default"):
        await refused(host.worker.delete(NAMESPACES, name))
    await refused(host.worker.request("DELETE", NAMESPACES.path()))
    assert await host.worker.delete(NAMESPACES, host.own)


async def test_the_worker_gives_none_of_its_namespaces_another_owner(host: Host) -> None:
    for changed in (
        {"cks.io/pool-namespace": None},
        {"cks.io/pool-namespace": ELSEWHERE},
        {"cks.io/pool-uid": "u-2"},
        {"cks.io/cluster-id": None},
    ):
        await refused(host.worker.patch(NAMESPACES, host.own, {"metadata": {"labels": changed}}))
    # A cluster that is made anew in it is another one of the same name.
    await host.worker.patch(NAMESPACES, host.own, {"metadata": {"labels": {"cks.io/cluster-uid": "c-2"}}})


async def test_the_worker_binds_itself_only_in_its_clusters_namespaces(host: Host) -> None:
    for namespace in ("kube-system", "default", HOME, "vm-templates", host.theirs, host.other):
        await refused(host.worker.create(ROLE_BINDINGS, binding(namespace)), NOT_BOUND)
        await refused(host.worker.apply(ROLE_BINDINGS, binding(namespace), force=True), NOT_BOUND)
    await host.worker.apply(ROLE_BINDINGS, binding(host.own), force=True)
    await host.worker.apply(ROLE_BINDINGS, binding(host.own), force=True)


async def test_the_worker_lets_the_gateway_in_only_in_its_clusters_namespaces(host: Host) -> None:
    for namespace in ("default", HOME, host.theirs, host.other):
        await refused(host.worker.create(ROLE_BINDINGS, binding(namespace, ACCESS, subject(GATEWAY))), NOT_BOUND)
    await host.worker.create(ROLE_BINDINGS, binding(host.own, ACCESS, subject(GATEWAY)))


async def test_the_worker_binds_nobody_else_and_to_nothing_else(host: Host) -> None:
    everybody = {"apiGroup": RBAC, "kind": "Group", "name": "system:authenticated"}
    for wanted in (
        binding(host.own, "cks-pool-cluster", everybody),
        binding(host.own, "cks-pool-cluster", subject(), everybody),
        binding(host.own, "cks-pool-cluster", subject(INSTALLER)),
        binding(host.own, "cks-pool-cluster", subject(namespace=host.own)),
        binding(host.own, "cks-pool-cluster", subject(GATEWAY)),
        binding(host.own, ACCESS),
        binding(host.own, ACCESS, subject(GATEWAY), everybody),
        binding(host.own, ACCESS, subject(GATEWAY, host.own)),
        binding(host.own, "cks-pool-observe"),
        binding(host.own, "cluster-admin"),
        binding(host.own, "admin"),
        binding(host.own, labels={}),
        binding(host.own, labels=labels(ELSEWHERE)),
    ):
        await refused(host.worker.create(ROLE_BINDINGS, wanted))
    await host.worker.create(ROLE_BINDINGS, binding(host.own))
    more = {"subjects": [subject(), everybody]}
    await refused(host.worker.patch(ROLE_BINDINGS, "tried", more, host.own), NOT_BOUND)
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cks-pool-cluster"}
    everywhere = CLUSTER_ROLE_BINDINGS.manifest("tried", labels=labels(), roleRef=reference, subjects=[subject()])
    await refused(host.worker.create(CLUSTER_ROLE_BINDINGS, everywhere))


async def test_the_worker_lets_namespaces_clone_images_and_changes_no_other_binding_there(host: Host) -> None:
    of_own = {"apiGroup": RBAC, "kind": "Group", "name": f"system:serviceaccounts:{host.own}"}
    clone = binding("vm-templates", "cks-pool-clone-golden-image", of_own, kind="Role")
    clone["metadata"]["name"] = f"clone-{host.own}"
    await host.worker.apply(ROLE_BINDINGS, clone, force=True)
    for whom in ("system:serviceaccounts", "system:authenticated"):
        wanted = {**clone, "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": whom}]}
        await refused(host.worker.apply(ROLE_BINDINGS, wanted, force=True), NOT_BOUND)
    assert await host.worker.delete(ROLE_BINDINGS, clone["metadata"]["name"], "vm-templates")

    others = f"clone-{host.other}"
    await host.admin.create(
        ROLE_BINDINGS, {**clone, "metadata": {**clone["metadata"], "name": others, "labels": labels(ELSEWHERE)}}
    )
    try:
        for name in (others, "cks-pool-templates"):
            await refused(host.worker.delete(ROLE_BINDINGS, name, "vm-templates"), "touches only RoleBindings with the")
            adopted = {"metadata": {"labels": labels()}}
            await refused(host.worker.patch(ROLE_BINDINGS, name, adopted, "vm-templates"))
    finally:
        await host.admin.delete(ROLE_BINDINGS, others, "vm-templates")


async def test_the_worker_reads_secrets_only_where_it_bound_itself(host: Host) -> None:
    await host.worker.create(ROLE_BINDINGS, binding(host.own))
    await granted(lambda: host.worker.create(SECRETS, SECRETS.manifest("tried", host.own)))
    assert await host.worker.find(SECRETS, "tried", host.own) is not None
    for namespace in ("kube-system", "default", HOME, "vm-templates", host.theirs, host.other):
        await refused(host.worker.find(SECRETS, "anything", namespace))
        await refused(host.worker.list(SECRETS, namespace))
        await refused(host.worker.create(SECRETS, SECRETS.manifest("tried", namespace)))
    await refused(host.worker.list(SECRETS))
    # Not even there all of them.
    await refused(host.worker.list(SECRETS, host.own))


async def test_the_worker_reads_logs_only_where_it_bound_itself(host: Host) -> None:
    """A pod's log may hold anything; those of its clusters' VMs are their consoles."""

    async def log(namespace: str) -> str:
        return await host.worker.text(PODS, "none", namespace, subresource="log", query={}, most=1)

    await host.worker.create(ROLE_BINDINGS, binding(host.own))
    with pytest.raises(NotFound):
        await granted(lambda: log(host.own))
    for namespace in ("kube-system", "default", HOME, "vm-templates", host.theirs, host.other):
        await refused(log(namespace))


async def test_the_worker_reads_config_maps_only_beside_its_pools_and_images(host: Host) -> None:
    await host.worker.create(ROLE_BINDINGS, binding(host.own))
    for namespace in (HOME, "vm-templates"):
        assert await host.worker.find(CONFIG_MAPS, "none", namespace) is None
    for namespace in ("kube-system", "default", host.own, host.theirs, host.other):
        await refused(host.worker.find(CONFIG_MAPS, "none", namespace))
    await refused(host.worker.list(CONFIG_MAPS, HOME))
    await refused(host.worker.create(CONFIG_MAPS, CONFIG_MAPS.manifest("tried", HOME)))


async def test_the_worker_changes_no_kinds_roles_or_policies(host: Host) -> None:
    label = {"metadata": {"labels": {"tried": "yes"}}}
    for kind, name in (
        (CRDS, "pools.cks.io"),
        (CLUSTER_ROLES, "cks-pool-cluster"),
        (CLUSTER_ROLE_BINDINGS, "cks-pool-observe"),
        (POLICIES, "cks-pool-namespaces"),
        (POLICY_BINDINGS, "cks-pool-role-bindings"),
    ):
        await refused(host.worker.patch(kind, name, label))
        await refused(host.worker.delete(kind, name))
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]
    for namespace in (host.own, HOME, "vm-templates"):
        await refused(host.worker.create(ROLES, ROLES.manifest("tried", namespace, rules=rules)))


async def test_the_worker_becomes_nobody_else(host: Host) -> None:
    """No tokens of other accounts, no pods that have them."""
    await host.worker.create(ROLE_BINDINGS, binding(host.own))
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    for account, namespace in ((INSTALLER, HOME), (WORKER, HOME), ("default", host.own)):
        path = SERVICE_ACCOUNTS.path(namespace, account, "token")
        await refused(host.worker.request("POST", path, None, request))
    pod = PODS.manifest("tried", host.own, spec={"containers": [{"name": "main", "image": "nginx"}]})
    await refused(host.worker.create(PODS, pod))
    await refused(host.worker.create(CONFIG_MAPS, CONFIG_MAPS.manifest("tried", host.own)))
    # A Secret of this type is filled with a token of the account that it names.
    names = {"name": "tried", "namespace": host.own, "annotations": {"kubernetes.io/service-account.name": "default"}}
    await granted(lambda: host.worker.create(SECRETS, SECRETS.manifest("granted", host.own)))
    token = SECRETS.manifest("tried", host.own, type="kubernetes.io/service-account-token") | {"metadata": names}
    await refused(host.worker.create(SECRETS, token), "Opaque")


async def test_the_worker_takes_no_addresses_of_the_host_for_its_services(host: Host) -> None:
    """One at somebody's address would get what all pods of the host send there."""
    await host.worker.create(ROLE_BINDINGS, binding(host.own))

    def service(**more: Any) -> Object:
        return SERVICES.manifest("tried", host.own, spec={"ports": [{"port": 443}], "selector": {"a": "b"}, **more})

    await granted(lambda: host.worker.create(SERVICES, service()))
    for more in (
        {"externalIPs": ["192.0.2.1"]},
        {"type": "NodePort"},
        {"type": "LoadBalancer"},
        {"type": "ExternalName", "externalName": "kubernetes.default.svc"},
    ):
        await refused(dry(host.worker, SERVICES, service(**more)), "no others")
        await refused(host.worker.patch(SERVICES, "tried", {"spec": more}, host.own), "no others")
    await host.worker.patch(SERVICES, "tried", {"spec": {"ports": [{"port": 6443}]}}, host.own)


async def test_each_installations_worker_has_its_own(host: Host, tmp_path: Path) -> None:
    """The policies know a worker by its ServiceAccount's name, and its Pools by where that is."""
    await host.admin.apply(NAMESPACES, NAMESPACES.manifest(ELSEWHERE))
    await host.admin.apply(SERVICE_ACCOUNTS, SERVICE_ACCOUNTS.manifest(WORKER, ELSEWHERE))
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cks-pool-namespaces"}
    bound = CLUSTER_ROLE_BINDINGS.manifest(ELSEWHERE, roleRef=reference, subjects=[subject(namespace=ELSEWHERE)])
    await host.admin.apply(CLUSTER_ROLE_BINDINGS, bound)
    try:
        async with as_account(WORKER, host.admin, host.kubeconfig, tmp_path, ELSEWHERE) as other:
            await in_force(other)
            await refused(other.delete(NAMESPACES, host.own), "cks.io/pool-namespace=cks-pool-elsewhere")
            own = binding(host.other, "cks-pool-cluster", subject(namespace=ELSEWHERE), labels=labels(ELSEWHERE))
            await other.create(ROLE_BINDINGS, own)
            assert await other.delete(NAMESPACES, host.other)
    finally:
        await host.admin.delete(CLUSTER_ROLE_BINDINGS, ELSEWHERE)
        await host.admin.delete(NAMESPACES, ELSEWHERE)


async def test_the_gateway_reads_one_secret_of_a_cluster_and_no_other(host: Host, tmp_path: Path) -> None:
    for name in ("cluster-ca", "admin-kubeconfig"):
        await host.admin.create(SECRETS, SECRETS.manifest(name, host.own))
    await host.worker.create(ROLE_BINDINGS, binding(host.own, ACCESS, subject(GATEWAY)))
    async with as_account(GATEWAY, host.admin, host.kubeconfig, tmp_path) as gateway:
        await granted(lambda: gateway.get(SECRETS, "cluster-ca", host.own))
        await refused(gateway.get(SECRETS, "admin-kubeconfig", host.own))
        await refused(gateway.list(SECRETS, host.own))
        await refused(gateway.create(SECRETS, SECRETS.manifest("tried", host.own)))
        for namespace in ("kube-system", HOME, "vm-templates", host.theirs, host.other):
            await refused(gateway.find(SECRETS, "cluster-ca", namespace))


async def test_the_gateway_touches_nothing_but_pools_clusters_and_sessions(host: Host, tmp_path: Path) -> None:
    await host.worker.create(ROLE_BINDINGS, binding(host.own, ACCESS, subject(GATEWAY)))
    async with as_account(GATEWAY, host.admin, host.kubeconfig, tmp_path) as gateway:
        await granted(lambda: gateway.list(SESSIONS, HOME))
        await granted(lambda: check_kinds(gateway))
        await refused(gateway.list(SESSIONS))
        await refused(gateway.list(CRDS))
        for resource in (VMS, VM_RESTORES, NETWORK_POLICIES, ROLE_BINDINGS, PODS):
            await refused(gateway.create(resource, resource.manifest("tried", host.own)))
            await refused(gateway.list(resource, host.own))
        for resource in (POOLS, POOLED_CLUSTERS):
            await refused(gateway.create(resource, resource.manifest("tried", HOME)))
            await refused(gateway.delete(resource, "tried", HOME))
        await refused(gateway.delete(NAMESPACES, host.own))


async def test_the_setup_gets_no_accounts_token_by_way_of_a_secret(host: Host, tmp_path: Path) -> None:
    """A controller fills a Secret of that type, of a name that the setup may read."""
    (kinds, setup) = ({one.kind: one for one in (SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS)}, "cks-pool-setup")
    for obj in yaml.safe_load_all((DEPLOYMENTS / "base" / "setup.yaml").read_text()):
        if obj["kind"] in kinds:
            await host.admin.apply(kinds[obj["kind"]], obj, force=True)
    token = {"annotations": {"kubernetes.io/service-account.name": INSTALLER}}
    wanted = SECRETS.manifest("cks-pool-gateway-operator", HOME, type="kubernetes.io/service-account-token")
    wanted["metadata"] |= token
    async with as_account(setup, host.admin, host.kubeconfig, tmp_path) as account:
        await granted(lambda: dry(account, SECRETS, SECRETS.manifest("cks-pool-gateway-operator", HOME)))
        await refused(account.create(SECRETS, wanted), "of type Opaque")
