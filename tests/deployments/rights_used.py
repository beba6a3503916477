"""Which of the shipped rights were made use of, and what was refused, as the server sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from pool.kube.client import Object
from simulator.api.errors import ApiError
from simulator.api.requests import Request, Response, Target
from simulator.api.server import Next
from simulator.app import Simulator
from tests.pool.rights import INSTALLER


@dataclass(frozen=True)
class Use:
    """Of a right, by an account; of no name or namespace where all were meant."""

    account: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str


@dataclass
class Watcher:
    """Sees what each ServiceAccount asks for over HTTP."""

    simulator: Simulator
    used: set[Use] = field(default_factory=set)
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
            self.used.add(Use(account, target.verb, target.group, resource, target.namespace, target.name))

    def unused(self, roles: list[Object], bindings: list[Object]) -> set[str]:
        """The rights of which one of those who have them made no use, where they count, as "role: verb resource".

        What a person has in common with a program is the program's to use.
        """
        return {
            f"{role['metadata']['name']}: {verb} {resource}"
            for role in roles
            for who, places in bound(role, bindings).items()
            for verb, group, resource, name in granted(role)
            if not any(
                (use.account, use.verb, use.group, use.resource) == (who, verb, group, resource)
                and name in ("", use.name)
                and not places.isdisjoint({"", use.namespace})
                for use in self.used
            )
        }


def bound(role: Object, bindings: list[Object]) -> dict[str, set[str]]:
    """Who has the role, and in which namespaces; "" for all. The installer only if nobody else has."""
    found: dict[str, set[str]] = {}
    for binding in bindings:
        place, ref = binding["metadata"].get("namespace", ""), binding["roleRef"]
        here = role["kind"] == "ClusterRole" or role["metadata"]["namespace"] == place
        if here and (ref["kind"], ref["name"]) == (role["kind"], role["metadata"]["name"]):
            for subject in binding["subjects"]:
                found.setdefault(subject["name"], set()).add(place)
    return {who: places for who, places in found.items() if who != INSTALLER or len(found) == 1}


def granted(role: Object) -> Iterator[tuple[str, str, str, str]]:
    """Verb, group, resource and name of all that the role grants; a name of "" is any."""
    for rule in role["rules"]:
        parts = rule["verbs"], rule["apiGroups"], rule["resources"], rule.get("resourceNames", [""])
        yield from product(*parts)
