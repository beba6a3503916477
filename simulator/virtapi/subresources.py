"""`subresources.kubevirt.io`: PUT virtualmachines/NAME/start|stop|restart. 202 with an empty body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from simulator.api.aggregation import Aggregated, Reply
from simulator.api.errors import ApiError
from simulator.client import Client, Obj
from simulator.controllers.launcher import CREATED_BY
from simulator.controllers.resources import PODS, VMIS, VMS
from simulator.virtapi.power import Plan, Refusal, Underway, restart, start, stop

GROUP = "subresources.kubevirt.io"
VERSIONS = ("v1", "v1alpha3")
NOT_ACCEPTABLE = b"406: Not Acceptable"
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
        body = _body(request.body)
        grace = _grace(request.subresource, body)
        vm = await self._find(VMS, request)
        if vm is None:
            text = f'virtualmachine.kubevirt.io "{request.name}" not found'
            raise ApiError(404, "NotFound", text, _details(request.name))
        vmi = await self._find(VMIS, request)
        plan = self._plan(request, vm, vmi, grace)
        if not body.get("dryRun"):
            await self._carry_out(plan, vm, vmi)
        return Reply(202, None)

    def _plan(self, request: Aggregated, vm: Obj, vmi: Obj | None, grace: int | None) -> Plan:
        try:
            if request.subresource == "start":
                return start(vm, vmi)
            if request.subresource == "stop":
                return stop(vm, vmi, grace)
            return restart(vm, vmi, grace)
        except Refusal as refusal:
            text = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{request.name}": {refusal}'
            raise ApiError(409, "Conflict", text, _details(request.name)) from refusal
        except Underway as underway:
            raise ApiError(500, "InternalError", f"Internal error occurred: {underway}") from underway

    async def _carry_out(self, plan: Plan, vm: Obj, vmi: Obj | None) -> None:
        namespace, name = vm["metadata"]["namespace"], vm["metadata"]["name"]
        try:
            if plan.grace is not None and vmi is not None:
                patch = {
                    "metadata": {"uid": vmi["metadata"]["uid"]},
                    "spec": {"terminationGracePeriodSeconds": plan.grace},
                }
                await self._client.patch(VMIS, name, patch, namespace)
            if plan.strategy is not None:
                change: dict[str, Any] = {"runStrategy": str(plan.strategy)}
                if "running" in vm["spec"]:
                    change = {"running": plan.strategy == "Always"}
                await self._client.patch(VMS, name, {"spec": change}, namespace)
            if plan.requests:
                status = {"stateChangeRequests": list(plan.requests)}
                await self._client.patch(VMS, name, {"status": status}, namespace, subresource="status")
            if plan.remove_pod and vmi is not None:
                await self._remove_pod(vmi)
        except ApiError as error:
            if error.code == 404:
                raise
            # virt-api wraps whatever its own patch is answered, webhook denials too.
            raise ApiError(500, "InternalError", f"Internal error occurred: {error.message}") from error

    async def _remove_pod(self, vmi: Obj) -> None:
        labels = f"{CREATED_BY}={vmi['metadata']['uid']}"
        for pod in await self._client.list(PODS, vmi["metadata"]["namespace"], labels=labels):
            await self._client.delete(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])

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


def _body(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise ApiError(400, "BadRequest", f"Can not unmarshal Request body to struct, error: {error}") from error
    if not isinstance(body, dict):
        text = "Can not unmarshal Request body to struct, error: json: cannot unmarshal into Go value of type struct"
        raise ApiError(400, "BadRequest", text)
    return body


def _grace(subresource: str, body: dict[str, Any]) -> int | None:
    """The grace period asked for. Raises ApiError 400."""
    field = "gracePeriodSeconds" if subresource == "restart" else "gracePeriod"
    grace = body.get(field)
    if grace is None:
        return None
    if not isinstance(grace, int) or isinstance(grace, bool):
        text = f"json: cannot unmarshal {type(grace).__name__} into Go struct field .{field} of type int64"
        raise ApiError(400, "BadRequest", f"Can not unmarshal Request body to struct, error: {text}")
    if subresource == "restart" and grace != 0:
        raise ApiError(400, "BadRequest", "For force restart, only gracePeriod=0 is supported for now")
    return grace
