"""The simulated cluster: the API server, what is in it from the start, and the controllers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from simulator.api.clock_admin import PATH as CLOCK
from simulator.api.clock_admin import ClockAdmin
from simulator.api.database import Database
from simulator.api.errors import ApiError
from simulator.api.fault_admin import PATH, FaultAdmin
from simulator.api.faults import Fault, Faults
from simulator.api.listening import Listener
from simulator.api.requests import ADMIN, User
from simulator.api.server import ApiServer
from simulator.api.upkeep.expiry import EVENT_TTL
from simulator.client import GVR, Obj, accounts
from simulator.client.local import LocalClient
from simulator.client.resources import VM_RESTORES
from simulator.faults.switches import Switches
from simulator.faults.troubles import Trouble, Troubles
from simulator.identity import Identity, kubeconfig
from simulator.manifests import definitions, objects
from simulator.timing.clock import Clock, calendar
from simulator.timing.delays import Delays

HOST = "127.0.0.1"
DATABASE, DISKS = "simulator.db", "disks.db"
OFFSET = "clock-offset"
"""In the database: how far ahead the calendar is, in seconds."""


class Simulator:
    """An API server on loopback, with controllers and guests unless `controllers` is False, in the running loop.

    `port` 0 takes a free one; `speed` divides all delays (`delays`, the standard table unless given);
    `kubeconfig` is written when the server answers; `faults` hit requests over HTTP (more by `faults.add`) or the world
    that the controllers play (more by `troubles.add`), with `fault_admin` also by POST to /simulator/faults; `seed`
    makes what chance decides about them repeatable. Raises ValueError for a fault of the world without controllers.
    With `data_dir` the objects, the disks, the calendar, the admin's token and the authority are kept there, and there
    again after a kill; instances that ran have Failed then, as on a node that rebooted.
    What ends by date (certificates in guests, Events) goes by `clock`, which can be moved ahead at any time, with
    `clock_admin` also by POST to /simulator/clock.
    An async context manager. `url`, `kubeconfig_path`, `api` and `client` (as the admin) are there within.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        speed: float = 100.0,
        kubeconfig: Path | None = None,
        controllers: bool = True,
        seed: int | None = None,
        delays: Delays | None = None,
        faults: Iterable[Fault | Trouble] = (),
        fault_admin: bool = False,
        data_dir: Path | None = None,
        clock: Clock | None = None,
        clock_admin: bool = False,
        event_ttl: timedelta = EVENT_TTL,
    ) -> None:
        self.kubeconfig_path = kubeconfig
        self.url = ""
        self.disks_path = data_dir / DISKS if data_dir is not None else None
        self._database = Database(data_dir / DATABASE) if data_dir is not None else None
        self._identity = Identity.kept(self._database) if self._database is not None else Identity.fresh()
        self.token = self._identity.token
        self.clock = clock or Clock(self._kept_offset())
        self.api = ApiServer(
            self._database.load() if self._database is not None else None,
            tokens={self.token: User(ADMIN.name, ADMIN.groups)},
            token_key=self._identity.token_key,
            root_ca=self._identity.ca.certificate_pem.decode(),
            clock=self.clock,
            event_ttl=event_ttl,
        )
        self._listener = Listener(self.api, self._identity.context)
        self.faults = Faults(self.api.store, seed, self._listener.refuse_for)
        self.troubles = Troubles(seed=seed)
        switches = Switches(self.faults, self.troubles, played=controllers)
        switches.add_all(faults)
        self.api.middlewares.append(self.faults)
        if fault_admin:
            self.api.pages[PATH] = FaultAdmin(switches)
        if clock_admin:
            self.api.pages[CLOCK] = ClockAdmin(self.clock)
        self.client = LocalClient(self.api)
        self.delays = (delays or Delays()).scaled(speed)
        self.seed = seed
        self._port = port
        self._controllers = controllers
        self._stack = AsyncExitStack()

    def _kept_offset(self) -> timedelta:
        kept = self._database.item(OFFSET) if self._database is not None else None
        return timedelta(seconds=float(kept or b"0"))

    def _keep_offset(self) -> None:
        if self._database is not None:
            self._database.keep(OFFSET, str(self.clock.offset.total_seconds()).encode())

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        if self._database is not None:
            self._stack.callback(self._database.close)
            self._keep_offset()
            self._stack.callback(self.clock.listen(self._keep_offset))
        await self._stack.enter_async_context(self.api)
        for definition in definitions():
            await self._ensure(definition)
        # Definitions are served from the loop's next step on.
        await asyncio.sleep(0)
        for obj in objects():
            await self._ensure(obj)
        with calendar(self.clock):
            port = await self._listener.open(HOST, self._port)
        self._stack.push_async_callback(self._listener.close)
        self.url = f"https://{HOST}:{port}"
        if self._controllers:
            await self._stack.enter_async_context(_controllers(self))
        if self.kubeconfig_path is not None:
            ca = self._identity.ca.certificate_pem
            kubeconfig.write(self.kubeconfig_path, server=self.url, ca=ca, token=self.token)

    async def refuse(self) -> None:
        """Break all connections to the API server and refuse new ones, until `accept`."""
        await self._listener.refuse()

    async def accept(self) -> None:
        """Listen at the same port again."""
        await self._listener.accept()

    async def _ensure(self, obj: Obj) -> None:
        try:
            await self.client.create(self._resource(obj), obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    def _resource(self, obj: Obj) -> GVR:
        kind = self.api.registry.of_object(obj["apiVersion"], obj["kind"])
        if kind is None:
            raise RuntimeError(f"no such kind: {obj['apiVersion']} {obj['kind']}")
        return GVR(kind.group, kind.storage, kind.plural)


@asynccontextmanager
async def _controllers(simulator: Simulator) -> AsyncIterator[None]:
    """KubeVirt's webhooks and subresources at the API, all controllers beside it, for as long as the context lasts.
    Raises sqlite3.Error, OSError for a file of disks that cannot be used."""
    # What plays the world takes a while to import, and an API alone does without.
    from simulator.controllers.parts import Controllers
    from simulator.guests.disk_database import DiskDatabase
    from simulator.virtapi.install import install

    client = LocalClient(simulator.api, user=User(accounts.CONTROLLER, accounts.GROUPS))
    database = DiskDatabase(simulator.disks_path) if simulator.disks_path is not None else None
    try:
        kept = database.load() if database is not None else None
        world = Controllers(client, simulator.delays, troubles=simulator.troubles, clock=simulator.clock, disks=kept)
        simulator.api.printed = world.consoles.printed
        install(simulator.api, client, world.context.cache(VM_RESTORES))
        with calendar(simulator.clock):
            await world.start()
        try:
            yield
        finally:
            await world.stop()
    finally:
        if database is not None:
            database.close()
