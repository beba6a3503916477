"""What nodes say at every boot after their first, on their serial consoles: what is amiss with clock or certificates.

    cks-certificates: the clock is behind that of the first boot

Their script (deployments/templates/certificates.sh.j2) says it before the kubelet starts. All of it is a claim of the
guest.
"""

from __future__ import annotations

import re
from contextlib import suppress

from pool.core.errors import ApiError
from pool.guest.words import cleaned
from pool.kube.client import Kube
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.console import console_of

SAID = re.compile(r"cks-certificates: (.*)")


async def last_words(kube: Kube, cluster: Cluster) -> list[str]:
    """What each VM said last in its present boot, its name before it; of consoles that cannot be read, nothing."""
    words = []
    for machine in cluster.machines:
        with suppress(ApiError):
            said = SAID.findall(await console_of(kube, machine))
            words += [f"{machine.name}: {cleaned(line)}" for line in said[-1:]]
    return words
