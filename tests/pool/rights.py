"""The shipped rights, installed on a server as `kubectl apply -f` does, and kubeconfigs of those who have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pool.core.errors import Forbidden
from pool.kube.client import Kube, Object
from pool.kube.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CRDS,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Resource,
)

ADMISSION = ("admissionregistration.k8s.io", "v1")
POLICIES = Resource(*ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
POLICY_BINDINGS = Resource(
    *ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
WORKER, GATEWAY, INSTALLER = "cks-pool", "cks-pool-gateway", "cks-pool-installer"
DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"
KINDS = {
    one.kind: one
    for one in (
        *(CRDS, NAMESPACES, SERVICE_ACCOUNTS, POLICIES, POLICY_BINDINGS),
        *(CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS),
    )
}


def manifests(folder: Path = DEPLOYMENTS / "rbac") -> list[Object]:
    """What the folder's kustomization names, in its order."""
    found: list[Object] = []
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = folder / name
        found += manifests(path) if path.is_dir() else [obj for obj in yaml.safe_load_all(path.read_text()) if obj]
    return found


async def install(admin: Kube) -> None:
    """Kinds, identities, policies and rights, by their administrator."""
    for manifest in manifests():
        await admin.apply(KINDS[manifest["kind"]], manifest, force=True)


async def in_force(worker: Kube) -> None:
    """Wait until the rights count for the worker, and the policies judge it."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cks-pool-cluster"}
    trials = (
        (NAMESPACES, NAMESPACES.manifest("tried")),
        (ROLE_BINDINGS, ROLE_BINDINGS.manifest("tried", "default", roleRef=reference)),
    )
    for resource, obj in trials:
        await granted(partial(_judged, worker, resource, obj))


async def _judged(worker: Kube, resource: Resource, obj: Object) -> None:
    """Raises Forbidden until it is the policies that say so."""
    try:
        await dry(worker, resource, obj)
    except Forbidden as error:
        if "ValidatingAdmissionPolicy" not in str(error):
            raise
    else:
        raise Forbidden(403, "Forbidden", "the policies are not in force")


async def granted(call: Callable[[], Awaitable[Any]]) -> Any:
    """What the call returns, once a binding that was made just now counts."""
    for _ in range(100):
        try:
            return await call()
        except Forbidden:
            await asyncio.sleep(0.1)
    return await call()


async def dry(kube: Kube, resource: Resource, obj: Object) -> Object:
    """Create it, but for its being stored."""
    return await kube.request("POST", resource.path(obj["metadata"].get("namespace")), {"dryRun": "All"}, obj)


async def kubeconfig_of(account: str, admin: Kube, given: Path, path: Path, namespace: str = "cks-pool") -> Path:
    """A kubeconfig for the server of `given`, with a token of the ServiceAccount."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token_of = SERVICE_ACCOUNTS.path(namespace, account, "token")
    token = (await admin.request("POST", token_of, None, request))["status"]["token"]
    config: dict[str, Any] = yaml.safe_load(given.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path.write_text(yaml.safe_dump(config))
    return path


@asynccontextmanager
async def as_account(
    account: str, admin: Kube, given: Path, folder: Path, namespace: str = "cks-pool"
) -> AsyncIterator[Kube]:
    """The same server, called as the ServiceAccount."""
    path = await kubeconfig_of(account, admin, given, folder / f"{namespace}-{account}", namespace)
    async with Kube.connect(path) as kube:
        yield kube
