"""Options that several commands have, named as kubectl names them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from cks_pool.completion import clusters, contexts, pools, sessions
from cks_pool.errors import BadInput
from pool.core.settings import PREFIX

HOST = Group("Host", sort_key=9)
"""The panel of a help text that says where the host cluster is."""


@Parameter(name="*", group=HOST)
@dataclass(frozen=True)
class Where:
    """Where the pools are: what is given goes before the environment's settings."""

    namespace: Annotated[str | None, Parameter(name=["--namespace", "-n"])] = None
    """Namespace of the Pools, clusters and sessions; CKS_POOL_NAMESPACE, or cks-pool, if left out."""
    kubeconfig: Annotated[Path | None, Parameter(name="--kubeconfig")] = None
    """Kubeconfig of the host cluster; CKS_POOL_KUBECONFIG, or as kubectl finds it, if left out."""
    context: Annotated[str | None, Parameter(name="--context", completer=contexts)] = None
    """Context of that kubeconfig; its current one if left out."""

    def applied(self) -> AbstractContextManager[None]:
        """While entered, the process's settings say so: flows that run in it read them, too."""
        return applied({f"{PREFIX}{name.upper()}": value for name, value in vars(self).items()})


@contextmanager
def applied(given: Mapping[str, object | None]) -> Iterator[None]:
    """While entered, these variables of the environment are so; those that are None are left as they are."""
    wanted = {name: str(value) for name, value in given.items() if value is not None}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


OF_HOST = ("--namespace", "-n", "--kubeconfig", "--context")


def behind_command(words: Sequence[str]) -> list[str]:
    """The words, with options of the host that stand before the command moved behind it: kubectl takes both. Pure."""
    rest, moved = list(words), []
    while rest and rest[0].partition("=")[0] in OF_HOST:
        taken = 1 if "=" in rest[0] else 2
        moved += rest[:taken]
        rest = rest[taken:]
    return [*rest[:1], *moved, *rest[1:]] if rest else list(words)


HERE = Where()
"""As the environment says."""

PoolName = Annotated[str, Parameter(name=["--pool", "-p"], help="The Pool, by name.", completer=pools)]
AnyPool = Annotated[
    str | None, Parameter(name=["--pool", "-p"], help="Only of this Pool; of all if left out.", completer=pools)
]
ClusterName = Annotated[str, Parameter(help="The cluster's name, for example cluster1.", completer=clusters)]
SessionName = Annotated[str, Parameter(help="The session's ID, as typed: 0042 is not 42.", completer=sessions)]
NewSession = Annotated[str, Parameter(help="The session's ID, as typed: 0042 is not 42.")]

Format = Literal["wide", "json", "yaml", "name"]
Output = Annotated[Format | None, Parameter(name=["--output", "-o"], help="How it is printed; a table if left out.")]
Data = Literal["json", "yaml"]
DataOutput = Annotated[Data | None, Parameter(name=["--output", "-o"], help="How it is printed; a line if left out.")]

DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def seconds(text: str) -> int:
    """A duration as `90`, `90s`, `15m` or `1h30m`. Raises BadInput."""
    found = DURATION.fullmatch(text.strip())
    if not text.strip() or found is None:
        raise BadInput(f"{text!r} is no duration; write seconds, or as 90s, 15m or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest
