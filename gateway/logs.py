"""One line a request: who asked for what, what came of it, and what it was about. Never a token."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pool.core.fields import rfc3339

logger = logging.getLogger(__name__)

_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)


def begin(request_id: str) -> dict[str, Any]:
    """What is known of the request that this task answers, to be added to."""
    about: dict[str, Any] = {"requestId": request_id}
    _about.set(about)
    return about


def note(**facts: object) -> None:
    """Note for the log what the request is about: `session`, `cluster`, `pool`, `caller`."""
    about = _about.get()
    if about is not None:
        about.update({name: fact for name, fact in facts.items() if fact is not None})


class _About(logging.Filter):
    """Puts what the request is about on every line that is written while it is answered."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "about"):
            record.about = dict(_about.get() or {})
        return True


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        facts = " ".join(f"{name}={_word(value)}" for name, value in getattr(record, "about", {}).items())
        return f"{line} {facts}" if facts else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, default=str)


def _word(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c.isspace() or c == '"' for c in text) else text


def configure(form: str) -> None:
    """Write this process's log to stderr, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(message)s"))
    handler.addFilter(_About())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Each request has its line already.
    for name in ("httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
