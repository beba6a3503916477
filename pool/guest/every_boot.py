"""What nodes say at every boot after their first, on their serial consoles: what is amiss with clock or certificates.

    cks-certificates: the clock is behind that of the first boot

Their script (deployments/templates/certificates.sh.j2) says it before the kubelet starts. All of it is a claim of the
guest.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from pool.core.errors import ApiError
from pool.guest.words import cleaned
from pool.kube.client import Kube
from pool.kube.gather import gather
from pool.kubevirt.cluster import Cluster, Machine
from pool.kubevirt.console import console_of

PATIENCE = 5.0
"""Seconds for which a console is waited for."""
SAID = re.compile(r"cks-certificates: (.*)")


async def last_words(kube: Kube, cluster: Cluster) -> list[str]:
    """What each VM said last in its present boot, its name before it; of consoles that cannot be read, nothing."""
    return [words for words in await gather(_said_last(kube, machine) for machine in cluster.machines) if words]


async def _said_last(kube: Kube, machine: Machine) -> str:
    # Where a host's node is gone, its consoles are too, and whoever asks has waited long enough.
    with suppress(ApiError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            if said := SAID.findall(await console_of(kube, machine)):
                return f"{machine.name}: {cleaned(said[-1])}"
    return ""
