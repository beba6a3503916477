"""What a served kind is: its names, versions, and how its objects are made, changed and removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.api.errors import Cause
from simulator.api.schema import Schema
from simulator.api.store import Collection

Obj = dict[str, Any]
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Column:
    """A column of the server's table; `path` is a JSONPath, or a function from object to cell."""

    name: str
    type: str
    path: str | Callable[[Obj], Any]
    description: str = ""
    format: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Scale:
    """Paths of the scale subresource, as lists of keys; `selector` may be missing."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] | None


@dataclass
class Version:
    """One API version of a kind."""

    name: str
    columns: Sequence[Column] = ()
    schema: Schema | None = None
    status: bool = False
    """Whether it has a status subresource."""
    scale: Scale | None = None
    selectable: tuple[str, ...] = ()
    """Paths that field selectors may use beside metadata.name and metadata.namespace, without a leading dot."""
    warning: str = ""
    """Said to every caller of a deprecated version."""
    openapi: Obj | None = None
    """The schema as its author wrote it, for OpenAPI and explain."""
    fields: Schema | None = None
    """The schema with all of the metadata, for server-side apply, where that is another one."""


Prepare = Callable[[Obj, Obj | None], None]
"""Completes a new object in place, given the old one (None on create)."""
Validate = Callable[[Obj, Obj | None], list[Cause]]


@dataclass
class Kind:
    """A kind with all its versions; they share one collection."""

    group: str
    plural: str
    kind: str
    namespaced: bool
    versions: dict[str, Version]
    storage: str
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    builtin: bool = False
    verbs: tuple[str, ...] = VERBS
    generation: bool = True
    """Whether changes of the spec count in metadata.generation."""
    unconditional: bool = False
    """Whether an update may leave out the resourceVersion."""
    upsert: bool = False
    """Whether an update of a missing object creates it."""
    returns_deleted: bool = False
    """Whether a deletion answers with the object instead of a Status."""
    graceful: bool = False
    """Whether a deletion waits for the node (pods)."""
    name_rule: str = "subdomain"
    prepare: Prepare | None = None
    validate: Validate | None = None
    twin: Collection | None = None
    """The collection of another kind whose objects these are, in another form."""
    subresources: tuple[str, ...] = ()
    """Further subresources beside status and scale."""
    conversions: dict[str, Callable[[Obj], Obj]] = field(default_factory=dict)
    """From the stored form to that version's; the default changes only apiVersion."""
    back_conversions: dict[str, Callable[[Obj], Obj]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.singular = self.singular or self.kind.lower()
        self.list_kind = self.list_kind or f"{self.kind}List"
        self.prefix = f'{{"apiVersion":"{self.api_version(self.storage)}","kind":"{self.kind}",'.encode()

    @property
    def collection(self) -> Collection:
        return self.twin or (self.group, self.plural)

    def api_version(self, version: str) -> str:
        return f"{self.group}/{version}" if self.group else version

    def converted(self, obj: Obj, version: str) -> Obj:
        """The stored object as `version` has it; the object itself when that is the stored version."""
        if version == self.storage:
            return obj
        if version in self.conversions:
            return self.conversions[version](obj)
        return {**obj, "apiVersion": self.api_version(version)}

    def stored(self, obj: Obj, version: str) -> Obj:
        """An object of `version` in the form it is stored in: identity first, as its JSON is cut by position."""
        if version in self.back_conversions:
            obj = self.back_conversions[version](obj)
        stored_version = "v1" if self.twin else self.api_version(self.storage)
        head = {"apiVersion": stored_version, "kind": self.kind, "metadata": obj["metadata"]}
        return head | {key: value for key, value in obj.items() if key not in head}
