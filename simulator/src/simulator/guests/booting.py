"""cloud-init on a disk: its first boot happens once for an instance-id, unless its semaphores are removed."""

from __future__ import annotations

from simulator.guests import cloudinit, first_boot
from simulator.guests.cloudinit import CloudConfig
from simulator.guests.interpreter import Interpreter
from simulator.guests.kubeadm import Refused
from simulator.guests.node import Owner
from simulator.guests.programs import Result

SEMAPHORES = "/var/lib/cloud/instance/sem/"
WRITES = f"{SEMAPHORES}config_write_files"
RUNS = f"{SEMAPHORES}config_runcmd", f"{SEMAPHORES}config_scripts_user"


class CloudInit:
    """One boot's run of it."""

    def __init__(self, machine: Owner) -> None:
        self._machine = machine
        self.enabled_before = self.units

    @property
    def units(self) -> list[str]:
        """The units that it has enabled; those that were before this boot run in it."""
        return self._machine.disk.machine.get("units", "").split()

    async def run(self) -> list[str]:
        """The commands that it runs at this boot. Raises Refused."""
        machine, hardware = self._machine, self._machine.hardware
        fault = cloudinit.unmatched_interface(hardware.networkdata, hardware.mac_address)
        if fault is not None:
            raise Refused(f"cloud-init: {fault}")
        known = machine.disk.machine.get("instance-id")
        if known != hardware.instance_id:
            config = self._config()
            machine.disk.machine["instance-id"] = hardware.instance_id
            machine.say(
                f"cloud-init: {'new instance-id, running again' if known else 'first boot'}: {hardware.instance_id}"
            )
            return await self._set_up(config)
        if not any(one in machine.disk.files for one in (WRITES, *RUNS)):
            return []
        await self._before(cloudinit.boot_commands(hardware.userdata))
        files = machine.disk.files
        missing = [one for one in (WRITES, *RUNS) if one not in files]
        if not missing:
            return []
        machine.say("cloud-init: its semaphores were removed: running again")
        return await self._set_up(self._config(), writes=WRITES in missing, runs=all(one in missing for one in RUNS))

    def _config(self) -> CloudConfig:
        try:
            return cloudinit.parse(self._machine.hardware.userdata)
        except cloudinit.BadUserData as error:
            raise Refused(f"cloud-init: {error}") from error

    async def _before(self, commands: list[str]) -> None:
        """bootcmd."""

        async def nothing(_: list[str]) -> None:
            return

        async def sync(_: list[str]) -> Result:
            self._machine.disk.sync()
            return Result(True)

        def unseen(_: str) -> None:
            return

        for command in commands:
            files, console = self._machine.disk.files, self._machine.console.print
            shell = Interpreter(
                files=files, actions={"sync": sync}, says=unseen, console=console, ran=nothing, pause=1.0
            )
            await shell.run(command)

    async def _set_up(self, config: CloudConfig, *, writes: bool = True, runs: bool = True) -> list[str]:
        machine, disk = self._machine, self._machine.disk
        if config.boot_commands:
            # They are there even if the power goes: seen on real disks.
            disk.files |= dict.fromkeys((WRITES, *RUNS), "")
        disk.machine["hostname"] = config.hostname or machine.hardware.name
        disk.hold()
        if writes:
            disk.files.update(config.files)
        await machine.reached("cloud-init")
        if not runs:
            return []
        if "sync" in config.commands:
            disk.sync()
        disk.machine["units"] = " ".join(first_boot.enabled_units(config.commands))
        await machine.reached("runcmd")
        return list(config.commands)
