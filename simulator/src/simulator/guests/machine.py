"""One boot of one virtual machine, from power-on to power-off."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import datetime

from simulator.faults.troubles import Part, TroubleKind, Troubles, Victim
from simulator.guests import boots, cloudinit, first_boot, kubeadm, network
from simulator.guests.console import Console
from simulator.guests.control_plane import ControlPlane
from simulator.guests.disk import Disk
from simulator.guests.first_boot import Script
from simulator.guests.hardware import Hardware
from simulator.guests.joining import find_control_plane, join
from simulator.guests.keeping import Trust, keep
from simulator.guests.kubeadm import Refused
from simulator.guests.kubelet import Kubelet
from simulator.guests.neighbours import Neighbours
from simulator.guests.pki import create_authority, load
from simulator.guests.validity import end_of_kubelet, give_kubelet
from simulator.timing.clock import Clock
from simulator.timing.delays import Delays

log = logging.getLogger("simulator.guests")
Tell = Callable[[bool, str], None]
"""Takes what is worth an Event: whether it went wrong, and the text."""
MOUNTED = "mounted"
"""On a disk while a system runs from it; still there at a boot, the last run was cut short, or never seen to end by
who took the snapshot."""
CA_CERT, CA_KEY = "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"


class Machine:
    """A running guest. `power_off` ends it at once and leaves the disk as it is at that moment."""

    def __init__(
        self,
        hardware: Hardware,
        disk: Disk,
        delays: Delays,
        neighbours: Neighbours,
        console: Console,
        tell: Tell,
        troubles: Troubles,
        clock: Clock,
    ) -> None:
        self.hardware = hardware
        self.disk = disk
        self.network = network.read(disk.files)
        self.control_plane: ControlPlane | None = None
        self.boot_id = str(uuid.uuid4())
        self._delays = delays
        self._neighbours = neighbours
        self._console = console
        self._tell = tell
        self._troubles = troubles
        self._hangs = troubles.of(TroubleKind.HANG_BOOT, self.as_victim) is not None
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def power_on(self) -> None:
        self._neighbours.add(self)
        self._task = asyncio.create_task(self._live(), name=f"guest {self.hardware.namespace}/{self.hardware.name}")

    async def power_off(self) -> None:
        """Cut the power: connections drop, nothing is written any more."""
        self._neighbours.remove(self)
        serving, self.control_plane = self.control_plane, None
        if serving is not None:
            # Whatever still runs from here on writes to what is no longer the disk.
            self.disk.etcd = serving.detach()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if serving is not None:
            await serving.close()
        self._neighbours.changed.beat()

    async def shut_down(self) -> None:
        """An orderly end: filesystems are unmounted before the power goes."""
        await self.power_off()
        self.disk.machine.pop(MOUNTED, None)

    @property
    def addresses(self) -> frozenset[str]:
        """All addresses of the node's own."""
        return self.network.addresses | {self.hardware.own_address}

    def say(self, text: str, *, wrong: bool = False) -> None:
        log.log(logging.WARNING if wrong else logging.INFO, "%s/%s: %s", *self._where, text)
        self._console.print(text)
        self._tell(wrong, text)

    @property
    def hangs(self) -> bool:
        """Whether this boot, when the power came on, got stuck and still is: nothing runs."""
        return self._hangs and self._troubles.of(TroubleKind.HANG_BOOT, self.as_victim) is not None

    @property
    def as_victim(self) -> Victim:
        """This boot, for what may go wrong with it."""
        return Victim(self.hardware.uid, self.hardware.namespace, (self.hardware.name,))

    @property
    def _units(self) -> list[str]:
        """The units that cloud-init enabled."""
        return self.disk.machine.get("units", "").split()

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
            self.say("kernel panic: the simulated guest broke, see the simulator's log", wrong=True)

    async def _boot(self) -> None:
        if self._hangs:
            await self._troubles.wait(TroubleKind.HANG_BOOT, self.as_victim, begun=False)
            self._hangs = False
        if not self.disk.bootable:
            self.say("No bootable device.", wrong=True)
            return
        if MOUNTED in self.disk.machine:
            self.say("recovering journal: the last shutdown was not clean")
        self.disk.machine[MOUNTED] = "rw"
        await asyncio.sleep(self._delays.boot)
        script = self._first_boot()
        boots.count(self._units, self.disk.files, self.boot_id)
        self.network = network.read(self.disk.files)
        role = self.disk.machine.get("role")
        if script is not None and role is not None and not script.passed(self.disk.files):
            role = self._run_again(script)
        if role is None:
            await self._set_up(script)
            return
        self.say(f"booted from disk as {role}")
        await (self._serve_again() if role == "control-plane" else self._work_again())

    def _first_boot(self) -> Script | None:
        """cloud-init's first boot happens once for an instance-id; units that it enabled run at each boot. The kubeadm
        run that this boot leads to."""
        fault = cloudinit.unmatched_interface(self.hardware.networkdata, self.hardware.mac_address)
        if fault is not None:
            raise Refused(f"cloud-init: {fault}")
        commands = first_boot.unit_commands(self._units, self.disk.files)
        instance, known = self.hardware.instance_id, self.disk.machine.get("instance-id")
        if known != instance:
            try:
                config = cloudinit.parse(self.hardware.userdata)
            except cloudinit.BadUserData as error:
                raise Refused(f"cloud-init: {error}") from error
            self.disk.files.update(config.files)
            self.disk.machine["instance-id"] = instance
            self.disk.machine["hostname"] = config.hostname or self.hardware.name
            self.disk.machine["units"] = " ".join(first_boot.enabled_units(config.commands))
            self.say(f"cloud-init: {'new instance-id, running again' if known else 'first boot'}: {instance}")
            commands = [*config.commands, *commands]
        return first_boot.find(commands, self.disk.files)

    def _run_again(self, script: Script) -> str | None:
        """A first-boot script met a node that is set up already: the node's role after that."""
        if not script.resets:
            self.say(f"kubeadm {script.verb} ran again on a node that is set up: preflight errors, nothing changed")
            return self.disk.machine["role"]
        self.say("first-boot script ran kubeadm reset on a node that was set up: it starts anew", wrong=True)
        for name in ("role", "node", "address", "version", "api", "ca-hash"):
            self.disk.machine.pop(name, None)
        self.disk.etcd = None
        return None

    async def _set_up(self, script: Script | None) -> None:
        if script is None:
            self.say("first boot is over without a kubeadm command: this is a bare machine", wrong=True)
            return
        known = self.disk.files.setdefault("/etc/hosts", "127.0.0.1 localhost\n")
        self.disk.files["/etc/hosts"] = known + "".join(f"{entry}\n" for entry in script.hosts if entry not in known)
        text = self.disk.files.get(script.config)
        if text is None:
            raise Refused(f"kubeadm {script.verb}: unable to read config from {script.config!r}: no such file")
        await (self._init(script, text) if script.verb == "init" else self._join(script, text))

    def _done(self, script: Script) -> None:
        self.disk.files["/etc/kubernetes/kubelet.conf"] = f"kubeadm {script.verb}\n"
        for mark in script.marks:
            self.disk.files[mark] = ""

    async def _init(self, script: Script, configuration: str) -> None:
        init = kubeadm.read_init(configuration, self.disk.machine["hostname"], self.addresses)
        files = self.disk.files
        if CA_CERT not in files and CA_KEY not in files:
            files[CA_CERT], files[CA_KEY] = create_authority(self._clock.now())
        authority = load(files.get(CA_CERT, ""), files.get(CA_KEY, ""), self._clock.now())
        await asyncio.sleep(self._delays.kubeadm_init)
        serving = await ControlPlane.initialise(self.disk, init, authority, self.hardware.address, self._clock)
        self.disk.machine |= {
            "role": "control-plane",
            "node": init.node,
            "address": init.advertise_address,
            "version": init.version,
        }
        give_kubelet(files, authority, init.node, self._clock.now())
        files["/etc/kubernetes/admin.conf"] = "kubeadm init\n"
        self._done(script)
        self._serve(serving)
        self.say("Your Kubernetes control-plane has initialized successfully!")
        await self._run_kubelet(serving)

    async def _serve_again(self) -> None:
        await asyncio.sleep(self._delays.api_start)
        address = self.disk.machine["address"]
        if address not in self.addresses:
            raise Refused(f"etcd cannot listen on {address}: cannot assign requested address")
        serving = await ControlPlane.restart(self.disk, self.hardware.address, self._clock)
        self._serve(serving)
        self.say("kube-apiserver is serving")
        await asyncio.sleep(self._delays.reboot_ready)
        await self._run_kubelet(serving)

    def _serve(self, serving: ControlPlane) -> None:
        serving.healthy = lambda: self._troubles.of(TroubleKind.UNHEALTHY_GUEST, self.as_victim, Part.APISERVER) is None
        self.control_plane = serving
        self._neighbours.changed.beat()

    def _kubelet(self) -> Kubelet:
        machine = self.disk.machine
        return Kubelet(
            node=machine["node"],
            address=machine["address"],
            control_plane=machine["role"] == "control-plane",
            version=machine["version"],
            disk=self.disk,
            delays=self._delays,
            boot_id=self.boot_id,
            says=boots.said(self._units, self.disk.files),
        )

    async def _run_kubelet(self, serving: ControlPlane) -> None:
        async with asyncio.TaskGroup() as tasks:
            controllers = tasks.create_task(serving.run_controllers(self._delays))
            tasks.create_task(self._keep(self._kubelet(), lambda: serving))
            # Theirs are of the day of the API server's.
            await self._clock.until(serving.ends)
            controllers.cancel()

    async def _join(self, script: Script, configuration: str) -> None:
        request = kubeadm.read_join(configuration, self.disk.machine["hostname"])
        told: set[str] = set()

        def look() -> ControlPlane | None:
            try:
                return join(self, request, self._neighbours, self._clock.now())
            except Refused as error:
                if str(error) not in told:
                    told.add(str(error))
                    self.say(f"kubeadm join: {error}", wrong=True)
                return None

        # kubeadm retries discovery; what it waits for is another machine of the namespace, so look at every change.
        serving = await self._neighbours.changed.until(look, at_least_every=self._delays.retry)
        await asyncio.sleep(self._delays.kubeadm_join)
        own = sorted(self.network.addresses) or [self.hardware.own_address]
        self.disk.machine |= {
            "role": "worker",
            "node": request.node,
            "address": own[0],
            "version": serving.version,
            "api": request.host,
            "ca-hash": serving.authority.spki_hash,
        }
        give_kubelet(self.disk.files, serving.authority, request.node, self._clock.now())
        self._done(script)
        self.say("This node has joined the cluster")
        await self._keep(self._kubelet(), self._my_control_plane)

    async def _work_again(self) -> None:
        await asyncio.sleep(self._delays.reboot_ready)
        await self._keep(self._kubelet(), self._my_control_plane)

    def _my_control_plane(self) -> ControlPlane | None:
        """The control plane that this worker joined, when it can be reached and is the same cluster still."""
        try:
            serving = find_control_plane(self, self.disk.machine["api"], self._neighbours)
        except Refused:
            return None
        return serving if serving.authority.spki_hash == self.disk.machine["ca-hash"] else None

    def _trusted_until(self, serving: ControlPlane) -> datetime:
        """When kubelet and API server cease to trust each other's certificates. Raises Refused without one."""
        return min(serving.ends, end_of_kubelet(self.disk.files))

    async def _keep(self, kubelet: Kubelet, reach: Callable[[], ControlPlane | None]) -> None:
        trust = Trust(self._clock, self._trusted_until, lambda text: self.say(text, wrong=True))
        world = self._neighbours.changed, self._troubles, self.as_victim
        await keep(kubelet, trust.reached(reach), trust, *world, retry=self._delays.retry)
