"""Each request has an ID, from whoever sent it or made here, and a line in the log when it was answered."""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import logs
from gateway.problems import unforeseen

logger = logging.getLogger(__name__)

SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Requests:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        scope["request_id"] = request_id = given if SANE.fullmatch(given) else uuid4().hex
        logs.begin(request_id)
        began, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            logger.exception("nobody foresaw this: %s", type(error).__name__)
            if status:
                # What has begun cannot be answered otherwise: the server cuts it off.
                raise
            await unforeseen(error, scope)(scope, receive, answer)
        finally:
            _log(scope, status, time.monotonic() - began)


def _log(scope: Scope, status: int, seconds: float) -> None:
    if scope["path"] in ("/healthz", "/readyz") and status < 400:
        return
    problem = scope.get("problem")
    # The error names no token, whoever raised it.
    why = f": {problem}" if problem is not None else ""
    # What the pool says no to is a platform's daily life; who is refused at the door, and what is away, is not.
    level = logging.WARNING if status in (0, 401, 403, 413, 429) or status >= 500 else logging.INFO
    # As it was sent: what is decoded could begin a line of its own.
    path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")
    logger.log(level, "%s %s %s in %.0f ms%s", scope["method"], path, status or "cut off", 1000 * seconds, why)
