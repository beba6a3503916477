"""Images that a kubelet cannot pull: what a pod says between its tries. Pure.

A try that failed reads ErrImagePull until the kubelet looks at the pod again, then ImagePullBackOff until the next try.
(Kubernetes: pkg/kubelet/images, back-off from 10 s, doubled each time, to 300 s.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from simulator.client import Obj
from simulator.controllers.virt.launcher import ERR_IMAGE_PULL, IMAGE_PULL_BACK_OFF

FIRST_BACKOFF, LONGEST_BACKOFF = 10.0, 300.0
"""Seconds between two tries at speed 1."""
SHOWN = 2.0
"""Seconds that a failed try shows as such at speed 1."""
NOWHERE = re.compile(r"[^/]+\.invalid(:\d+)?/")
"""Images of hosts that cannot be. (RFC 2606: `.invalid` never resolves.)"""


@dataclass(frozen=True)
class Tries:
    """`count` tries have failed, the last one at `last` (loop time, seconds)."""

    count: int
    last: float

    def backoff(self) -> float:
        """Seconds from the last try to the next at speed 1."""
        return min(FIRST_BACKOFF * 2.0 ** (self.count - 1), LONGEST_BACKOFF)


def tried(tries: Tries | None, time: float, speed: float) -> tuple[Tries, str, float]:
    """A look at a pod at `time`: the tries then, the reason it waits for, seconds until there is something new."""
    if tries is None or time >= tries.last + tries.backoff() / speed:
        tries = Tries(tries.count + 1 if tries else 1, time)
    shown, again = tries.last + SHOWN / speed, tries.last + tries.backoff() / speed
    return (tries, ERR_IMAGE_PULL, shown - time) if time < shown else (tries, IMAGE_PULL_BACK_OFF, again - time)


def pullable(pod: Obj) -> bool:
    """Whether there can be a registry for each of the pod's images."""
    return not any(NOWHERE.match(container.get("image", "")) for container in pod["spec"].get("containers") or [])


def said(image: str, reason: str, message: str) -> str:
    """What a container says that waits for its image; `message`: what the registry says, empty for its own."""
    found = message or f'failed to pull and unpack image "{image}": not found'
    return found if reason == ERR_IMAGE_PULL else f'Back-off pulling image "{image}": {ERR_IMAGE_PULL}: {found}'
