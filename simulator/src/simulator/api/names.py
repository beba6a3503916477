"""Names of objects, labels and annotations, with the real texts."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from simulator.api.errors import Cause
from simulator.api.values import shown

Obj = dict[str, Any]
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_KEY_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
ANNOTATIONS_LIMIT = 256 * 1024

SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
KEY_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
PREFIXED = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
_RULES = {
    "subdomain": (_SUBDOMAIN, SUBDOMAIN_TEXT, 253),
    "label": (_LABEL, LABEL_TEXT, 63),
    "label1035": (_LABEL_1035, LABEL_1035_TEXT, 63),
}


def generated(prefix: str) -> str:
    """A name for `generateName`: five characters, as apiserver's names.SimpleNameGenerator."""
    return prefix[:58] + "".join(random.choices(_SUFFIX, k=5))


def name_causes(name: str, rule: str, path: str = "metadata.name") -> Iterator[Cause]:
    """What is wrong with a name by its kind's rule (subdomain, label, label1035, path)."""
    if rule == "path":
        if name in (".", "..") or "/" in name or "%" in name:
            yield Cause(path, f"Invalid value: {shown(name)}: may not be '.', '..' or contain '/' or '%'")
        return
    pattern, text, longest = _RULES[rule]
    if len(name) > longest:
        yield Cause(path, f"Invalid value: {shown(name)}: must be no more than {longest} bytes")
    if not pattern.fullmatch(name):
        yield Cause(path, f"Invalid value: {shown(name)}: {text}")


def key_causes(key: str, path: str) -> Iterator[Cause]:
    """What is wrong with the key of a label or an annotation."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        yield Cause(path, f"Invalid value: {shown(key)}: a qualified name {KEY_TEXT[len('name part ') :]}{PREFIXED}")
        return
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        yield Cause(path, f"Invalid value: {shown(key)}: prefix part {SUBDOMAIN_TEXT}")
    if not name:
        yield Cause(path, f"Invalid value: {shown(key)}: name part must be non-empty")
    if len(name) > 63:
        yield Cause(path, f"Invalid value: {shown(key)}: name part must be no more than 63 bytes")
    if not _KEY_NAME.fullmatch(name):
        yield Cause(path, f"Invalid value: {shown(key)}: {KEY_TEXT}")


def label_causes(labels: dict[str, str], path: str) -> Iterator[Cause]:
    """What is wrong with labels, or with what they are matched with."""
    for key, value in labels.items():
        yield from key_causes(key, path)
        yield from value_causes(value, path)


def value_causes(value: str, path: str) -> Iterator[Cause]:
    """What is wrong with the value of a label."""
    if len(value) > 63:
        yield Cause(path, f"Invalid value: {shown(value)}: must be no more than 63 bytes")
    if not _VALUE.fullmatch(value):
        yield Cause(path, f"Invalid value: {shown(value)}: {VALUE_TEXT}")


def metadata_causes(meta: Obj, rule: str) -> Iterator[Cause]:
    """What is wrong with an object's metadata."""
    if prefix := meta.get("generateName"):
        # What follows the prefix makes a hyphen at its end harmless.
        yield from name_causes(f"{prefix}a" if prefix.endswith("-") else prefix, rule, "metadata.generateName")
    yield from name_causes(meta["name"], rule)
    yield from label_causes(meta.get("labels") or {}, "metadata.labels")
    annotations = meta.get("annotations") or {}
    for key in annotations:
        yield from key_causes(key.lower(), "metadata.annotations")
    if sum(len(key) + len(value) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        yield Cause("metadata.annotations", message, "FieldValueTooLong")
    for finalizer in meta.get("finalizers") or []:
        yield from key_causes(finalizer, "metadata.finalizers")
    yield from _owner_causes(meta.get("ownerReferences") or [])


def _owner_causes(owners: list[Obj]) -> Iterator[Cause]:
    controllers = []
    for owner in owners:
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                said = (
                    f"Invalid value: {shown(owner.get(field) or '')}: {'version' if field == 'apiVersion' else field}"
                )
                yield Cause(f"metadata.ownerReferences.{field}", f"{said} must not be empty")
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
    if len(controllers) > 1:
        said = f'Only one reference can have Controller set to true. Found "true" in references for {controllers[0]}'
        yield Cause("metadata.ownerReferences", f"Invalid value: {shown(owners)}: {said} and {controllers[1]}")
