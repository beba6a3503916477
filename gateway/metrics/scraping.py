"""What Prometheus scrapes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response
from prometheus_client.exposition import choose_encoder

from gateway.access.roles import Role, requires
from gateway.gateway import TheGateway
from gateway.problems import answers

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    operation_id="getMetrics",
    dependencies=[requires(Role.VIEWER)],
    response_class=Response,
    responses={**answers(), 200: {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(gateway: TheGateway, accept: Annotated[str, Header()] = "") -> Response:
    """Every metric, as Prometheus reads them (docs/monitoring.md). While the host is away: `cks_pool_up 0`."""
    encode, content_type = choose_encoder(accept)
    return Response(encode(gateway.metrics.registry), headers={"Content-Type": content_type})
