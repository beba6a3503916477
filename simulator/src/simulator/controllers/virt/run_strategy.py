"""What a VM's run strategy asks for, given its instance. Pure. (KubeVirt: pkg/virt-controller/watch/vm.)"""

from __future__ import annotations

from enum import StrEnum

from simulator.client import Obj
from simulator.client.meta import deleting


class RunStrategy(StrEnum):
    ALWAYS = "Always"
    HALTED = "Halted"
    MANUAL = "Manual"
    RERUN_ON_FAILURE = "RerunOnFailure"
    ONCE = "Once"
    WAIT_AS_RECEIVER = "WaitAsReceiver"


ON_REQUEST = (RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE)
"""Those that can be asked to start."""


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
    strategy, action = strategy_of(vm), requested(vm, vmi)
    if vmi is None:
        return Wanted.START if _starts(vm, strategy, action) else Wanted.NOTHING
    return Wanted.STOP if _stops(strategy, action, ended=final(vmi)) else Wanted.NOTHING


def _starts(vm: Obj, strategy: RunStrategy, action: Wanted) -> bool:
    """Whether a VM without an instance gets one. RerunOnFailure starts by itself only when it is new."""
    if strategy in (RunStrategy.ALWAYS, RunStrategy.ONCE):
        return True
    if strategy is RunStrategy.RERUN_ON_FAILURE and (vm.get("status") or {}).get("runStrategy") != strategy:
        return True
    return strategy in ON_REQUEST and action is Wanted.START


def _stops(strategy: RunStrategy, action: Wanted, *, ended: bool) -> bool:
    """Whether the instance is to go. What ended of itself stays with Manual and Once."""
    if strategy is RunStrategy.HALTED:
        return True
    if action is Wanted.STOP and strategy is not RunStrategy.ONCE:
        return True
    return ended and strategy in (RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE)


def reruns(vm: Obj, vmi: Obj) -> bool:
    """Whether a failed instance is followed by another one for which the VM has to be asked yet."""
    asked = any(request["action"] == "Start" for request in (vm.get("status") or {}).get("stateChangeRequests") or [])
    failed = phase_of(vmi) == "Failed" and not deleting(vmi)
    return strategy_of(vm) is RunStrategy.RERUN_ON_FAILURE and failed and not asked


def set_to_start(vm: Obj, vmi: Obj | None) -> bool:
    """Whether the VM is meant to run, whatever it does now."""
    strategy = strategy_of(vm)
    if strategy is RunStrategy.ALWAYS:
        return True
    if strategy is RunStrategy.ONCE:
        return vmi is None
    if strategy is RunStrategy.RERUN_ON_FAILURE:
        return vmi is None or phase_of(vmi) != "Succeeded"
    if strategy is RunStrategy.MANUAL:
        action = requested(vm, vmi)
        return action is Wanted.START if vmi is None else action is not Wanted.STOP
    return False


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
