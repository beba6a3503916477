"""The reference of the HTTP API, as markdown, from the gateway's own description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.app import build
from gateway.settings import GatewaySettings

Schema = dict[str, Any]
PROBLEMS = 400
"""From here on answers are problem details, the same for all calls."""


def reference() -> str:
    """Every call, then everything that is sent and answered."""
    described = build(GatewaySettings()).openapi()
    return "\n".join([*_calls(described), *_bodies(described["components"]["schemas"])]).strip()


def _calls(described: Schema) -> Iterator[str]:
    for tag in described["tags"]:
        yield f"## {tag['name']}\n\n{tag['description']}\n"
        for path, methods in described["paths"].items():
            for method, call in methods.items():
                if tag["name"] in call["tags"]:
                    yield from _call(method.upper(), path, call)


def _call(method: str, path: str, call: Schema) -> Iterator[str]:
    yield f"### {method} {path}\n"
    yield f"{_flat(call['description'])}\n"
    yield "| | | |\n|---|---|---|"
    for one in call.get("parameters", ()):
        yield f"| {one['in']} | `{one['name']}` | {_parameter(one)} |"
    for kind, body in call.get("requestBody", {}).get("content", {}).items():
        yield f"| body | {_type(body['schema'])} | `{kind}` |"
    for status, answer in call["responses"].items():
        if int(status) < PROBLEMS:
            yield f"| answer | {status} | {_answer(answer)} |"
    problems = [status for status in call["responses"] if int(status) >= PROBLEMS]
    if problems:
        yield f"| problem | {', '.join(problems)} | [`Problem`](#problem) |"
    yield ""


def _parameter(one: Schema) -> str:
    needed = ", *required*" if one.get("required") and one["in"] != "path" else ""
    return f"{_type(one['schema'])}{needed}. {_cell(one.get('description', ''))}".strip()


def _answer(answer: Schema) -> str:
    schemas = [body["schema"] for body in answer.get("content", {}).values() if "schema" in body]
    # What FastAPI says where nobody says anything.
    said = "" if answer["description"] == "Successful Response" else f"{answer['description'].rstrip('.')}. "
    return f"{said}{_type(schemas[0])}" if schemas and schemas[0] else said.strip()


def _bodies(schemas: dict[str, Schema]) -> Iterator[str]:
    yield "## What is sent and answered\n"
    for name, schema in sorted(schemas.items()):
        yield f"### {name}\n\n{_flat(schema.get('description', ''))}\n"
        if "enum" in schema:
            yield f"One of {', '.join(f'`{value}`' for value in schema['enum'])}.\n"
        if fields := schema.get("properties"):
            yield "| field | type | default | meaning |\n|---|---|---|---|"
            yield from (_field(field, fields[field], schema.get("required", ())) for field in fields)
            yield ""


def _field(name: str, schema: Schema, required: Any) -> str:
    default = schema.get("default")
    shown = "*required*" if name in required else "" if default is None else f"`{_value(default)}`"
    return f"| `{name}` | {_type(schema)} | {shown} | {_cell(schema.get('description', ''))} |"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if several := [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]:
        return " or ".join(_type(one) for one in several)
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if values := schema.get("additionalProperties"):
        return f"map of {_type(values)}" if isinstance(values, dict) else "map"
    return _bounded("time" if schema.get("format") == "date-time" else schema.get("type", "anything"), schema)


def _bounded(kind: str, schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None:
        return kind
    return f"{kind}, {low} or more" if high is None else f"{kind}, {low} to {high}"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flat(text: str) -> str:
    """Paragraphs without their line breaks, which some readers would show."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
