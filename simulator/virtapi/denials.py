"""How webhooks say no: 422 for faults of the object, 400 for the rest. (KubeVirt: pkg/util/webhooks.)"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.api.errors import ApiError, Cause

MOST_CAUSES = 10


def denied(webhook: str, causes: Sequence[Cause]) -> ApiError:
    """The object is invalid: 422, messages joined, at most ten of them."""
    messages = [cause.message for cause in causes[:MOST_CAUSES]]
    if len(causes) > MOST_CAUSES:
        messages.append(f"and {len(causes) - MOST_CAUSES} more validation errors")
    details = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    text = f'admission webhook "{webhook}" denied the request: {", ".join(messages)}'
    return ApiError(422, "Invalid", text, {"causes": details})


def refused(webhook: str, message: str) -> ApiError:
    """The request cannot be judged: 400."""
    return ApiError(400, "BadRequest", f'admission webhook "{webhook}" denied the request: {message}')
