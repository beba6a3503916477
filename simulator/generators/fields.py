"""`python simulator/generators/fields.py FOLDER`: write `fields.json`, what KubeVirt's, CDI's and CSI's kinds have.

FOLDER holds their real CustomResourceDefinitions, a file each, as releases and clusters have them. Kept are names of
fields and their types, which is what pruning and strict decoding need; what is required, limited and defaulted is in
`kinds.yaml`, as far as the simulator judges it. Parts that many kinds have (the spec of an instance) are written once.

A tool for development: the simulator itself reads the file that this writes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml

from simulator import manifests

Obj = dict[str, Any]
KEPT = ("type", "nullable", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
PARTS = ("spec", "status")
SHARED = 400
"""Bytes from which on a part that occurs again is written once."""


def compact(schema: Obj) -> Obj:
    """A schema without anything but names and types."""
    kept: Obj = {key: schema[key] for key in KEPT if key in schema}
    if schema.get("properties"):
        kept["properties"] = {name: compact(child) for name, child in sorted(schema["properties"].items())}
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            kept[below] = compact(schema[below])
    return kept


def parts(schema: Obj, path: str) -> Iterator[tuple[str, Obj]]:
    """All schemas at and below one, the outer before the inner, by their paths."""
    yield path, schema
    for name, child in (schema.get("properties") or {}).items():
        yield from parts(child, f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if below in schema:
            yield from parts(schema[below], f"{path}[]")


def key_of(schema: Obj) -> bytes:
    return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)


def referring(schema: Obj, names: dict[bytes, str], *, inside: bool = False) -> Obj:
    """The schema with references in the place of shared parts."""
    name = names.get(key_of(schema))
    if name is not None and not inside:
        return {"$ref": name}
    changed = dict(schema)
    if "properties" in schema:
        changed["properties"] = {name: referring(child, names) for name, child in schema["properties"].items()}
    for below in ("items", "additionalProperties"):
        if below in schema:
            changed[below] = referring(schema[below], names)
    return changed


def generate(definitions: list[Obj]) -> Obj:
    """Fields by `group/Kind`, and what they share by path of its first occurrence."""
    kinds = {}
    for definition in definitions:
        spec = definition["spec"]
        [stored] = [version for version in spec["versions"] if version["storage"]]
        top = stored["schema"]["openAPIV3Schema"]["properties"]
        if own := {part: compact(top[part]) for part in PARTS if part in top}:
            kinds[f"{spec['group']}/{spec['names']['kind']}"] = own
    found = [one for kind, own in kinds.items() for part in own for one in parts(own[part], f"{kind}.{part}")]
    count = Counter(key_of(schema) for _, schema in found)
    names: dict[bytes, str] = {}
    for path, schema in found:
        key = key_of(schema)
        if count[key] > 1 and len(key) >= SHARED:
            names.setdefault(key, path)
    shared = {name: referring(orjson.loads(key), names, inside=True) for key, name in names.items()}
    return {
        "kinds": {kind: {part: referring(own[part], names) for part in own} for kind, own in kinds.items()},
        "shared": shared,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    files = sorted(parser.parse_args().folder.glob("*.yaml"))
    content = generate([yaml.load(file.read_text(), yaml.CSafeLoader) for file in files])
    text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS).replace(b'},"', b'},\n"')
    Path(manifests.__file__).with_name("fields.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    main()
