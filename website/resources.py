"""The reference of the pool's kinds, as markdown, from the definitions that are applied to the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pool.core.crds import definitions

Schema = dict[str, Any]


def reference() -> str:
    """Every kind with its fields and rules."""
    return "\n".join(line for definition in definitions() for line in _kind(definition)).strip()


def _kind(definition: Schema) -> Iterator[str]:
    names, version = definition["spec"]["names"], definition["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    yield f"## {names['kind']}"
    yield f"\n{schema['description']}\n"
    yield from _facts(names, version)
    for part, said in (("spec", "What is wanted"), ("status", "What is; written by the pool alone")):
        yield f"\n### {names['kind']}: `{part}`\n\n{said}.\n"
        yield from _table(schema["properties"][part], defaults=part == "spec")
    yield f"\n### {names['kind']}: rules\n\nThe API server refuses a write that breaks one of these, whoever writes.\n"
    yield from (f"- {rule}" for rule in _rules(schema))
    yield ""


def _facts(names: Schema, version: Schema) -> Iterator[str]:
    # Not `pc`: that is PriorityClass, wherever both are.
    short = ", ".join(f"`{name}`" for name in names["shortNames"] if name != "pc")
    selectable = ", ".join(f"`{field['jsonPath'].removeprefix('.')}`" for field in version.get("selectableFields", ()))
    yield "| | |\n|---|---|"
    yield f"| `kubectl get` | `{names['plural']}`, {short} |"
    yield f"| version | `cks.io/{version['name']}` |"
    yield f"| subresources | {', '.join(f'`{name}`' for name in version['subresources'])} |"
    if selectable:
        yield f"| `--field-selector` | {selectable} |"


def _fields(node: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    required = node.get("required", ())
    for name, child in node.get("properties", {}).items():
        yield f"{path}{name}", child, name in required
        yield from _fields(child.get("items", child), f"{path}{name}{'[]' if 'items' in child else ''}.")


def _table(node: Schema, *, defaults: bool) -> Iterator[str]:
    """All fields below; nobody asks what the pool writes by default."""
    yield "| field | type | default | meaning |" if defaults else "| field | type | meaning |"
    yield "|---|---|---|---|" if defaults else "|---|---|---|"
    for path, child, required in _fields(node, ""):
        cells = [f"`{path}`", _type(child), *([_default(child, required)] if defaults else [])]
        yield f"| {' | '.join(cells)} | {_cell(child.get('description', ''))} |"


def _default(node: Schema, required: bool) -> str:
    default = node.get("default")
    if required:
        return "*required*"
    if default is None or isinstance(default, dict):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _type(node: Schema) -> str:
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    if "items" in node:
        return f"list of {_type(node['items'])}"
    kind = "time" if node.get("format") == "date-time" else str(node["type"])
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None:
        return f"{kind}, {low} or more" if high is None else f"{kind}, {low} to {high}"
    return kind


def _rules(node: Schema) -> Iterator[str]:
    """What the rules say, each once, in the order of the fields."""
    seen: dict[str, None] = {}
    for rule in _all_rules(node):
        seen.setdefault(rule["message"])
    yield from seen


def _all_rules(node: Schema) -> Iterator[Schema]:
    yield from node.get("x-kubernetes-validations", ())
    for child in (*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])):
        yield from _all_rules(child)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
