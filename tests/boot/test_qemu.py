"""A run of a machine, with a program in QEMU's place that speaks as much of its protocol."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from boot.qemu import QemuFailed, power_on

SPOKEN = """
import json, sys
def say(answer): print(json.dumps(answer), flush=True)
say({"QMP": {"version": {}}})
for line in sys.stdin:
    order = json.loads(line)["execute"]
    if order == "qmp_capabilities":
        say({"event": "RTC_CHANGE"})
        say({"return": {}})
    elif order == "system_powerdown":
        BUTTON
"""
OBEYS, REFUSES = 'say({"return": {}}); sys.exit()', 'say({"error": {"desc": "no button"}})'


def qemu(button: str = OBEYS) -> list[str]:
    return [sys.executable, "-S", "-c", SPOKEN.replace("BUTTON", button)]


async def test_a_machine_is_on_until_its_guest_switches_itself_off(tmp_path: Path) -> None:
    machine = await power_on(qemu(), tmp_path / "cp.log")
    assert machine.running
    assert (tmp_path / "cp.pid").exists()
    await machine.power_down(timeout=10)
    assert not machine.running
    assert not (tmp_path / "cp.pid").exists()


async def test_its_power_can_be_cut_twice(tmp_path: Path) -> None:
    machine = await power_on(qemu(), tmp_path / "cp.log")
    await machine.cut()
    await machine.cut()
    assert not machine.running


async def test_an_order_that_is_refused_says_why(tmp_path: Path) -> None:
    machine = await power_on(qemu(REFUSES), tmp_path / "cp.log")
    with pytest.raises(QemuFailed, match="system_powerdown: no button"):
        await machine.power_down(timeout=10)
    await machine.cut()


async def test_one_that_cannot_begin_says_what_it_wrote(tmp_path: Path) -> None:
    order = [sys.executable, "-S", "-c", "import sys; sys.exit('Failed to get shared \"write\" lock')"]
    with pytest.raises(QemuFailed, match='QEMU ended: Failed to get shared "write" lock'):
        await power_on(order, tmp_path / "cp.log")
