"""Which of the shipped rights were made use of, and what was refused, as the server sees it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from pool.kube.client import Object
from simulator.api.errors import ApiError
from simulator.api.requests import Request, Response, Target
from simulator.api.server import Next
from simulator.app import Simulator


@dataclass
class Watcher:
    """Sees what each ServiceAccount asks for over HTTP."""

    simulator: Simulator
    used: dict[str, set[tuple[str, str, str]]] = field(default_factory=lambda: defaultdict(set))
    """By account: verb, API group and resource with its subresource."""
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.simulator.api.middlewares.append(self._see)

    async def _see(self, request: Request, target: Target, call: Next) -> Response:
        try:
            answer = await call()
        except ApiError as error:
            self._note(request, target, refused=error.code == 403)
            raise
        self._note(request, target, refused=answer.status == 403)
        return answer

    def _note(self, request: Request, target: Target, *, refused: bool) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        user = self.simulator.api.authenticator.by_token(token) if request.user is None else None
        if user is None or not user.name.startswith("system:serviceaccount:cks-pool:"):
            return
        account = user.name.rpartition(":")[2]
        resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
        if refused:
            self.refused.append(f"{account}: {target.verb} {resource} in {target.namespace or 'the cluster'}")
        else:
            self.used[account].add((target.verb, target.group, resource))

    def unused(self, manifests: list[Object]) -> set[str]:
        """The rights that no account made use of, as "role: verb resource"."""
        used = {one for asked in self.used.values() for one in asked}
        return {
            f"{role}: {verb} {resource}"
            for role, verb, group, resource in granted(manifests)
            if (verb, group, resource) not in used
        }


def granted(manifests: list[Object]) -> list[tuple[str, str, str, str]]:
    """Role, verb, group and resource of all that is granted."""
    return [
        (obj["metadata"]["name"], verb, group, resource)
        for obj in manifests
        if obj["kind"] in ("Role", "ClusterRole")
        for rule in obj["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
