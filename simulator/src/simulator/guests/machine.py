"""One boot of one virtual machine, from power-on to power-off."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from simulator.faults.troubles import TroubleKind, Troubles, Victim
from simulator.guests import boots, first_boot, network
from simulator.guests.booting import CloudInit
from simulator.guests.console import Console
from simulator.guests.control_plane import ControlPlane
from simulator.guests.disk import Disk
from simulator.guests.driving import FirstBoot
from simulator.guests.hardware import Hardware
from simulator.guests.kubeadm import Refused
from simulator.guests.neighbours import Neighbours
from simulator.guests.node import BROKEN, Node
from simulator.timing.clock import Clock
from simulator.timing.delays import Delays

log = logging.getLogger("simulator.guests")
MOUNTED = "mounted"
"""On a disk while a system runs from it; still there at a boot, the last run was cut short, or never seen to end by
who took the snapshot."""


@dataclass(frozen=True)
class Outside:
    """Whom a machine tells of itself: its serial console; who writes Events (whether it went wrong, and the text); who
    looks after machines whose power is gone."""

    console: Console
    tell: Callable[[bool, str], None]
    lost_power: Callable[[], None]


class Machine:
    """A running guest. `power_off` ends it at once and leaves the disk as it is at that moment."""

    def __init__(
        self,
        hardware: Hardware,
        disk: Disk,
        delays: Delays,
        neighbours: Neighbours,
        outside: Outside,
        troubles: Troubles,
        clock: Clock,
    ) -> None:
        self.hardware = hardware
        self.disk = disk
        self.delays = delays
        self.neighbours = neighbours
        self.troubles = troubles
        self.clock = clock
        self.console = outside.console
        self.network = network.read(disk.files)
        self.control_plane: ControlPlane | None = None
        self.boot_id = str(uuid.uuid4())
        self.step = ""
        self.cut = False
        """Whether the power was cut from inside the simulated world, and nothing runs any more."""
        self._outside = outside
        self._hangs = troubles.of(TroubleKind.HANG_BOOT, self.as_victim) is not None
        self._node = Node(self, {})
        self._served: ControlPlane | None = None
        self._task: asyncio.Task[None] | None = None

    def power_on(self) -> None:
        self.neighbours.add(self)
        self._task = asyncio.create_task(self._live(), name=f"guest {self.hardware.namespace}/{self.hardware.name}")

    async def power_off(self) -> None:
        """Cut the power: connections drop, nothing is written any more, files that were not synced are empty."""
        self._unplug()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._node.stop()
        if self._served is not None:
            await self._served.close()
        self.neighbours.changed.beat()

    async def shut_down(self) -> None:
        """An orderly end: filesystems are unmounted before the power goes."""
        self.disk.settle()
        await self.power_off()
        self.disk.machine.pop(MOUNTED, None)

    def _unplug(self) -> None:
        self.neighbours.remove(self)
        serving, self.control_plane = self.control_plane, None
        if serving is not None:
            # Whatever still runs from here on writes to what is no longer the disk.
            self.disk.etcd = serving.detach()
            self._served = serving
        self.disk.lose()

    async def reached(self, point: str) -> None:
        """A point of the first boot at which the power may be cut; then it does not return."""
        where = ":".join(one for one in (self.step, point) if one)
        if self.troubles.of(TroubleKind.CUT_POWER, self.as_victim, at=where) is None:
            return
        self.tell(f"power cut at {where}", wrong=True)
        self._unplug()
        self.cut = True
        self._outside.lost_power()
        await asyncio.Event().wait()

    @property
    def addresses(self) -> frozenset[str]:
        """All addresses of the node's own."""
        return self.network.addresses | {self.hardware.own_address}

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Print it on the console, and tell of it."""
        self.console.print(text)
        self.tell(text, wrong=wrong)

    def tell(self, text: str, *, wrong: bool = False) -> None:
        """Tell of what happens inside, which in life nobody sees."""
        log.log(logging.WARNING if wrong else logging.INFO, "%s/%s: %s", *self._where, text)
        self._outside.tell(wrong, text)

    @property
    def hangs(self) -> bool:
        """Whether this boot, when the power came on, got stuck and still is: nothing runs."""
        return self._hangs and self.troubles.of(TroubleKind.HANG_BOOT, self.as_victim) is not None

    @property
    def as_victim(self) -> Victim:
        """This boot, for what may go wrong with it."""
        return Victim(self.hardware.uid, self.hardware.namespace, (self.hardware.name,))

    @property
    def _where(self) -> tuple[str, str]:
        return self.hardware.namespace, self.hardware.name

    async def _live(self) -> None:
        try:
            await self._boot()
        except Refused as error:
            self.say(str(error), wrong=True)
        except Exception:
            log.exception("guest %s/%s broke", *self._where)
            self.say(BROKEN, wrong=True)

    async def _boot(self) -> None:
        if self._hangs:
            await self.troubles.wait(TroubleKind.HANG_BOOT, self.as_victim, begun=False)
            self._hangs = False
        if not self.disk.bootable:
            self.say("No bootable device.", wrong=True)
            return
        if MOUNTED in self.disk.machine:
            self.say("recovering journal: the last shutdown was not clean")
        self.disk.machine[MOUNTED] = "rw"
        # In memory.
        for path in [one for one in self.disk.files if one.startswith("/run/")]:
            del self.disk.files[path]
        await asyncio.sleep(self.delays.boot)
        cloud_init = CloudInit(self)
        commands = await cloud_init.run()
        units = cloud_init.units
        for unit in first_boot.masked_units(units, self.disk.files):
            self.say(f"Unit {unit} is masked.", wrong=True)
        boots.count(units, self.disk.files, self.boot_id)
        self.network = network.read(self.disk.files)
        script = first_boot.find(commands, cloud_init.enabled_before, self.disk.files)
        if script is not None and script.passed(self.disk.files):
            script = None
        said = boots.said(units, self.disk.files)
        if script is not None:
            # How far it is is not said before it failed, or is over.
            said.pop(script.says, None)
        self._node.note(said)
        if "role" in self.disk.machine:
            self._node.resume()
        if script is not None:
            await FirstBoot(self, self._node, script).run()
        elif "role" not in self.disk.machine:
            self.say("first boot is over without a kubeadm command: this is a bare machine", wrong=True)
        await self._node.ended()
