"""What is read of a guest's objects: these fields, if they are what a kubelet writes there, and nothing else."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from pool.core.errors import GuestUnhealthy
from pool.guest.first_boot import Said, in_annotation
from pool.kube.client import Object

BOOTS_ANNOTATION = "cks.io/boots"
"""On a guest's Node: how often its disk has booted, and the boot ID in which it says so. On a VM before its golden stop
and on its golden snapshot: how often that disk had booted then."""

FIRST_BOOT_ANNOTATION = "cks.io/first-boot"
"""On a guest's Node: how far its first boot is (pool.guest.first_boot). Nodes of earlier versions do not say it."""

T = TypeVar("T", bound=BaseModel)


class Condition(BaseModel):
    """A condition of a Node."""

    type: str
    status: str


class NodeInfo(BaseModel):
    """What a kubelet says of its machine at each start."""

    boot_id: Annotated[str, Field(alias="bootID", pattern=r"^[0-9a-f-]{1,36}$")]


class NodeStatus(BaseModel):
    """The status of a Node."""

    node_info: Annotated[NodeInfo, Field(alias="nodeInfo")]
    conditions: list[Condition] = []


class Annotations(BaseModel):
    """What the nodes' own units write (deployments/templates)."""

    boots: Annotated[str, Field(alias=BOOTS_ANNOTATION, pattern=r"^[0-9]{1,9} [0-9a-f-]{1,36}$")] = ""
    first_boot: Annotated[str, Field(alias=FIRST_BOOT_ANNOTATION)] = ""


class Metadata(BaseModel):
    """The metadata of a Node."""

    annotations: Annotations = Annotations()


class Node(BaseModel):
    """A Node."""

    metadata: Metadata = Metadata()
    status: NodeStatus

    @property
    def ready(self) -> bool:
        """Whether its Ready condition is True."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)

    @property
    def boot_id(self) -> str:
        """Of the boot in which the kubelet said this."""
        return self.status.node_info.boot_id

    @property
    def boots(self) -> int | None:
        """How often the node's disk has booted; None if nothing was said of it in that boot."""
        count, _, boot_id = self.metadata.annotations.boots.partition(" ")
        return int(count) if boot_id and boot_id == self.boot_id else None

    @property
    def first_boot(self) -> Said | None:
        """How far its first boot is; None if nothing was said of it."""
        return in_annotation(self.metadata.annotations.first_boot)


class LeaseSpec(BaseModel):
    """The spec of a Lease."""

    renew_time: Annotated[AwareDatetime, Field(alias="renewTime")]


class Lease(BaseModel):
    """A node's lease."""

    spec: LeaseSpec


class Version(BaseModel):
    """What an API server says it is."""

    git_version: Annotated[str, Field(alias="gitVersion", pattern=r"^v[0-9][0-9A-Za-z.+-]{0,62}$")]


def understood(kind: type[T], found: Object) -> T:
    """The object as `kind`. Raises GuestUnhealthy, which repeats nothing of what is in it."""
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(part for part in first["loc"] if isinstance(part, str))
        raise GuestUnhealthy(
            f"a {kind.__name__} of the guest",
            expected="one as a kubelet writes it",
            actual=f"{first['type']} at {where or 'its top'}",
            cure="reset the cluster; should that not help, rebuild it",
        ) from None
