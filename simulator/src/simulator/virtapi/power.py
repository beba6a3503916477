"""What start, stop and restart of a VM do. Pure. (KubeVirt: pkg/virt-api/rest/lifecycle.go.)"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.client import Obj
from simulator.controllers.virt.launcher import grace_of
from simulator.controllers.virt.run_strategy import RunStrategy, final, phase_of, strategy_of

UNDERWAY = "unable to complete request: stop/start already underway"
AUTOMATIC = (RunStrategy.ALWAYS, RunStrategy.ONCE)


class Refusal(Exception):
    """409 with this text behind "Operation cannot be fulfilled on ...: "."""


class Underway(Exception):
    """500: another request is being carried out."""


@dataclass(frozen=True)
class Plan:
    """What to write: the VM's new run strategy, or its state change requests; whether the pod is to go."""

    strategy: RunStrategy | None = None
    requests: tuple[Obj, ...] = ()
    remove_pod: bool = False


def check_stopped(vmi: Obj | None) -> None:
    """What runs cannot be started. Raises Refusal."""
    if vmi is not None and not final(vmi) and phase_of(vmi) not in ("", "Unknown"):
        raise Refusal("VM is already running")


def start(vm: Obj, vmi: Obj | None) -> Plan:
    """Raises Refusal, Underway."""
    strategy = strategy_of(vm)
    check_stopped(vmi)
    if strategy is RunStrategy.HALTED:
        return Plan(strategy=RunStrategy.ALWAYS)
    if strategy not in (RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE):
        raise Refusal(f"{strategy} does not support manual start requests")
    if strategy is RunStrategy.RERUN_ON_FAILURE and vmi is not None and phase_of(vmi) == "Failed":
        raise Refusal("RerunOnFailure does not support starting VM from failed state")
    _check_idle(vm)
    ended = (_stop_request(vmi),) if vmi is not None and final(vmi) else ()
    return Plan(requests=(*ended, {"action": "Start"}))


def shorter_grace(vmi: Obj | None, grace: int | None) -> int | None:
    """The grace that a stop gives the instance before anything else, even before it is refused; None: none."""
    return grace if vmi is not None and not final(vmi) else None


def stop(vm: Obj, vmi: Obj | None, grace: int | None) -> Plan:
    """`vmi`: with the grace that it had. A stop takes the place of what was asked for before. Raises Refusal."""
    strategy = strategy_of(vm)
    if strategy in AUTOMATIC:
        return Plan(strategy=RunStrategy.HALTED)
    if vmi is None or final(vmi):
        raise Refusal("VM is not running")
    if strategy is RunStrategy.HALTED and (grace is None or grace >= grace_of(vmi)):
        raise Refusal("Halted only supports manual stop requests with a shorter graceperiod")
    return Plan(requests=(_stop_request(vmi),))


def restart(vm: Obj, vmi: Obj | None, grace: int | None) -> Plan:
    """Raises Refusal, Underway."""
    strategy = strategy_of(vm)
    if strategy in (RunStrategy.HALTED, RunStrategy.ONCE):
        raise Refusal(f"RunStategy {strategy} does not support manual restart requests")
    if vmi is None:
        raise Refusal("VM is not running: Halted")
    _check_idle(vm)
    return Plan(requests=(_stop_request(vmi), {"action": "Start"}), remove_pod=grace == 0)


def _stop_request(vmi: Obj) -> Obj:
    return {"action": "Stop", "uid": vmi["metadata"]["uid"]}


def _check_idle(vm: Obj) -> None:
    if (vm.get("status") or {}).get("stateChangeRequests"):
        raise Underway(UNDERWAY)
