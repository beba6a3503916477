"""NAME=VALUE as a flow's parameters: YAML in shape, but what a value is is for the flow's types to say.

So `session_id=0042` is the session 0042, where YAML alone would make the number 34 of it, and `size=3` a number all the
same, where the flow asks for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from cks_pool.errors import BadInput

NULL = "tag:yaml.org,2002:null"


class _AsTyped(yaml.SafeLoader):
    """Lists and mappings are such, nothing is null; all else is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, pattern) for tag, pattern in found if tag == NULL]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def as_typed(texts: Iterable[str]) -> dict[str, Any]:
    """The parameters by their names. Raises BadInput for what is no NAME=VALUE, or twice, or no YAML."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(f"{text!r} is no parameter; write NAME=VALUE, for example cluster_id=cluster1")
        if name in found:
            raise BadInput(f"{name} is given twice; leave out either")
        try:
            found[name] = yaml.load(value, Loader=_AsTyped)  # noqa: S506 - a safe one
        except yaml.YAMLError:
            raise BadInput(f"the value of {name} is no YAML; quote it") from None
    return found
