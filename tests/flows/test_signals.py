"""A signal ends what runs beside the main thread, whatever it is doing just then."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from flows import signals
from flows.signals import Stopped, run_beside_signals


async def _deaf_once() -> None:
    """Loses the first cancellation, as a library may in which it arrives."""
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


def test_work_that_loses_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "AGAIN", 0.05)
    with pytest.raises(Stopped, match="SIGTERM"):
        run_beside_signals(_deaf_once)
