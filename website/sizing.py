"""What pools ask of their host, computed: from the Pool's defaults, and from the manifests of the pool's own pods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from pool.core.pools import PoolSpec
from pool.core.quantities import times

DEPLOYMENTS = Path(__file__).resolve().parent.parent / "deployments"
SIZES = (1, 3, 10, 30, 100)
MACHINES = 2
"""VMs of a cluster."""
UNITS = {"": Fraction(1), "m": Fraction(1, 1000), "Mi": Fraction(1, 1024), "Gi": Fraction(1)}
"""Cores, and GiB."""
FORM = re.compile(r"([0-9.]+)(m|Mi|Gi|)")


def clusters() -> str:
    """What pools of the default `machines` have, by size."""
    own = PoolSpec().machines

    def row(size: int) -> str:
        vms, disk = size * MACHINES, own.disk
        cells = [str(size), str(vms), str(vms * own.cpu), f"{vms * own.cpu / 10:g}", times(own.memory, vms)]
        return f"| {' | '.join([*cells, times(disk, vms), times(disk, vms * 2)])} |"

    return "\n".join(
        [
            f"With the default `machines`: {own.cpu} cores, {own.memory} of memory, {own.disk} of disk a VM. "
            "Snapshots come on top.",
            "",
            "| clusters | VMs | guests' cores | cores requested | memory | disks | disks, all being reset |",
            "|---|---|---|---|---|---|---|",
            *map(row, SIZES),
        ]
    )


def pods() -> str:
    """What the pool's own pods request, of the overlay `complete`."""
    rows, cpu, memory = [], Fraction(0), Fraction(0)
    for name, replicas, requests in _requests():
        cpu += replicas * _number(requests["cpu"])
        memory += replicas * _number(requests["memory"])
        rows.append(f"| `{name}` | {replicas} | {requests['cpu']} | {requests['memory']} |")
    total = f"| all of them | | {float(cpu):g} | {float(memory):.2g}Gi |"
    return "\n".join(["| pods | how many | CPU each | memory each |", "|---|---|---|---|", *rows, total])


def _requests() -> Iterator[tuple[str, int, dict[str, str]]]:
    for folder in ("base", "components/prefect"):
        for path in sorted((DEPLOYMENTS / folder).glob("*.yaml")):
            for one in yaml.safe_load_all(path.read_text()):
                if one.get("kind") in ("Deployment", "StatefulSet"):
                    (container,) = _spec(one)["containers"]
                    yield one["metadata"]["name"], one["spec"]["replicas"], container["resources"]["requests"]


def _spec(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def _number(quantity: str) -> Fraction:
    found = FORM.fullmatch(quantity)
    assert found is not None, f"{quantity} has no unit of {', '.join(UNITS)}"
    return Fraction(found[1]) * UNITS[found[2]]


def reference() -> str:
    """Both tables."""
    return f"### The clusters\n\n{clusters()}\n\n### The pool's own pods\n\n{pods()}"
