"""Whether the gateway lives, and whether it is of use. Both are told to everybody, and tell no secret."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gateway.gateway import TheGateway
from gateway.problems import answers
from pool.core.errors import ApiUnavailable

router = APIRouter(tags=["health"])

OK: dict[str, Any] = {"content": {"application/json": {"example": {"status": "ok"}}}}


@router.get("/healthz", operation_id="getHealth", responses={200: OK})
async def healthz() -> dict[str, str]:
    """Whether the process answers: for a liveness probe."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="getReadiness", responses={200: OK, 503: answers()[503]})
async def readyz(gateway: TheGateway) -> dict[str, str]:
    """Whether the pool is followed: for a readiness probe."""
    if not gateway.ready:
        why = gateway.away if gateway.host is None else "the watches of the pool are interrupted"
        raise ApiUnavailable(0, "NotFollowing", why, cure="ask again in a few seconds")
    return {"status": "ok"}
