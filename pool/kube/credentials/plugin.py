"""Credentials from an exec plugin, run as kubectl runs it (client.authentication.k8s.io)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.x509 import load_pem_x509_certificate

from pool.kube.credentials.access import Issued, Pair, unusable

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
NEVER, IF_AVAILABLE, ALWAYS = "Never", "IfAvailable", "Always"
MODES = (NEVER, IF_AVAILABLE, ALWAYS)

PATIENCE = 30.0
"""Seconds for a plugin that asks nobody anything. kubectl waits for ever, with somebody there to press Ctrl-C."""


@dataclass(frozen=True)
class ExecPlugin:
    """What a kubeconfig says of one; equal ones are the same plugin."""

    source: str
    version: str
    command: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    mode: str = IF_AVAILABLE
    hint: str = ""
    cluster: str = field(default="", repr=False)
    """JSON of the cluster it gets credentials for, if it wants to know."""

    async def ask(self) -> Issued:
        """Run it. Its words for people go to the standard error of this process. Raises KubeconfigError."""
        interactive = self.mode != NEVER and sys.stdin is not None and sys.stdin.isatty()
        if self.mode == ALWAYS and not interactive:
            raise self._unusable("needs a terminal, and there is none")
        said = await self._output(interactive)
        try:
            return self._read(json.loads(said))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # The error's text may quote what the plugin said, and with it a token.
            raise self._unusable(f"says something else than an ExecCredential ({type(error).__name__})") from None

    async def _output(self, interactive: bool) -> bytes:
        program = shutil.which(self.command)
        if program is None:
            raise self._unusable(f"is not found; {self.hint}" if self.hint else "is not found")
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                program,
                *self.arguments,
                env={**os.environ, **dict(self.environment), "KUBERNETES_EXEC_INFO": self._information(interactive)},
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=not interactive,  # so that it ends with all that it started
            )
        )
        said = None
        try:
            async with asyncio.timeout(None if interactive else PATIENCE):
                # Cancelled half-way, the start would forget what the plugin has begun already.
                process = await asyncio.shield(starting)
                said, _ = await process.communicate()
        except TimeoutError:
            raise self._unusable(f"says nothing for {PATIENCE:g} s") from None
        except OSError as error:
            raise self._unusable(f"cannot be run: {error.strerror}") from error
        finally:
            if said is None and not (starting.done() and starting.exception()):
                await _end(await starting, alone=interactive)
        if process.returncode:
            raise self._unusable(f"fails with exit code {process.returncode}")
        return said

    def _information(self, interactive: bool) -> str:
        spec: dict[str, Any] = {"interactive": interactive}
        if self.cluster:
            spec["cluster"] = json.loads(self.cluster)
        return json.dumps({"apiVersion": self.version, "kind": "ExecCredential", "spec": spec})

    def _read(self, credential: dict[str, Any]) -> Issued:
        if (credential["kind"], credential["apiVersion"]) != ("ExecCredential", self.version):
            raise self._unusable(f"speaks {credential['apiVersion']}, the kubeconfig {self.version}")
        status = credential.get("status") or {}
        token, ends = status.get("token") or "", status.get("expirationTimestamp")
        certificate, key = status.get("clientCertificateData") or "", status.get("clientKeyData") or ""
        if not (token or certificate or key):
            raise self._unusable("gives neither token nor certificate")
        if bool(certificate) != bool(key):
            raise self._unusable("gives a certificate or a key, not both")
        if not token.isprintable():
            raise ValueError("no header can hold such a token")
        pair = Pair(certificate.encode(), key.encode()) if certificate else None
        if ends:
            return Issued(token, pair, _time(ends))
        return Issued(token, pair, load_pem_x509_certificate(pair.certificate).not_valid_after_utc if pair else None)

    def _unusable(self, why: str) -> Exception:
        return unusable(self.source, f"the exec plugin {self.command} {why}")


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without its zone")
    return found


async def _end(process: asyncio.subprocess.Process, *, alone: bool) -> None:
    """End it, and unless it is `alone` whatever it started: it may be gone, and its output still be held open."""
    with suppress(ProcessLookupError):
        process.kill() if alone else os.killpg(process.pid, signal.SIGKILL)
    await process.communicate()
