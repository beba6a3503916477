"""How webhooks say no: 422 for faults of the object, 400 for the rest. (KubeVirt: pkg/util/webhooks; CDI:
pkg/apiserver/webhooks.)"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError, Cause
from simulator.client import Obj

MOST_CAUSES = 10
IMMUTABLE = "spec in immutable after creation"
"""The typo is KubeVirt's."""


def denied(webhook: str, causes: Sequence[Cause]) -> ApiError:
    """The object is invalid: 422, messages joined; ten causes at most are told, the others counted."""
    told = causes[:MOST_CAUSES]
    messages = [cause.message for cause in told]
    if len(causes) > MOST_CAUSES:
        messages.append(f"and {len(causes) - MOST_CAUSES} more validation errors")
    text = f'admission webhook "{webhook}" denied the request: {", ".join(messages)}'
    return ApiError(422, "Invalid", text, _details(told))


def denied_by_cdi(webhook: str, causes: Sequence[Cause]) -> ApiError:
    """As `denied`, in CDI's words: no reason, and a space before each message."""
    text = "".join(f" {cause.message}" for cause in causes)
    return ApiError(422, "", f'admission webhook "{webhook}" denied the request: {text}', _details(causes))


def refused(webhook: str, message: str) -> ApiError:
    """The request cannot be judged: 400."""
    return ApiError(400, "BadRequest", f'admission webhook "{webhook}" denied the request: {message}')


def _details(causes: Sequence[Cause]) -> dict[str, object]:
    told = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    return {"causes": [{key: value for key, value in one.items() if value} for one in told]}


def changed_spec(request: AdmissionRequest, obj: Obj) -> list[Cause]:
    """The fault of an update that changes what is final."""
    if request.old_object is not None and request.old_object["spec"] != obj["spec"]:
        return [Cause("spec", IMMUTABLE)]
    return []


def reference_faults(reference: Obj, field: str) -> list[Cause]:
    """What is wrong with a reference that must be to a VirtualMachine."""
    group = reference.get("apiGroup")
    if group is None:
        return [Cause(f"{field}.apiGroup", "missing apiGroup", "FieldValueNotFound")]
    if group != "kubevirt.io":
        return [Cause(f"{field}.apiGroup", "invalid apiGroup")]
    if reference.get("kind") != "VirtualMachine":
        return [Cause(f"{field}.kind", "invalid kind")]
    return []
