"""What start, stop and restart of a VM do. Pure. (KubeVirt: pkg/virt-api/rest/lifecycle.go.)"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.client import Obj
from simulator.controllers.launcher import grace_of
from simulator.controllers.run_strategy import RunStrategy, final, phase_of, strategy_of


class Refusal(Exception):
    """409 with this text behind "Operation cannot be fulfilled on ...: "."""


class Underway(Exception):
    """500: another request is being carried out."""


@dataclass(frozen=True)
class Plan:
    """What to write: the VM's new run strategy, or state change requests; the instance's shorter grace."""

    strategy: RunStrategy | None = None
    requests: tuple[Obj, ...] = ()
    grace: int | None = None
    remove_pod: bool = False


def start(vm: Obj, vmi: Obj | None) -> Plan:
    """Raises Refusal, Underway."""
    strategy = strategy_of(vm)
    if vmi is not None and not final(vmi) and phase_of(vmi) not in ("", "Unknown"):
        raise Refusal("VM is already running")
    if strategy is RunStrategy.HALTED:
        return Plan(strategy=RunStrategy.ALWAYS)
    if strategy not in (RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE):
        raise Refusal(f"{strategy} does not support manual start requests")
    if strategy is RunStrategy.RERUN_ON_FAILURE and vmi is not None and phase_of(vmi) == "Failed":
        raise Refusal("RerunOnFailure does not support starting VM from failed state")
    _check_idle(vm)
    ended = vmi is not None and final(vmi)
    return Plan(requests=((_stop_request(vmi),) if ended and vmi is not None else ()) + ({"action": "Start"},))


def stop(vm: Obj, vmi: Obj | None, grace: int | None) -> Plan:
    """Raises Refusal, Underway."""
    strategy = strategy_of(vm)
    running = vmi is not None and not final(vmi)
    shorter = grace if running and grace is not None else None
    if strategy in (RunStrategy.ALWAYS, RunStrategy.ONCE):
        return Plan(strategy=RunStrategy.HALTED, grace=shorter)
    if not running or vmi is None:
        raise Refusal("VM is not running")
    if strategy is RunStrategy.HALTED:
        if grace is None or grace >= grace_of(vmi):
            raise Refusal("Halted only supports manual stop requests with a shorter graceperiod")
        return Plan(grace=grace)
    _check_idle(vm)
    return Plan(requests=(_stop_request(vmi),), grace=shorter)


def restart(vm: Obj, vmi: Obj | None, grace: int | None) -> Plan:
    """Raises Refusal, Underway."""
    if strategy_of(vm) is RunStrategy.HALTED:
        raise Refusal("RunStategy Halted does not support manual restart requests")
    if vmi is None:
        raise Refusal("VM is not running")
    _check_idle(vm)
    return Plan(requests=(_stop_request(vmi), {"action": "Start"}), remove_pod=grace == 0)


def _stop_request(vmi: Obj) -> Obj:
    return {"action": "Stop", "uid": vmi["metadata"]["uid"]}


def _check_idle(vm: Obj) -> None:
    if (vm.get("status") or {}).get("stateChangeRequests"):
        raise Underway("unable to complete request: stop/start already underway")
