"""The real kubectl, as an operator has it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

needed = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


class Kubectl:
    """kubectl with one kubeconfig, in one namespace, or in those that are named where it is empty."""

    def __init__(self, kubeconfig: Path, namespace: str, home: Path) -> None:
        self._options = ["--kubeconfig", str(kubeconfig), *(["--namespace", namespace] if namespace else [])]
        self._env = {**os.environ, "HOME": str(home), "NO_PROXY": "*"}

    async def __call__(self, *arguments: str, given: str = "", fails: bool = False, seconds: float = 30) -> str:
        """What it prints. `given` is its standard input; `fails`: it is to be refused, and what it says is returned."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "kubectl", *self._options, *arguments, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe
        )
        out, err = await asyncio.wait_for(process.communicate(given.encode()), seconds)
        assert (process.returncode != 0) is fails, f"kubectl {' '.join(arguments)}:\n{out.decode()}{err.decode()}"
        return (err if fails else out).decode()

    async def table(self, *arguments: str) -> list[dict[str, str]]:
        """The rows of `kubectl get`, by the columns' titles; a column's cells begin where its title does."""
        head, *lines = (await self("get", *arguments)).splitlines()
        titles = list(re.finditer(r"\S+(?: \S+)*", head))
        starts = [title.start() for title in titles]
        spans = list(zip(starts, [*starts[1:], None], strict=True))
        return [{title[0]: line[a:b].strip() for title, (a, b) in zip(titles, spans, strict=True)} for line in lines]
