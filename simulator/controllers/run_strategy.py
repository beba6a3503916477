"""What a VM's run strategy asks for, given its instance. Pure. (KubeVirt: pkg/virt-controller/watch/vm.)"""

from __future__ import annotations

from enum import StrEnum

from simulator.client import Obj
from simulator.controllers.meta import deleting


class RunStrategy(StrEnum):
    ALWAYS = "Always"
    HALTED = "Halted"
    MANUAL = "Manual"
    RERUN_ON_FAILURE = "RerunOnFailure"
    ONCE = "Once"
    WAIT_AS_RECEIVER = "WaitAsReceiver"


class Wanted(StrEnum):
    """What to do with the instance now."""

    START = "start"
    STOP = "stop"
    NOTHING = "nothing"


def strategy_of(vm: Obj) -> RunStrategy:
    """The run strategy; the older `running` means Always or Halted."""
    spec = vm["spec"]
    if spec.get("running") is not None:
        return RunStrategy.ALWAYS if spec["running"] else RunStrategy.HALTED
    return RunStrategy(spec.get("runStrategy", RunStrategy.HALTED))


def final(vmi: Obj) -> bool:
    """The instance has ended."""
    return phase_of(vmi) in ("Succeeded", "Failed")


def phase_of(vmi: Obj) -> str:
    phase: str = vmi.get("status", {}).get("phase", "")
    return phase


def wanted(vm: Obj, vmi: Obj | None) -> Wanted:
    """Start, stop or leave the instance. Stopping a final instance means removing its object."""
    strategy = strategy_of(vm)
    action = requested(vm, vmi)
    if strategy is RunStrategy.HALTED:
        return Wanted.STOP if vmi is not None else Wanted.NOTHING
    if action is Wanted.STOP:
        return Wanted.STOP
    if vmi is None:
        return Wanted.START if starts_by_itself(vm, strategy) or action is Wanted.START else Wanted.NOTHING
    if not final(vmi):
        return Wanted.NOTHING
    restart = strategy is RunStrategy.ALWAYS or (strategy is RunStrategy.RERUN_ON_FAILURE and phase_of(vmi) == "Failed")
    return Wanted.STOP if restart or action is Wanted.START else Wanted.NOTHING


def starts_by_itself(vm: Obj, strategy: RunStrategy) -> bool:
    """Whether a VM without an instance is started without a request. Once: only if it was never started."""
    if strategy is RunStrategy.ONCE:
        return not vm.get("status", {}).get("observedGeneration")
    if strategy is RunStrategy.RERUN_ON_FAILURE:
        return not vm.get("status", {}).get("stopped")
    return strategy is RunStrategy.ALWAYS


def requested(vm: Obj, vmi: Obj | None) -> Wanted:
    """The first pending state change request: a stop is meant for one instance only."""
    for request in vm.get("status", {}).get("stateChangeRequests") or []:
        if request["action"] == "Stop":
            if vmi is not None and request.get("uid") == vmi["metadata"]["uid"]:
                return Wanted.STOP
            continue
        return Wanted.START
    return Wanted.NOTHING


def remaining_requests(vm: Obj, vmi: Obj | None) -> list[Obj]:
    """State change requests not yet carried out."""
    kept: list[Obj] = []
    for request in vm.get("status", {}).get("stateChangeRequests") or []:
        uid = vmi["metadata"]["uid"] if vmi is not None else None
        if request["action"] == "Stop" and request.get("uid") != uid:
            continue
        if request["action"] == "Start" and vmi is not None and not final(vmi) and not deleting(vmi) and not kept:
            continue
        kept.append(request)
    return kept
