"""Whether the gateway lives, and whether it is of use. Both are told to everybody, and tell no secret."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gateway.gateway import TheGateway
from gateway.problems import answers
from gateway.pulse import ask

router = APIRouter(tags=["health"])

OK: dict[str, Any] = {"content": {"application/json": {"example": {"status": "ok"}}}}


@router.get("/healthz", operation_id="getHealth", responses={200: OK})
async def healthz() -> dict[str, str]:
    """Whether the process answers: for a liveness probe."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="getReadiness", responses={200: OK, 503: answers()[503]})
async def readyz(gateway: TheGateway) -> dict[str, str]:
    """Whether the pool was seen and the host's API answers: for a readiness probe."""
    host = gateway.the_host()
    if not gateway.current:
        # Without a view each call reads what it needs, which works as soon as the API answers.
        await ask(host)
    return {"status": "ok"}
