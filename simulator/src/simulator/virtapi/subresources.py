"""`subresources.kubevirt.io`: PUT virtualmachines/NAME/start|stop|restart. 202 with an empty body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from simulator.api.aggregation import Aggregated, Reply
from simulator.api.errors import ApiError
from simulator.client import Client, Obj
from simulator.client.resources import PODS, VMIS, VMS
from simulator.controllers.virt.launcher import CREATED_BY
from simulator.virtapi.options import Options, read
from simulator.virtapi.power import Plan, Refusal, Underway, check_stopped, restart, shorter_grace, start, stop

GROUP = "subresources.kubevirt.io"
VERSIONS = ("v1", "v1alpha3")
NOT_ACCEPTABLE = b"406: Not Acceptable\n\nAvailable representations: "
"""These routes produce no JSON, so a client that accepts nothing else gets this, as plain text."""


class Subresources:
    """Carries the requests out as virt-api does: by patching the VM, so that its webhooks have their say."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, request: Aggregated) -> Reply:
        """Raises ApiError."""
        if request.subresource not in ("start", "stop", "restart"):
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        if request.method != "PUT":
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        if not accepts(request.headers):
            return Reply(406, NOT_ACCEPTABLE, "text/plain")
        # Each handler of virt-api looks at the body and at the VM in an order of its own.
        options = None if request.subresource == "start" else read(request.subresource, request.body)
        vm = await self._find(VMS, request)
        if vm is None:
            text = f'virtualmachine.kubevirt.io "{request.name}" not found'
            raise ApiError(404, "NotFound", text, _details(request.name))
        vmi = await self._find(VMIS, request)
        if options is None:
            with _refusing(request.name):
                check_stopped(vmi)
            options = read(request.subresource, request.body)
        if request.subresource == "stop":
            await self._shorten(vmi, options)
        with _refusing(request.name):
            plan = _plan(request.subresource, vm, vmi, options.grace)
        await self._carry_out(plan, vm, vmi, dry_run=options.dry_run)
        return Reply(202, None)

    async def _shorten(self, vmi: Obj | None, options: Options) -> None:
        """Give the instance the grace that the stop asks for."""
        grace = shorter_grace(vmi, options.grace)
        if vmi is None or grace is None:
            return
        meta = vmi["metadata"]
        patch = {"metadata": {"uid": meta["uid"]}, "spec": {"terminationGracePeriodSeconds": grace}}
        with _wrapping():
            await self._client.patch(VMIS, meta["name"], patch, meta["namespace"], dry_run=options.dry_run)

    async def _carry_out(self, plan: Plan, vm: Obj, vmi: Obj | None, *, dry_run: bool) -> None:
        namespace, name = vm["metadata"]["namespace"], vm["metadata"]["name"]
        with _wrapping():
            if plan.strategy is not None:
                change: dict[str, Any] = {"runStrategy": str(plan.strategy)}
                if "running" in vm["spec"]:
                    change = {"running": plan.strategy == "Always"}
                await self._client.patch(VMS, name, {"spec": change}, namespace, dry_run=dry_run)
            if plan.requests:
                # Whoever asks wants no back-off.
                status = {"stateChangeRequests": list(plan.requests), "startFailure": None}
                patch = {"status": status}
                await self._client.patch(VMS, name, patch, namespace, subresource="status", dry_run=dry_run)
            if plan.remove_pod and vmi is not None:
                # KubeVirt does this in a dry run, too.
                await self._remove_pod(vmi)

    async def _remove_pod(self, vmi: Obj) -> None:
        """A second is the shortest grace that virt-api gives."""
        labels = f"{CREATED_BY}={vmi['metadata']['uid']}"
        for pod in await self._client.list(PODS, vmi["metadata"]["namespace"], labels=labels):
            await self._client.delete(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], grace=1)

    async def _find(self, gvr: Any, request: Aggregated) -> Obj | None:
        try:
            return await self._client.get(gvr, request.name, request.namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None


def accepts(headers: Mapping[str, str]) -> bool:
    """Whether the client takes an answer without a media type."""
    accept = next((value for key, value in headers.items() if key.lower() == "accept"), "")
    return not accept or "*/*" in accept


def _details(name: str) -> Obj:
    return {"name": name, "group": "kubevirt.io", "kind": "virtualmachine"}


def _plan(subresource: str, vm: Obj, vmi: Obj | None, grace: int | None) -> Plan:
    if subresource == "start":
        return start(vm, vmi)
    return stop(vm, vmi, grace) if subresource == "stop" else restart(vm, vmi, grace)


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """What the plan refuses, as an answer."""
    try:
        yield
    except Refusal as refusal:
        text = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{name}": {refusal}'
        raise ApiError(409, "Conflict", text, _details(name)) from refusal
    except Underway as underway:
        raise ApiError(500, "InternalError", f"Internal error occurred: {underway}") from underway


@contextmanager
def _wrapping() -> Iterator[None]:
    """virt-api wraps whatever its own patches are answered, webhook denials too."""
    try:
        yield
    except ApiError as error:
        raise ApiError(500, "InternalError", f"Internal error occurred: {error.message}") from error
