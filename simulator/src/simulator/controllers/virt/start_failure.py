"""Starts that failed: counted in `status.startFailure` of the VM, the next one put off ever longer. Pure.

(KubeVirt: pkg/virt-controller/watch/vm, syncStartFailureStatus and calculateStartBackoffTime.)
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from math import ceil

from simulator.client import Obj
from simulator.controllers.virt.run_strategy import RunStrategy, final, strategy_of

FIRST, LONGEST = 10.0, 300.0
"""Seconds: the first back-off, the longest one."""
JITTER = 0.5
"""Largest part of a back-off that chance adds."""
COUNTED = (RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE, RunStrategy.ONCE)
"""Strategies by which failed starts are counted."""
PUT_OFF = (RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE)
"""Those by which the next start waits."""


def backoff(count: int, chance: float) -> float:
    """Seconds between the failed start number `count` and the next; `chance`: 0 to 1."""
    delay = FIRST * count**2
    return min(delay + chance * JITTER * delay, LONGEST)


def with_start_failure(vm: Obj, vmi: Obj | None, moment: datetime, speed: float) -> Obj:
    """The VM with its count at `moment`: an instance that ended before it ever ran counts once, one that runs or
    another run strategy clears it. Stamps are of whole seconds, so that a back-off is never shorter than it should."""
    status = vm.get("status") or {}
    if strategy_of(vm) not in COUNTED or _ran(vmi):
        return {**vm, "status": {key: value for key, value in status.items() if key != "startFailure"}}
    known = status.get("startFailure") or {}
    if vmi is None or not final(vmi) or known.get("lastFailedVMIUID") == vmi["metadata"]["uid"]:
        return vm
    count = known.get("consecutiveFailCount", 0) + 1
    retry = moment.timestamp() + backoff(count, random.random()) / speed
    failure = {
        "consecutiveFailCount": count,
        "lastFailedVMIUID": vmi["metadata"]["uid"],
        "retryAfterTimestamp": datetime.fromtimestamp(ceil(retry), moment.tzinfo).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {**vm, "status": {**status, "startFailure": failure}}


def left(vm: Obj, moment: datetime) -> float:
    """Seconds until a VM that failed to start may be started again; none or less: now."""
    failure = (vm.get("status") or {}).get("startFailure")
    if not failure or strategy_of(vm) not in PUT_OFF:
        return 0.0
    return (datetime.fromisoformat(failure["retryAfterTimestamp"]) - moment) / timedelta(seconds=1)


def _ran(vmi: Obj | None) -> bool:
    """Whether the instance has ever been running."""
    steps = ((vmi or {}).get("status") or {}).get("phaseTransitionTimestamps") or []
    return any(step["phase"] == "Running" for step in steps)
