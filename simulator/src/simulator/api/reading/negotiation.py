"""The form an answer is wanted in: whole objects, tables, or only metadata."""

from __future__ import annotations

from typing import Protocol

from simulator.api.calls import Call
from simulator.api.errors import not_acceptable
from simulator.api.reading import lists as reading
from simulator.api.reading import watching
from simulator.api.reading.metadata_only import MetadataOnly
from simulator.api.reading.tables import Tables
from simulator.api.requests import JSON
from simulator.api.store import Stored


class Wanted(Protocol):
    """Encodes one object, a list, the events of a watch."""

    content_type: str

    def one(self, call: Call, stored: Stored) -> bytes:
        """One object."""

    def page(self, call: Call, found: reading.Page) -> bytes:
        """A list."""

    def events(self, call: Call) -> watching.Encode | None:
        """How to encode a watch's events; None for the common way."""


class Whole:
    """Objects as they are."""

    content_type = JSON

    def one(self, call: Call, stored: Stored) -> bytes:
        return reading.object_bytes(call.kind, call.target.version, stored)

    def page(self, call: Call, found: reading.Page) -> bytes:
        return reading.list_bytes(call.kind, call.target.version, found)

    def events(self, call: Call) -> watching.Encode | None:
        return None


_WHOLE = Whole()


def wanted(accept: str) -> Wanted:
    """The first form in an Accept header that there is. Raises ApiError 406."""
    if accept in ("", JSON, "*/*"):
        return _WHOLE
    for clause in accept.split(","):
        media, *parameters = [part.strip() for part in clause.split(";")]
        given = dict(part.split("=", 1) for part in parameters if "=" in part)
        form = given.get("as", "")
        if media not in (JSON, "*/*", "application/*"):
            continue
        if form == "Table" and given.get("v") in ("v1", None):
            return Tables()
        if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return MetadataOnly(form)
        if not form:
            return _WHOLE
    raise not_acceptable()
