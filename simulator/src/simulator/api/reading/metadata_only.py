"""Answers with nothing but metadata (PartialObjectMetadata)."""

from __future__ import annotations

from typing import Any

import orjson

from simulator.api.calls import Call
from simulator.api.reading import lists as reading
from simulator.api.reading import watching
from simulator.api.store import Stored

Obj = dict[str, Any]
VERSION = "meta.k8s.io/v1"


def partial(stored: Stored) -> Obj:
    """The object without spec and status."""
    return {"kind": "PartialObjectMetadata", "apiVersion": VERSION, "metadata": stored.obj["metadata"]}


class MetadataOnly:
    """Encodes metadata alone."""

    def __init__(self, form: str) -> None:
        self.content_type = f"application/json;as={form};g=meta.k8s.io;v=v1"

    def one(self, call: Call, stored: Stored) -> bytes:
        return orjson.dumps(partial(stored))

    def page(self, call: Call, found: reading.Page) -> bytes:
        items = [partial(stored) for stored in found.items]
        meta = reading.list_meta(found)
        return orjson.dumps(
            {"kind": "PartialObjectMetadataList", "apiVersion": VERSION, "metadata": meta, "items": items}
        )

    def events(self, call: Call) -> watching.Encode | None:
        return lambda type_, stored: watching.line(type_, orjson.dumps(partial(stored)))
