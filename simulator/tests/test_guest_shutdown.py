"""A disk tells at its next boot whether the system on it was shut down."""

from __future__ import annotations

import pytest

from tests.lab import Lab, core, kubevirt

RECOVERY = "recovering journal: the last shutdown was not clean"


async def boots(lab: Lab) -> list[str]:
    """What the guest `cp` printed in all its boots so far."""
    events = await lab.api.items(core(lab.namespace, "events"))
    return [one["message"] for one in events if one["involvedObject"]["name"] == "cp"]


async def booted(lab: Lab) -> None:
    async with lab.guest() as guest:
        await guest.answers()


@pytest.mark.parametrize(("grace", "recovers"), [(None, False), (1, True), (0, True)])
async def test_a_golden_disk_remembers_how_its_vm_was_stopped(lab: Lab, grace: int | None, recovers: bool) -> None:
    await lab.create()
    await booted(lab)
    assert RECOVERY not in await boots(lab)
    await lab.stop(grace)
    await lab.snapshot()
    await lab.restore("one")
    await lab.start()
    await booted(lab)
    assert (RECOVERY in await boots(lab)) is recovers


async def test_a_snapshot_of_a_running_vm_is_of_a_disk_in_use(lab: Lab) -> None:
    await lab.create()
    await booted(lab)
    await lab.snapshot("cp")
    await lab.stop()
    await lab.restore("one", "cp")
    await lab.start()
    await booted(lab)
    assert RECOVERY in await boots(lab)


async def test_a_forced_restart_is_a_power_cut(lab: Lab) -> None:
    await lab.create()
    await booted(lab)
    path = kubevirt(lab.namespace, "virtualmachineinstances", "cp")
    old = await lab.api.get(path)
    await lab.power("cp", "restart", {"gracePeriodSeconds": 0})
    await lab.api.until(path, lambda vmi: vmi and vmi["metadata"]["uid"] != old["metadata"]["uid"])
    await booted(lab)
    assert RECOVERY in await boots(lab)
