"""CDI's import populator: a pod fetches an image, or makes a blank one, and is started again when it fails."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from simulator.api.errors import ApiError
from simulator.client import Obj
from simulator.client.meta import annotation, deleting, with_annotations
from simulator.client.resources import PODS, PVCS, SECRETS, STORAGE_CLASSES
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.storage.claims import (
    IMPORT_ENDPOINT,
    IMPORT_SECRET,
    IMPORT_SOURCE,
    bound,
    class_of,
    slowness,
    waits,
)
from simulator.controllers.storage.populating import (
    DONE,
    POD_PHASE,
    POD_RESTARTS,
    POD_RUNNING,
    PROGRESS,
    RUNNING,
    running,
)
from simulator.faults.troubles import TroubleKind, victim

FAILED = "Unable to connect to {source} data source: dial tcp: lookup {host}: no such host"
"""As the importer ends when it does not find the server."""
NOWHERE = ".invalid"
"""No server has a name that ends so. (RFC 2606)"""
NO_SECRET = "CreateContainerConfigError"
"""Reason of a pod whose environment names a Secret that is not there; it starts once there is one."""
MISMATCH = "checksum mismatch"
"""An import that ends so is not tried again. (CDI v1.65, pkg/controller/import-controller.go)"""
LOOKS = 4
"""How often the progress of an import is looked at."""


class ImportPopulator(Controller):
    """No pod is made for it: what CDI tells of its pod is all that is seen here."""

    name = "import-populator"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._began: dict[tuple[str, str], float] = {}

    def watch(self) -> None:
        self.follow(PVCS)
        self.follow_troubles(PVCS)
        for gvr in (PODS, STORAGE_CLASSES):
            self.context.cache(gvr)

    async def reconcile(self, key: Key) -> float | None:
        claim = self.context.cache(PVCS).get(*key)
        if claim is None or deleting(claim) or annotation(claim, IMPORT_SOURCE) is None:
            return None
        if bound(claim):
            self._began = {step: began for step, began in self._began.items() if step[0] != claim["metadata"]["uid"]}
            ended = running(False, "Import Complete", "Completed")
            await self._note(claim, {POD_PHASE: "Succeeded", PROGRESS: DONE, **ended})
            return None
        storage_class = class_of(claim, self.context.cache(STORAGE_CLASSES))
        if waits(claim, storage_class):
            return None
        if annotation(claim, POD_PHASE) == "Failed":
            return None
        if annotation(claim, POD_PHASE) == "Pending":
            return await self._start(claim)
        if annotation(claim, RUNNING) == "false":
            return await self._start_again(claim)
        return await self._fetch(claim, slowness(storage_class))

    async def _start(self, claim: Obj) -> float | None:
        wait = self.delays.pod_start - self._since(claim, "Pending")
        if wait > 0:
            return wait
        missing = await self._missing_secret(claim)
        if missing:
            await self._note(claim, running(False, f'secret "{missing}" not found', NO_SECRET))
            return self.delays.retry
        await self._note(claim, {POD_PHASE: "Running", **running(True, "", POD_RUNNING)})
        return None

    async def _fetch(self, claim: Obj, slowness: float) -> float | None:
        text = self._fault(claim)
        if text:
            self._began.pop((claim["metadata"]["uid"], "Running"), None)
            final = MISMATCH in text
            failed = {POD_PHASE: "Failed"} if final else {}
            await self._note(claim, failed | running(False, text, "ChecksumError" if final else "Error"))
            return None
        if annotation(claim, IMPORT_ENDPOINT) is None:
            return None
        total = self.delays.image_import * slowness
        share = min(self._since(claim, "Running") / total, 0.999)
        await self._note(claim, {PROGRESS: f"{100 * share:.1f}%"})
        return total / LOOKS

    async def _missing_secret(self, claim: Obj) -> str:
        name = annotation(claim, IMPORT_SECRET)
        if name is None:
            return ""
        try:
            await self.context.client.get(SECRETS, name, claim["metadata"]["namespace"])
        except ApiError as error:
            if error.code != 404:
                raise
            return name
        return ""

    def _fault(self, claim: Obj) -> str:
        """Why the image cannot be fetched, or empty."""
        source, url = annotation(claim, IMPORT_SOURCE) or "", annotation(claim, IMPORT_ENDPOINT) or ""
        host = urlsplit(url).hostname or source
        trouble = self.context.troubles.of(TroubleKind.FAIL_IMPORT, victim(claim))
        if trouble is not None:
            return trouble.message or FAILED.format(source=source, host=host)
        return FAILED.format(source=source, host=host) if host.endswith(NOWHERE) else ""

    async def _start_again(self, claim: Obj) -> float | None:
        """A container that failed is started again after a while. (Kubernetes: CrashLoopBackOff.)"""
        restarts = int(annotation(claim, POD_RESTARTS) or "0")
        wait = self.delays.retry - self._since(claim, f"restart {restarts}")
        if wait > 0:
            return wait
        notes = {POD_RESTARTS: str(restarts + 1), **running(True, "", POD_RUNNING)}
        await self._note(claim, notes)
        return None

    def _since(self, claim: Obj, step: str) -> float:
        """Seconds that the claim is known to be at that step."""
        clock = asyncio.get_running_loop().time()
        return clock - self._began.setdefault((claim["metadata"]["uid"], step), clock)

    async def _note(self, claim: Obj, notes: dict[str, str]) -> None:
        changed = with_annotations(claim, notes)
        if changed["metadata"]["annotations"] != claim["metadata"].get("annotations"):
            await self.context.update(PVCS, changed)
