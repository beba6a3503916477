"""The templates under `deployments/templates`: VM manifests and what the guests find at their first boot."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where it is there: in Python alone a VM's manifest takes some 20 ms, in which nothing else goes on."""

TEMPLATES = Path(__file__).resolve().parents[2] / "deployments" / "templates"


def render(template: str, **values: Any) -> str:
    """A template filled in; a value it names and does not get raises jinja2.UndefinedError."""
    return _environment().get_template(template).render(**values)


def render_manifest(template: str, **values: Any) -> dict[str, Any]:
    """A template filled in and read as one YAML object."""
    manifest = yaml.load(render(template, **values), Loader=LOADER)  # noqa: S506 - one of the two safe ones
    if not isinstance(manifest, dict):
        raise ValueError(f"{template} is no manifest")
    return manifest


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML, shell and INI, not HTML; every value is the pool's own or validated
    )
