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
    annotations: dict[str, str] = Field(default_factory=dict)


class Resource(Model):
    """What both kinds share: from and to the API's JSON, with metadata kept for compare-and-swap."""

    KIND: ClassVar[str]
    metadata: Metadata
    unreadable: Annotated[str, Field(exclude=True)] = ""
    """Why this is only the part of the object that could be read, to be listed and never written; empty: it is all."""

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

    @classmethod
    def seen(cls, obj: dict[str, Any]) -> Self:
        """As `from_object`, for lists and views: one unreadable object is one bad object, not the end of the list.

        What is wrong in its spec and status is left out, and what is left says by itself that it is of no use.
        Raises InvalidInput if nothing of it makes sense.
        """
        try:
            return cls.from_object(obj)
        except InvalidInput as error:
            content = {part: dict(obj.get(part) or {}) for part in ("metadata", "spec", "status")}
            for part, field in _wrong(cls, content):
                content[part].pop(field, None)
            found = cls.from_object(content | {"spec": cls.spare_spec(content["metadata"]) | content["spec"]})
            return found.changed(unreadable=str(error)).set_aside()

    @classmethod
    def spare_spec(cls, _metadata: dict[str, Any]) -> dict[str, Any]:
        """What a spec must have, for one whose own cannot be read."""
        return {}

    def set_aside(self) -> Self:
        """What was read of an object, so that nobody takes it for one to work with."""
        return self

    def to_object(self) -> dict[str, Any]:
        """The API's JSON, absent values left out."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        content["metadata"] = {k: v for k, v in content["metadata"].items() if v}
        return {"apiVersion": API_VERSION, "kind": self.KIND} | content

    def with_status(self, **fields: Any) -> Self:
        """A copy with these fields of `status` replaced."""
        return self.changed(status=self.__getattribute__("status").changed(**fields))


def _wrong(model: type[Resource], content: dict[str, Any]) -> set[tuple[str, str]]:
    """Part and name of the fields that do not fit the model."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        return {(str(loc[0]), str(loc[1])) for one in error.errors() if len(loc := one["loc"]) > 1}
    return set()
