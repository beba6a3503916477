from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from boot.console import Said
from boot.cuts import Cut, CutMissed, cut_and_restart, cuts_of
from pool.core.errors import InvalidInput


class Machine:
    """Remembers what was done to it."""

    name = "wk-boot1"

    def __init__(self) -> None:
        self.done: list[str] = []

    async def cut(self) -> None:
        self.done.append("cut")

    async def power_on(self) -> None:
        self.done.append("on")


async def words(*texts: str) -> AsyncIterator[Said]:
    for text in texts:
        step, _, word = text.rpartition(" ")
        yield Said(step, word)


def test_cuts_are_named_by_their_steps_and_seconds() -> None:
    assert cuts_of("20-link, 60-cluster+15") == [Cut("20-link"), Cut("60-cluster", 15)]
    assert cuts_of("") == []
    assert str(Cut("60-cluster", 15)) == "60-cluster+15"


@pytest.mark.parametrize("text", ["60", "cluster", "60-cluster+", "60-cluster+x", "20-link 60-cluster"])
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        cuts_of(text)


async def test_the_power_is_cut_at_each_step_in_turn() -> None:
    machine, told = Machine(), list[str]()
    said = words("10-kernel begins", "20-link begins", "10-kernel begins", "20-link begins", "60-cluster begins")
    await cut_and_restart(machine, said, cuts_of("20-link,60-cluster"), told.append)
    assert machine.done == ["cut", "on", "cut", "on"]
    assert told == ["wk-boot1: power cut at 20-link", "wk-boot1: power cut at 60-cluster"]


async def test_the_power_is_cut_before_the_first_step_too() -> None:
    machine, told = Machine(), list[str]()
    await cut_and_restart(machine, words("60-cluster begins"), cuts_of("power-on,60-cluster,power-on"), told.append)
    assert told == [f"wk-boot1: power cut at {where}" for where in ("power-on", "60-cluster", "power-on")]
    assert cuts_of("power-on+8") == [Cut("power-on", 8)]


async def test_a_step_that_failed_before_is_not_its_beginning() -> None:
    machine = Machine()
    with pytest.raises(CutMissed, match="wk-boot1 was done without the step 80-addons; it had 10-kernel, 60-cluster"):
        await cut_and_restart(
            machine,
            words("10-kernel begins", "80-addons failed", "60-cluster begins", " done"),
            cuts_of("80-addons"),
            print,
        )
    assert machine.done == []
