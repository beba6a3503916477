"""Kubeconfig files of people: an entry is merged in as kind does it, and everything else stays as it is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cks_pool.errors import BadInput

Config = dict[str, Any]

KINDS = ("clusters", "users", "contexts")


def renamed(text: str, name: str) -> Config:
    """A kubeconfig of one cluster, whose cluster, user and context are called `name`. Pure."""
    made: Config = yaml.safe_load(text)
    context = made["contexts"][0]["context"]
    made["clusters"][0]["name"] = context["cluster"] = name
    made["users"][0]["name"] = context["user"] = name
    made["contexts"][0]["name"] = made["current-context"] = name
    return made


def merged(found: Mapping[str, Any], made: Config) -> Config:
    """`found` with the entries of `made`, in place of those of the same name, and its context as the current one."""
    result: Config = {"apiVersion": "v1", "kind": "Config", **found}
    for kind in KINDS:
        ours = {entry["name"]: entry for entry in made[kind]}
        others = [entry for entry in result.get(kind) or [] if entry["name"] not in ours]
        result[kind] = [*others, *ours.values()]
    result["current-context"] = made["current-context"]
    return result


def merge_into(path: Path, made: Config) -> None:
    """Merge into the file, which is made if it is missing: at once or not at all, for its owner's eyes only.

    Raises BadInput for a file that is no kubeconfig, that somebody else writes just now, or that cannot be written.
    """
    # A link stays one.
    path = path.expanduser().resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(path):
            _write(path, yaml.safe_dump(merged(_read(path), made), sort_keys=False))
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}; name another by --file") from error


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BadInput(f"{path} is no YAML; mend it, or name another by --file") from None
    entries = [entry for kind in KINDS for entry in found.get(kind) or []] if isinstance(found, dict) else [found]
    if found is not None and not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise BadInput(f"{path} is no kubeconfig; mend it, or name another by --file")
    return found or {}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """While entered, kubectl and kind leave the file alone: their lock is a file beside it."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise BadInput(f"{path} is being written by somebody else; if not, remove {lock}") from None
    try:
        yield
    finally:
        lock.unlink()


def _write(path: Path, text: str) -> None:
    # mkstemp makes files that only their owner can read.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def default_file() -> Path:
    """Where kubectl would write: the first file of $KUBECONFIG that is there, else its last; else ~/.kube/config."""
    listed = [Path(one) for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    there = [path for path in listed if path.exists()]
    return next(iter([*there, *listed[-1:]]), Path.home() / ".kube" / "config")
