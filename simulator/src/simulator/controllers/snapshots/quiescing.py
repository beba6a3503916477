"""The guest agent's part in a snapshot: freezing the filesystems of a running VM. Pure.

Guests here have no agent unless the VM's template asks for one by annotation, since no image can be asked.
(KubeVirt: pkg/storage/snapshot/source.go, Freeze.)
"""

from __future__ import annotations

from enum import StrEnum

from simulator.client import Obj
from simulator.client.meta import annotation, is_true, now

ANNOTATION = "sim.cks.io/guest-agent"
"""On a VM's template: how its guest agent is."""


class Agent(StrEnum):
    CONNECTED = "connected"
    FREEZE_FAILS = "freeze-fails"
    """Connected, and cannot freeze the filesystems."""
    THAWS_EARLY = "thaws-early"
    """Connected, in a Windows whose shadow copies do not hold a freeze until the snapshot is taken."""


def agent_of(vmi: Obj) -> Agent | None:
    """The guest agent of an instance. Raises ValueError for a word that is none."""
    word = annotation(vmi, ANNOTATION)
    return None if word is None else Agent(word)


def connected(vmi: Obj) -> list[Obj]:
    """The condition that an instance has while its agent talks to virt-handler."""
    if agent_of(vmi) is None:
        return []
    return [{"type": "AgentConnected", "status": "True", "lastProbeTime": now(), "lastTransitionTime": None}]


def freezable(vmi: Obj | None) -> bool:
    """Whether a snapshot of this instance begins with a freeze: an agent is there and the guest can act."""
    conditions = ((vmi or {}).get("status") or {}).get("conditions")
    return is_true(conditions, "AgentConnected") and not is_true(conditions, "Paused")


def freeze_fault(vmi: Obj) -> str | None:
    """Why the filesystems cannot be frozen; tried again until the snapshot's deadline."""
    if agent_of(vmi) is not Agent.FREEZE_FAILS:
        return None
    why = "LibvirtError(Code=1, Domain=10, Message='internal error: unable to execute QEMU agent command "
    return f"Failed freezing vm {vmi['metadata']['name']}: {why}'guest-fsfreeze-freeze'')"


LATE = "fsfreeze is limited"
"""By these words a thaw that came too late is known."""


def thaw_fault(vmi: Obj) -> str | None:
    """Why a thaw fails though the filesystems are thawed."""
    if agent_of(vmi) is not Agent.THAWS_EARLY:
        return None
    return f"internal error: unable to execute QEMU agent command 'guest-fsfreeze-thaw': {LATE} up to 10 seconds"


def thawed_late(error: Obj | None) -> bool:
    """Whether a snapshot's error says that the freeze was over before the snapshot was taken."""
    return LATE in ((error or {}).get("message") or "")


def with_freeze(vmi: Obj, *, frozen: bool) -> Obj:
    """The instance with its `fsFreezeStatus`."""
    status = {key: value for key, value in vmi["status"].items() if key != "fsFreezeStatus"}
    return {**vmi, "status": status | ({"fsFreezeStatus": "frozen"} if frozen else {})}
