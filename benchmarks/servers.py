"""Helpers in processes of their own, and the way to the servers among them."""

from __future__ import annotations

import asyncio
import base64
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import yaml


@dataclass(frozen=True)
class Access:
    """What a kubeconfig says of its server."""

    server: str
    token: str
    context: ssl.SSLContext

    @classmethod
    def read(cls, kubeconfig: Path) -> Self:
        """Raises OSError."""
        content = yaml.safe_load(kubeconfig.read_text())
        host, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        authority = base64.b64decode(host["certificate-authority-data"]).decode()
        return cls(host["server"], user["token"], ssl.create_default_context(cadata=authority))

    def client(self) -> httpx.AsyncClient:
        """A bare client, with the token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(
            base_url=self.server, verify=self.context, headers=headers, trust_env=False, timeout=60.0
        )


@asynccontextmanager
async def running(module: str, *arguments: str) -> AsyncIterator[Process]:
    """`python -m module arguments` from the line on which it says to be ready until the end of the context."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, stdout=PIPE)
    assert process.stdout is not None
    try:
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{module} did not start")
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
