"""What every controller runs on: informers, a queue of keys, workers, retries."""

from __future__ import annotations

import asyncio
import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from simulator.api.errors import ApiError
from simulator.client import GVR, Client, Obj
from simulator.controllers.runtime.events import EventRecorder
from simulator.controllers.runtime.informers import Informer, Informers
from simulator.controllers.runtime.workqueue import Key, WorkQueue
from simulator.faults.troubles import Troubles
from simulator.timing.clock import Clock
from simulator.timing.delays import Delays

log = logging.getLogger("simulator.controllers")


class Context:
    """What controllers share: the API (as `client`), the caches of it, the delays (scaled), the event recorder, what
    goes wrong in the world on request, and the calendar."""

    def __init__(
        self, client: Client, delays: Delays, troubles: Troubles | None = None, clock: Clock | None = None
    ) -> None:
        self.client = client
        self.delays = delays
        self.troubles = troubles or Troubles()
        self.clock = clock or Clock()
        self.informers = Informers(client)
        self.events = EventRecorder(client)

    def cache(self, gvr: GVR) -> Informer:
        return self.informers.of(gvr)

    async def create(self, gvr: GVR, obj: Obj) -> Obj:
        """Create and remember. Raises ApiError."""
        created = await self.client.create(gvr, obj, obj["metadata"].get("namespace"))
        self.cache(gvr).saw(created)
        return created

    async def update(self, gvr: GVR, obj: Obj, *, subresource: str = "") -> Obj:
        """Replace at the object's resourceVersion and remember. Raises ApiError (409 when overtaken)."""
        updated = await self.client.update(gvr, obj, subresource=subresource)
        if not (updated["metadata"].get("deletionTimestamp") and not updated["metadata"].get("finalizers")):
            self.cache(gvr).saw(updated)
        return updated

    async def delete(self, gvr: GVR, obj: Obj) -> None:
        """Delete this very object (its uid); already gone is fine. Raises ApiError."""
        meta = obj["metadata"]
        try:
            await self.client.delete(gvr, meta["name"], meta.get("namespace"), uid=meta["uid"])
        except ApiError as error:
            if error.code != 404:
                raise

    async def set_status(self, gvr: GVR, obj: Obj, status: Obj) -> Obj:
        """Write `status` through the status subresource when it differs; the object as it then is."""
        if obj.get("status", {}) == status:
            return obj
        changed = copy.copy(obj)
        changed["status"] = status
        return await self.update(gvr, changed, subresource="status")


class Controller(ABC):
    """One controller: keys come from `watch`ed resources, `reconcile` brings one object a step nearer."""

    name: str
    workers = 4

    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.delays = context.delays
        self.queue = WorkQueue()

    @abstractmethod
    def watch(self) -> None:
        """Subscribe to informers, adding keys to the queue."""

    @abstractmethod
    async def reconcile(self, key: Key) -> float | None:
        """One pass for one object. Seconds until it wants another pass without an event, or None."""

    async def stop(self) -> None:
        """Give back what the controller holds outside the API; most hold nothing."""
        return

    def follow(self, gvr: GVR) -> None:
        """Queue every object of `gvr` under its own key."""
        self.context.cache(gvr).subscribe(lambda obj: self.queue.add(key_of(obj)))

    def follow_troubles(self, gvr: GVR) -> None:
        """Queue every object of `gvr` when a trouble comes or goes."""

        def rouse() -> None:
            for obj in self.context.cache(gvr):
                self.queue.add(key_of(obj))

        self.context.troubles.listen(rouse)

    async def work(self) -> None:
        """One worker, until cancelled."""
        while True:
            key = await self.queue.get()
            try:
                await self._pass(key)
            finally:
                self.queue.done(key)

    async def _pass(self, key: Key) -> None:
        try:
            again = await self.reconcile(key)
        except ApiError as error:
            delay = self.queue.retry(key)
            level = logging.DEBUG if error.code in (404, 409) else logging.WARNING
            log.log(level, "%s %s/%s: %s; again in %.2fs", self.name, *key, error, delay)
        except Exception:
            delay = self.queue.retry(key)
            log.exception("%s %s/%s failed; again in %.2fs", self.name, *key, delay)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)


class Manager:
    """Runs controllers until stopped. `start` returns once all caches are filled and all workers run; it raises
    ApiError when the API does not let it."""

    def __init__(self, context: Context, controllers: Sequence[Controller]) -> None:
        self._context = context
        self._controllers = controllers
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for controller in self._controllers:
            controller.watch()
        informers = list(self._context.informers)
        self._tasks = [asyncio.create_task(_forever(informer)) for informer in informers]
        self._tasks.append(asyncio.create_task(self._context.events.run()))
        await self._synced(informers)
        for controller in self._controllers:
            self._tasks += [asyncio.create_task(controller.work()) for _ in range(controller.workers)]

    async def _synced(self, informers: list[Informer]) -> None:
        """Wait until all caches are filled. Raises what made one of them break for good."""
        filled: asyncio.Future[Any] = asyncio.gather(*(informer.synced.wait() for informer in informers))
        waiting: list[asyncio.Future[Any]] = [filled, *self._tasks]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            filled.cancel()
            await asyncio.gather(filled, return_exceptions=True)
        for future in done:
            future.result()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for controller in self._controllers:
            controller.queue.close()
            await controller.stop()


def key_of(obj: Obj) -> Key:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


async def _forever(informer: Informer) -> None:
    """Keep an informer going through outages of the API. Raises ApiError when it may not even begin."""
    pause = 0.05
    while True:
        try:
            await informer.run()
        except (ApiError, OSError) as error:
            if isinstance(error, ApiError) and error.code in (401, 403) and not informer.synced.is_set():
                raise
            log.warning("watching %s broke off: %s; again in %.2fs", informer.gvr.plural, error, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
