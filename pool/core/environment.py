"""Settings as a process's environment gives them, and what is wrong with a variable, by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from pool.core.errors import InvalidInput

AnySettings = TypeVar("AnySettings", bound=BaseSettings)

SERVICE_LINK = re.compile(r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""Variables that Kubernetes gives every container for a Service whose name begins with `cks-pool`."""


def from_environment(model: type[AnySettings], moved: Mapping[str, str] | None = None) -> AnySettings:
    """The settings that the process's environment gives.

    `moved` says in which field of a Pool's spec a former setting is now. Raises InvalidInput that names the variable
    to mend: one whose value cannot be, one that has moved, one that means nothing.
    """
    prefix = model.model_config["env_prefix"]
    for variable, text in sorted(os.environ.items()):
        if text and variable.upper().startswith(prefix):
            _check_name(model, prefix, variable.upper().removeprefix(prefix), moved or {})
    try:
        return model()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise InvalidInput(
            f"setting {prefix}{name}",
            actual=repr(first.get("input")),
            expected=first["msg"],
            cure="see docs/settings.md",
        ) from None


def _check_name(model: type[BaseSettings], prefix: str, name: str, moved: Mapping[str, str]) -> None:
    if name in moved:
        raise InvalidInput(
            f"setting {prefix}{name}",
            expected="it in the Pool",
            actual="it in the environment",
            cure=f"it has moved to spec.{moved[name]} of the Pool; unset it and run kubectl edit pool default",
        )
    if name.lower() not in model.model_fields and not SERVICE_LINK.fullmatch(name):
        raise InvalidInput(
            f"setting {prefix}{name}",
            expected="a variable that is read",
            actual="one that means nothing",
            cure="unset it; docs/settings.md has all there are",
        )
