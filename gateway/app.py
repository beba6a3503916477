"""The app: middleware, problems and routes around one gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from gateway import admin, glance, health, pages, pools, problems, sessions
from gateway.access.checking import Access, Authenticator
from gateway.feed import Feeds
from gateway.gateway import Gateway, OpenHost, host_of_environment
from gateway.limits import BodyLimit, Rate, TimeLimit
from gateway.metrics import scraping
from gateway.problems import Problem
from gateway.requests import Requests
from gateway.settings import GatewaySettings

DESCRIPTION = """Ready, disposable Kubernetes clusters for hands-on labs: sessions get, keep and give back clusters.

Errors are problem details (RFC 9457). Lists have `limit` and `continue`. Times are RFC 3339, UTC."""

TAGS = [
    {"name": "sessions", "description": "A learner's claim on a cluster, from being asked for to its end."},
    {"name": "pools", "description": "What there is."},
    {"name": "admin", "description": "Long work, as flow runs of Prefect."},
    {"name": "health", "description": "For probes."},
]


def build(settings: GatewaySettings, *, open_host: OpenHost = host_of_environment) -> FastAPI:
    """The app, which opens the host when it is started. Raises InvalidInput for tokens that cannot be read."""
    gateway = Gateway(settings, open_host)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with gateway.running():
            yield

    app = FastAPI(
        title="cks-pool",
        version=version("cks-pool"),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        # Their pages fetch scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # A redirect would have a token sent to wherever `Host` said.
        redirect_slashes=False,
    )
    app.state.gateway = gateway
    app.state.feeds = Feeds(gateway)
    _add_middleware(app, gateway)
    problems.install(app)
    routers = (sessions.router, pools.router, glance.router, admin.router, health.router, scraping.router, pages.router)
    for router in routers:
        app.include_router(router)
    _describe(app)
    return app


def _add_middleware(app: FastAPI, gateway: Gateway) -> None:
    """The last one added is the first to see a request. Raises InvalidInput for tokens that cannot be read."""
    settings = gateway.settings
    rate = Rate(settings.rate)
    authenticator = Authenticator(gateway, rate)
    app.add_middleware(BodyLimit, limit=settings.body_limit)
    app.add_middleware(Access, authenticator=authenticator, rate=rate, is_open=settings.open)
    app.add_middleware(TimeLimit, seconds=settings.request_timeout)
    app.add_middleware(Requests)


def _describe(app: FastAPI) -> None:
    """Have the model that all problems are told by among those of the API's description."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        made = plain()
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema(
            ref_template="#/components/schemas/{model}", mode="serialization"
        )
        return made

    app.openapi = described  # type: ignore[method-assign]
