"""Structural OpenAPI schemas, as CustomResourceDefinitions need them, from pydantic models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

KEPT = (
    *("type", "description", "enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength"),
    *("maxItems", "maxProperties", "default"),
)
MAPS = {"conditions": ["type"]}
"""Lists that the API server merges by keys; all others are replaced as a whole."""


def structural(model: type[BaseModel]) -> Schema:
    """The model's schema in structural form: references inlined, optional fields simply not required."""
    schema = model.model_json_schema(by_alias=True)
    return _node(schema, schema.get("$defs", {}), "")


def _node(schema: Schema, defs: dict[str, Schema], field: str) -> Schema:
    schema = _resolved(schema, defs)
    node = {key: schema[key] for key in KEPT if key in schema and schema[key] is not None}
    if "description" in node:
        node["description"] = one_line(node["description"])
    if "enum" in node:
        # Lets the API server bound what a CEL rule on this field costs.
        node["maxLength"] = max(map(len, node["enum"]))
    if node["type"] == "integer":
        node["format"] = "int64"
    if "properties" in schema:
        node["properties"] = {name: _node(child, defs, name) for name, child in schema["properties"].items()}
        node |= {"required": schema["required"]} if schema.get("required") else {}
    elif node["type"] == "object":
        node["additionalProperties"] = _node(schema["additionalProperties"], defs, field)
    if node["type"] == "array":
        node["items"] = _node(schema["items"], defs, field)
        node["x-kubernetes-list-type"] = "map" if field in MAPS else "atomic"
        node |= {"x-kubernetes-list-map-keys": MAPS[field]} if field in MAPS else {}
    if isinstance(node.get("default"), list) or field == "phase":
        node.pop("default", None)
    if isinstance(node.get("default"), dict):
        # The API server fills the fields in by their own defaults.
        node["default"] = {}
    return node


def _resolved(schema: Schema, defs: dict[str, Schema]) -> Schema:
    """Without `$ref` and without the "or null" of an optional field; the field's own words win over its type's."""
    own = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
    if "$ref" in schema:
        return _resolved(defs[schema["$ref"].rsplit("/", 1)[-1]], defs) | own
    if "anyOf" in schema:
        (only,) = (option for option in schema["anyOf"] if option.get("type") != "null")
        return _resolved(only, defs) | own
    return schema


def one_line(docstring: str | None) -> str:
    return " ".join((docstring or "").split())
