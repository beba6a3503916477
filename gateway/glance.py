"""What the page asks for beside the rest of the API: who its caller is, and a pool's stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from gateway.access.roles import Caller, Role, requires
from gateway.feed import Feeds
from gateway.gateway import TheGateway, TheHost
from gateway.problems import answers
from gateway.streaming import STREAM, streamed
from pool.core import inputs

router = APIRouter(prefix="/api/v1", tags=["pools"])

Anybody = Annotated[Caller, requires(Role.VIEWER, Role.SESSION)]
Looker = Annotated[Caller, requires(Role.VIEWER)]
PoolInPath = Annotated[str, Path(alias="pool", description="Name of the Pool.", examples=["default"])]


class Me(BaseModel):
    """Who a token is, and what it may do."""

    name: str = Field(description="Of the token's entry, or of the ServiceAccount.", examples=["ada"])
    role: Role
    pool: str | None = Field(description="The only Pool whose sessions it may use; null: all.", examples=[None])


@router.get("/me", operation_id="getMe", responses=answers())
async def me(caller: Anybody) -> Me:
    """Who you are. It asks nobody, so it is answered while the host is away."""
    return Me(name=caller.name, role=caller.role, pool=caller.pool)


@router.get(
    "/pools/{pool}/events",
    operation_id="followPool",
    response_class=StreamingResponse,
    responses={200: STREAM, **answers(404)},
)
async def follow_pool(
    name: PoolInPath, caller: Looker, request: Request, gateway: TheGateway, host: TheHost
) -> StreamingResponse:
    """Follow a Pool: clusters, queue and last events.

    The first event, `clock`, tells the host API's time. `pool` is the whole Pool, at once and then when something
    changed, at most once a second. `reconnect` is the last one, of a gateway that stops or after ten minutes.
    """
    pool = inputs.pool_name(name)
    if pool not in host.state.view.pools:
        # The view may lag. Raises UnknownPool.
        await host.state.pool(pool)
    feeds: Feeds = request.app.state.feeds
    return streamed(feeds.follow(pool), gateway, caller)
