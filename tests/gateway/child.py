"""A gateway in a process of its own, which answers calls until it is killed at one of its writes."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.app import build
from gateway.settings import GatewaySettings
from pool.core.settings import Settings
from pool.state.events import Listener
from pool.work.opening import opened
from pool.work.steps import Host


@dataclass(frozen=True)
class Call:
    """What a platform sends."""

    method: str
    path: str
    body: Any = None
    key: str = ""


@dataclass(frozen=True)
class Job:
    """Which host, which pool's namespace, which calls one after the other."""

    kubeconfig: Path
    namespace: str
    calls: tuple[Call, ...]


def main(pipe: Any) -> None:
    """Wait for the job, do it. An error ends the process with its traceback and status 1."""
    asyncio.run(answers(pipe.recv()))


async def answers(job: Job) -> list[int]:
    """The statuses of the calls' answers, all of which have to be good."""

    def open_host(_: Listener) -> AbstractAsyncContextManager[Host]:
        return opened(Settings(kubeconfig=job.kubeconfig, namespace=job.namespace), patience=3.0)

    app = build(GatewaySettings(), open_host=open_host)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as http,
    ):
        await app.state.gateway.following.wait()
        told = []
        for call in job.calls:
            headers = {"Idempotency-Key": call.key} if call.key else {}
            answer = await http.request(call.method, call.path, json=call.body, headers=headers)
            assert answer.status_code < 400, answer.text
            told.append(answer.status_code)
        return told
