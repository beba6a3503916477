"""What this is and what it can be set to: `version`, `settings`."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

from cks_pool.formats import columns, data, say
from cks_pool.options import DataOutput

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings


def version(*, output: DataOutput = None) -> None:
    """The version of this command and of what it works with."""
    found = {name: version_of(name) for name in ("cks-pool", "prefect", "kubernetes")}
    found["python"] = platform.python_version()
    say(data(found, output) if output else columns(("PART", "VERSION"), list(found.items())))


def settings() -> None:
    """Every setting with its default and meaning, as markdown."""
    from gateway.settings import GatewaySettings
    from pool.core.settings import Settings

    say(f"{settings_table(Settings)}\n\n{settings_table(GatewaySettings)}")


def settings_table(settings: type[BaseSettings]) -> str:
    """The settings as a markdown table: environment variable, default, meaning."""
    prefix = settings.model_config.get("env_prefix", "")
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        lines.append(f"| `{prefix}{name.upper()}` | {default} | {' '.join((field.description or '').split())} |")
    return "\n".join(lines)
