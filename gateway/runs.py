"""Flow runs, started through Prefect's API: what takes minutes is done there, and its page shows how far it is.

A call has one try and a few seconds. Sessions do not need Prefect, so whoever asks for a run while it is away is told
at once, and asks again: under the same idempotency key there is one run, however often.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Self
from uuid import uuid4

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import SettingsContext, get_settings_context
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_UI_URL,
)
from pydantic import Field

from gateway.problems import Refusal
from pool.core.errors import InvalidInput, PoolError
from pool.core.fields import Model
from pool.core.run_names import run_name

PATIENCE = 3.0
"""Seconds for all calls that start a run: a server that takes longer has other troubles than this one."""
LIMITS = httpx.Limits(max_connections=16, keepalive_expiry=2)
"""The server closes what is idle for 5 s; a call into that end would fail."""
SEEN = ("epoch",)
"""Parameters that say how it was when somebody asked: asked again it may be otherwise, and is the same wish still."""
BUSY = (
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.BAD_GATEWAY,
    httpx.codes.SERVICE_UNAVAILABLE,
)
"""Answers of a server that has no time."""


class PrefectUnavailable(Refusal):
    """Prefect's API does not answer, or not as it would if it were set up. No run was started, as far as is known."""

    status = 503


class StartedRun(Model):
    """A flow run, and where to look at it."""

    flow_run_id: Annotated[str, Field(examples=["5f1458d7-ae92-4d66-a73e-c9c9ad791d40"])]
    """Its ID."""
    name: Annotated[str, Field(examples=["optimal-slug"])]
    """Its name in Prefect's UI."""
    state_url: Annotated[
        str, Field(examples=["http://prefect:4200/api/flow_runs/5f1458d7-ae92-4d66-a73e-c9c9ad791d40"])
    ]
    """Where Prefect's API tells it, with its state."""
    ui_url: Annotated[str, Field(examples=["http://prefect:4200/runs/flow-run/5f1458d7-ae92-4d66-a73e-c9c9ad791d40"])]
    """Its page in Prefect's UI."""


@dataclass(frozen=True)
class Key:
    """An idempotency key, of who gave it: the same words of somebody else, or about something else, are another."""

    text: str
    caller: str
    about: str = ""
    """What else it is bound to: the Pool and the UID of a session, whose next life is not this one."""

    @classmethod
    def of(cls, text: str | None, caller: str, *about: str) -> Self | None:
        """The key, if one was given."""
        return None if text is None else cls(text, caller, "/".join(about))

    def name(self, deployment: str) -> str:
        """The key as Prefect has it, of a length that its database takes whoever asks."""
        parts = json.dumps([deployment, self.caller, self.about, self.text])
        return f"gateway:{deployment}:{hashlib.sha256(parts.encode()).hexdigest()}"


class Runs:
    """Prefect's API, as PREFECT_API_URL, PREFECT_API_AUTH_STRING and PREFECT_API_KEY (or the profile) name it."""

    def __init__(self, ui_url: str | None = None, patience: float | None = None) -> None:
        """`ui_url`: where people see Prefect's UI, as Prefect's settings say if None; `patience`: seconds."""
        api_url = PREFECT_API_URL.value() or ""
        self.api_url = _told(api_url)
        self.ui_url = _told(ui_url or PREFECT_UI_URL.value() or api_url.removesuffix("/api"))
        self._patience = PATIENCE if patience is None else patience
        context = get_settings_context()
        self._profile = context.profile
        self._settings = context.settings.copy_with_update(updates={PREFECT_CLIENT_MAX_RETRIES: 0})
        self._client = _client(api_url) if api_url else None

    @classmethod
    @asynccontextmanager
    async def opened(cls, ui_url: str | None = None, *, patience: float | None = None) -> AsyncIterator[Self]:
        """While entered, connections are kept. Nothing is called yet: Prefect may be away."""
        runs = cls(ui_url, patience)
        if runs._client is None:
            yield runs
            return
        async with runs._client:
            yield runs

    async def start(self, deployment: str, parameters: Mapping[str, Any], key: Key | None = None) -> StartedRun:
        """Start a run of `deployment` (flow and deployment share the name), or return that of the same `key`.

        `parameters` are plain JSON; `key` is the caller's idempotency key. Raises PrefectUnavailable, within
        `patience`; InvalidInput if the key's run has other parameters, or Prefect refuses these.
        """
        async with self._calling(deployment) as client:
            found = await client.read_deployment_by_name(f"{deployment}/{deployment}")
            name = key.name(deployment) if key is not None else f"gateway:{deployment}:{uuid4()}"
            run = await client.create_flow_run_from_deployment(
                found.id,
                parameters=dict(parameters),
                name=run_name(deployment, parameters),
                idempotency_key=name,
            )
        _check_same(run, found, parameters)
        return self._started(run)

    async def earlier(self, deployment: str, parameters: Mapping[str, Any], key: Key) -> StartedRun | None:
        """The run that the same call with this key has started; None if there was none.

        Raises PrefectUnavailable; InvalidInput if the key's run has other parameters.
        """
        async with self._calling(deployment) as client:
            found = await client.read_deployment_by_name(f"{deployment}/{deployment}")
            same = FlowRunFilterIdempotencyKey(any_=[key.name(deployment)])
            runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=same), limit=1)
        for run in runs:
            _check_same(run, found, parameters)
            return self._started(run)
        return None

    async def tell(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Put events into Prefect's feed, each ID once. Raises TimeoutError after `patience`, httpx.HTTPError."""
        async with self._connected() as client:
            await client.request("POST", "/events", json=list(events))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[PrefectClient]:
        """While entered, for at most `patience`, a client with Prefect's settings as they were."""
        if self._client is None:
            raise _away("no address of it", cure="set PREFECT_API_URL")
        # The context is per task, and which task calls here is unknown until it does.
        with SettingsContext(profile=self._profile, settings=self._settings):
            async with asyncio.timeout(self._patience):
                yield self._client

    @asynccontextmanager
    async def _calling(self, deployment: str) -> AsyncIterator[PrefectClient]:
        """While entered, call Prefect's API. Raises PrefectUnavailable, InvalidInput for what it refuses."""
        try:
            async with self._connected() as client:
                yield client
        except ObjectNotFound as missing:
            cure = "set PREFECT_API_URL to the right server, or run prefect deploy --all there"
            raise _away(f"none at {self.api_url}", expected=f"a deployment {deployment}", cure=cure) from missing
        except httpx.HTTPStatusError as refused:
            raise _refused(deployment, refused.response) from refused
        except TimeoutError as late:
            raise _away(f"none within {self._patience:g} s") from late
        except (httpx.HTTPError, ValueError) as away:
            # ValueError: something answers, but not Prefect.
            raise _away(str(away) or type(away).__name__) from away

    def _started(self, run: FlowRun) -> StartedRun:
        return StartedRun(
            flow_run_id=str(run.id),
            name=run.name,
            state_url=f"{self.api_url}/flow_runs/{run.id}",
            ui_url=f"{self.ui_url}/runs/flow-run/{run.id}",
        )


def _told(url: str) -> str:
    """The address as others are told it, without credentials."""
    return str(httpx.URL(url).copy_with(userinfo=b"")).rstrip("/")


def _client(api_url: str) -> PrefectClient:
    tls = ssl.create_default_context(cafile=PREFECT_API_SSL_CERT_FILE.value() or None)
    if PREFECT_API_TLS_INSECURE_SKIP_VERIFY.value():
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    # With a transport of its own it does not try a refused connection three times more, for 1.5 s.
    transport = httpx.AsyncHTTPTransport(verify=tls, limits=LIMITS, retries=0)
    return PrefectClient(
        api_url,
        auth_string=PREFECT_API_AUTH_STRING.value(),
        api_key=PREFECT_API_KEY.value(),
        httpx_settings={"transport": transport, "verify": tls, "event_hooks": {"response": [_raise_busy]}},
    )


async def _raise_busy(answer: httpx.Response) -> None:
    """Raise what Prefect's client waits after, even where it does not try again."""
    if answer.status_code in BUSY:
        await answer.aread()
        answer.raise_for_status()


def _away(
    actual: str, *, expected: str = "an answer of Prefect's API", cure: str = "sessions go on without it; ask again"
) -> PrefectUnavailable:
    return PrefectUnavailable("the flow run was not started", expected=expected, actual=actual, cure=cure)


def _refused(deployment: str, answer: httpx.Response) -> PoolError:
    code, text = answer.status_code, " ".join(answer.text.split())[:300]
    if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return _away(f"{code}", cure="set PREFECT_API_AUTH_STRING or PREFECT_API_KEY to what the server wants")
    if code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
        cure = "the deployment is of another version; run prefect deploy --all"
        return InvalidInput(f"parameters of {deployment}", expected="what its flow takes", actual=text, cure=cure)
    return _away(f"{code} {text}")


def _wish(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in SEEN}


def _check_same(run: FlowRun, deployment: DeploymentResponse, parameters: Mapping[str, Any]) -> None:
    """Raises InvalidInput if the run is an earlier one, of another wish."""
    if _wish(run.parameters) != _wish(deployment.parameters | dict(parameters)):
        raise InvalidInput(
            "Idempotency-Key",
            expected="the parameters of its first call",
            actual="others",
            cure="another call needs another key",
        )


__all__ = ["Key", "PrefectUnavailable", "Runs", "StartedRun"]
