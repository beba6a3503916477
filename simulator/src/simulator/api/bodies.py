"""Reading the bodies of requests."""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from simulator.api import protobuf
from simulator.api.errors import bad_request, unsupported_media_type

JSON = "application/json"
YAML = "application/yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
SHOWN = 30
"""Characters of a body that is quoted."""


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_object(body: bytes, content_type: str) -> Any:
    """An object in JSON or YAML. Raises ApiError 400 (unreadable), 415 (another format)."""
    given = media_type(content_type) or JSON
    if given in (JSON, "*/*", "text/plain", "application/octet-stream"):
        return read_json(body)
    if given == YAML:
        return read_yaml(body)
    if given == protobuf.MEDIA_TYPE:
        return protobuf.read(body)
    raise unsupported_media_type([JSON, YAML, protobuf.MEDIA_TYPE])


def summary(body: bytes) -> str:
    """The first of a body, as the server quotes what it cannot read: other than objects in hexadecimal digits."""
    if not body:
        return "<empty>"
    text = body.decode(errors="replace") if body.startswith(b"{") else body.hex()
    return f"{text[:SHOWN]} ..." if len(text) > SHOWN else text


def read_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error


def read_yaml(body: bytes) -> Any:
    try:
        # Through JSON, as Kubernetes does: dates are strings there.
        return yaml.load(body, Loader=_Loader)  # noqa: S506 - a CSafeLoader that knows even less
    except yaml.YAMLError as error:
        raise bad_request(f"error converting YAML to JSON: {error}".replace("\n", " ")) from error


class _Loader(yaml.CSafeLoader):
    """YAML without timestamps."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
