"""How webhooks say no: 422 for faults of the object, 400 for the rest. (KubeVirt: pkg/util/webhooks; CDI:
pkg/apiserver/webhooks.)"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.api.errors import ApiError, Cause

MOST_CAUSES = 10


def denied(webhook: str, causes: Sequence[Cause]) -> ApiError:
    """The object is invalid: 422, messages joined, at most ten of them."""
    messages = [cause.message for cause in causes[:MOST_CAUSES]]
    if len(causes) > MOST_CAUSES:
        messages.append(f"and {len(causes) - MOST_CAUSES} more validation errors")
    text = f'admission webhook "{webhook}" denied the request: {", ".join(messages)}'
    return ApiError(422, "Invalid", text, _details(causes))


def denied_by_cdi(webhook: str, causes: Sequence[Cause]) -> ApiError:
    """As `denied`, in CDI's words: no reason, and a space before each message."""
    text = "".join(f" {cause.message}" for cause in causes)
    return ApiError(422, "", f'admission webhook "{webhook}" denied the request: {text}', _details(causes))


def refused(webhook: str, message: str) -> ApiError:
    """The request cannot be judged: 400."""
    return ApiError(400, "BadRequest", f'admission webhook "{webhook}" denied the request: {message}')


def _details(causes: Sequence[Cause]) -> dict[str, object]:
    told = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    return {"causes": told}
