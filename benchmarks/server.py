"""A bare API server in a process of its own, so that it does not share its loop with what is measured."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from simulator.app import Simulator


async def serve(kubeconfig: Path) -> None:
    """Serve until ended from outside; a line on stdout says when it is ready."""
    async with Simulator(controllers=False, kubeconfig=kubeconfig):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
