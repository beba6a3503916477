"""What all kinds of the pool share: from and to the API's JSON, metadata, conditions.

The kinds are in `pools`, `clusters` and `sessions`. The CRDs under `deployments/crds` are generated from those classes;
their field docstrings become the descriptions that `kubectl explain` shows. JSON names are camelCase; times are RFC
3339, UTC.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from pool.core.errors import InvalidInput
from pool.core.fields import Model, Time

GROUP = "cks.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Reason = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$", max_length=128)]


class ConditionStatus(StrEnum):
    """Kubernetes' three truth values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One observation, in the form all Kubernetes conditions have; each kind says which types it has."""

    status: ConditionStatus
    """True, False or Unknown."""
    reason: Reason
    """One CamelCase word, for programs."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """The evidence, for people."""
    last_transition_time: Time
    """When `status` last changed."""


class Metadata(BaseModel):
    """The part of Kubernetes' metadata that the pool looks at; the rest is kept and given back untouched."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="allow")

    name: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    generation: int = 0
    finalizers: list[str] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)


class Resource(Model):
    """What both kinds share: from and to the API's JSON, with metadata kept for compare-and-swap."""

    KIND: ClassVar[str]
    metadata: Metadata

    @property
    def name(self) -> str:
        """The resource's name: the cluster's or session's ID."""
        return self.metadata.name

    @classmethod
    def from_object(cls, obj: dict[str, Any]) -> Self:
        """The resource in `obj` (the API's JSON). Raises InvalidInput if it does not fit the model."""
        try:
            return cls.model_validate({k: v for k, v in obj.items() if k in ("metadata", "spec", "status")})
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(
                f"{cls.KIND} {obj.get('metadata', {}).get('name', '?')} cannot be read",
                expected=".".join(str(part) for part in first["loc"]),
                actual=first["msg"],
                cure="its CRD is of another version; run create-namespaces",
            ) from error

    def to_object(self) -> dict[str, Any]:
        """The API's JSON, absent values left out."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        content["metadata"] = {k: v for k, v in content["metadata"].items() if v}
        return {"apiVersion": API_VERSION, "kind": self.KIND} | content

    def with_status(self, **fields: Any) -> Self:
        """A copy with these fields of `status` replaced."""
        return self.changed(status=self.__getattribute__("status").changed(**fields))
