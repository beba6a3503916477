"""What there is on the simulated host, counted in its store: what is left over shows here."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable

from simulator.api.store import Change, Store

TEMPLATES = "vm-templates"
IMAGE = re.compile(r"golden-default-[0-9a-f]{12}")
"""A golden image's disk: its name goes by the Pool's UID, which is another one each time."""

READY = Counter(
    {
        "virtualmachines": 2,
        "virtualmachineinstances": 2,
        "pods": 2,
        "persistentvolumeclaims": 2,
        "datavolumes": 2,
        "volumesnapshots": 2,
        "virtualmachinesnapshots": 2,
        "virtualmachinesnapshotcontents": 2,
        "virtualmachinerestores": 0,
        "secrets": 4,
        "services": 3,
        "rolebindings": 2,
        "networkpolicies": 1,
        "resourcequotas": 1,
    }
)
"""What a cluster's namespace holds when the cluster is ready, whatever happened before."""

HOST_KINDS = ("persistentvolumes", "volumesnapshotcontents", "namespaces", "pooledclusters")
TEMPLATE_KINDS = ("persistentvolumeclaims", "datavolumes", "volumesnapshots", "rolebindings", "roles", "pods")
"""What is counted beside: on the whole host, and where the golden image lives."""


def census(store: Store, namespace: str) -> Counter[str]:
    """How many objects of the kinds that count there are in a cluster's namespace."""
    found = Counter(dict.fromkeys(READY, 0))
    for group, plural in store.collections():
        if plural in READY:
            found[plural] += store.count((group, plural), namespace)
    return found


def host(store: Store) -> Counter[str]:
    """The same for what belongs to no namespace of a cluster."""
    counts = Counter(dict.fromkeys(HOST_KINDS, 0))
    for group, plural in store.collections():
        if plural in HOST_KINDS:
            counts[plural] += store.count((group, plural))
        if plural in TEMPLATE_KINDS:
            counts[f"{TEMPLATES}/{plural}"] += store.count((group, plural), TEMPLATES)
    return counts


def objects(store: Store) -> set[str]:
    """Every object by kind, namespace and name, but those that tell what happened, and volumes named by chance."""
    return {
        f"{plural}.{group} {namespace}/{IMAGE.sub('golden', name)}"
        for (group, plural), found in store.dump().items()
        for namespace, name in found
        if plural not in ("events", "persistentvolumes")
    }


def settled(store: Store) -> bool:
    """The volumes and contents of removed claims and snapshots are gone as well."""
    count = Counter({plural: store.count((group, plural)) for group, plural in store.collections()})
    return (
        count["persistentvolumes"] == count["persistentvolumeclaims"]
        and count["volumesnapshotcontents"] == count["volumesnapshots"]
    )


def differences(found: Counter[str], wanted: Counter[str]) -> dict[str, tuple[int, int]]:
    """What differs, as found and wanted."""
    return {name: (found[name], wanted[name]) for name in found | wanted if found[name] != wanted[name]}


async def until(store: Store, holds: Callable[[], bool], what: Callable[[], str], timeout: float = 10.0) -> None:
    """Wait until it holds after some write to the store: deletions have their controllers' time."""
    changed = asyncio.Event()

    def seen(_: Change) -> None:
        changed.set()

    stop = store.listen(seen)
    try:
        async with asyncio.timeout(timeout):
            while not holds():
                changed.clear()
                await changed.wait()
    except TimeoutError:
        raise AssertionError(what()) from None
    finally:
        stop()
