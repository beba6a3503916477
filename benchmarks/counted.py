"""A simulated host that counts who calls it: `python -m benchmarks.counted FOLDER SPEED`.

FOLDER gets a kubeconfig for each of CALLERS, of the same rights and with a token of its own. `GET /calls` tells the
calls of each so far, by verb; a watch counts as one however long it is open.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections import Counter
from pathlib import Path

import yaml

from simulator.api.requests import ADMIN, Request, Response, Target, answer
from simulator.api.server import Next
from simulator.app import Simulator

CALLERS = ("worker", "gateway", "admin")
PATH = "/calls"


class Calls:
    """Counts by caller and verb, among what the server asks about each call."""

    def __init__(self) -> None:
        self.callers: dict[str, str] = {}
        """By token."""
        self._counts: Counter[str] = Counter()

    async def __call__(self, request: Request, target: Target, call: Next) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self._counts[f"{self.callers.get(token, 'others')} {target.verb}"] += 1
        return await call()

    def page(self, _: Request) -> Response:
        """All counts, as JSON."""
        return answer(self._counts)


async def serve(folder: Path, speed: float) -> None:
    """Serve until ended from outside; a line on stdout says when it is ready."""
    calls, given = Calls(), folder / "given"
    async with Simulator(speed=speed, kubeconfig=given) as simulator:
        simulator.api.middlewares.insert(0, calls)
        simulator.api.pages[PATH] = calls.page
        config = yaml.safe_load(given.read_text())
        for caller in CALLERS:
            token = secrets.token_urlsafe(32)
            calls.callers[token], simulator.api.authenticator.tokens[token] = caller, ADMIN
            config["users"][0]["user"] = {"token": token}
            (folder / caller).write_text(yaml.safe_dump(config))
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
