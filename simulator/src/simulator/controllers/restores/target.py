"""What a restore does about a target that is still running. Pure. (KubeVirt: restore.go, target readiness.)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simulator.client import Obj
from simulator.client.meta import age
from simulator.controllers.virt.run_strategy import RunStrategy, strategy_of

STOPPING = "Automatically stopping restore target for restore operation"
STILL_THERE = "Restore target VMI still exists, please stop the restore target to proceed with restore"
WAITING = "Waiting for target VM to be powered off. Please stop the restore target to proceed with restore"


@dataclass(frozen=True)
class Decision:
    """What to do, and the text for the conditions; the event beside them has a text of its own when it is waited."""

    class Kind(StrEnum):
        WAIT = "wait"
        STOP = "stop"
        FAIL = "fail"

    kind: Kind
    reason: str
    event: str = STILL_THERE


def decide(restore: Obj, running: bool, grace: float) -> Decision | None:
    """None when the target is powered off. `grace`: seconds that policy WaitGracePeriod waits."""
    if not running:
        return None
    policy = restore["spec"].get("targetReadinessPolicy", "WaitGracePeriod")
    if policy == "StopTarget":
        return Decision(Decision.Kind.STOP, STOPPING, STOPPING)
    if policy == "FailImmediate":
        return Decision(Decision.Kind.FAIL, failure(restore))
    if policy == "WaitEventually":
        return Decision(Decision.Kind.WAIT, WAITING)
    if age(restore["metadata"]["creationTimestamp"]) >= grace:
        return Decision(Decision.Kind.FAIL, failure(restore))
    return Decision(Decision.Kind.WAIT, f"{WAITING}, or the operation will fail after 5m0s")


def failure(restore: Obj) -> str:
    """What a restore says that fails because of its target, by its policy."""
    if restore["spec"].get("targetReadinessPolicy") == "FailImmediate":
        return "Restore target VMI must be powered off before restore operation"
    return "Restore target failed to be ready within 5m0s. Please power off the target VM before attempting restore"


def stopped(vm: Obj, vmi: Obj) -> Obj:
    """The VM as its stop leaves it: switched off, or asked to stop if its strategy is to wait for requests."""
    spec, status = vm["spec"], vm.get("status") or {}
    if spec.get("running") is not None:
        return {**vm, "spec": {**spec, "running": False}}
    if strategy_of(vm) not in (RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE):
        return {**vm, "spec": {**spec, "runStrategy": str(RunStrategy.HALTED)}}
    if status.get("stateChangeRequests"):
        return vm
    request = {"action": "Stop", "uid": vmi["metadata"]["uid"]}
    return {**vm, "status": {**status, "stateChangeRequests": [request]}}
