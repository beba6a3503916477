"""What runs in the child: one flow, as one flow run, by the name of its deployment or of a part of one."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4


@dataclass(frozen=True)
class Job:
    """Which flow, with which parameters, under which environment (the pool's settings), as which flow run."""

    flow: str
    parameters: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: str(uuid4()))


def main(pipe: Any) -> None:
    """Wait for the job, do it. An error ends the process with its traceback and status 1."""
    # Only here: it changes the flows for the whole process. The fork server has it imported already.
    from tests.pool.crash import plain

    job: Job = pipe.recv()
    os.environ.update(job.environment)
    asyncio.run(plain.run(job.flow, job.parameters, job.run_id))
