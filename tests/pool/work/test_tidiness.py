"""Whatever is started is awaited, or cancelled, by who started it: nothing of a piece of work runs on behind it."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path

import pytest

import pool
from tests.pool.bench import bench_at

OURS = str(Path(pool.__file__).parent)


async def test_asyncios_debug_mode_finds_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    # A machine with other work makes any callback slow; that is not what is looked for here.
    loop.slow_callback_duration = 60
    complaints: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    with caplog.at_level(logging.WARNING, "asyncio"):
        async with bench_at(tmp_path / "kubeconfig", 1000.0) as bench:
            await bench.bootstrap()
            await bench.take_golden()
            await bench.reset()
            await bench.state.assign("alice")
            await bench.state.release("alice")
            await asyncio.gather(bench.reset(), bench.reset(), return_exceptions=True)
        gc.collect()
        await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if _is_ours(task)] == []
    destroyed = [one for one in complaints if "destroyed" in str(one.get("message"))]
    assert [one for one in complaints if OURS in repr(one)] + destroyed == []
    assert [record.getMessage() for record in caplog.records if OURS in record.getMessage()] == []


def _is_ours(task: asyncio.Task[object]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and str(code.co_filename).startswith(OURS)
