"""How an API server is reached and what is shown to it: what every source of credentials comes down to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pool.core.errors import KubeconfigError
from pool.kube.credentials.proxies import proxy_of_environment

Stamp = tuple[int, int, int] | None
"""A file's inode, size and time of change, None if it is not there: another stamp is another content."""

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the token and the CA of its service account."""


def unusable(source: str, why: str) -> KubeconfigError:
    """The error for a kubeconfig (or other source of credentials) that cannot be used, and why."""
    return KubeconfigError(
        f"kubeconfig {source}",
        expected="a readable kubeconfig of a cluster that answers",
        actual=" ".join(why.split()),
        cure="name another file with CKS_POOL_KUBECONFIG or KUBECONFIG",
    )


@dataclass(frozen=True)
class Server:
    """Where a server is and how it is known: without `ca` by the system's authorities, without `name` by the URL's."""

    url: str
    ca: bytes = b""
    verify: bool = True
    name: str = ""
    proxy: str = ""


@dataclass(frozen=True)
class Pair:
    """A client certificate and its key, PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Issued:
    """Credentials that were asked for: a token, a client certificate, or both, until `ends` (None: until refused)."""

    token: str = field(default="", repr=False)
    pair: Pair | None = None
    ends: datetime | None = None


class Issuer(Protocol):
    """What credentials are asked for again when they end. Two that are equal issue the same."""

    async def ask(self) -> Issued:
        """Raises KubeconfigError."""
        ...


@dataclass(frozen=True)
class Access:
    """A server and the credentials for it, as the `files` they come from had them; `again` reads them once more."""

    source: str
    server: Server
    again: Callable[[], Access] | None = field(default=None, compare=False, repr=False)
    authorization: str = field(default="", repr=False)
    pair: Pair | None = None
    issuer: Issuer | None = field(default=None, repr=False)
    issued: Issued | None = None
    """What the issuer gave before."""
    impersonation: tuple[tuple[str, str], ...] = ()
    """Headers that say for whom the credentials speak."""
    files: Mapping[Path, Stamp] = field(default_factory=dict, compare=False)


class Files:
    """Reads files and notes how they were, so that it can be seen whether they have changed."""

    def __init__(self) -> None:
        self.seen: dict[Path, Stamp] = {}

    def read(self, path: Path) -> bytes:
        """Raises OSError."""
        self.seen[path] = stamp(path)  # first: what is written meanwhile is a change
        return path.read_bytes()


def stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def in_a_pod() -> bool:
    """Whether this process runs in a pod that has a service account."""
    named = os.environ.get("KUBERNETES_SERVICE_HOST") and os.environ.get("KUBERNETES_SERVICE_PORT")
    return bool(named) and (ACCOUNT / "token").is_file()


def of_the_pod() -> Access:
    """The API server of the cluster that this process runs in, as its pod's service account. Raises KubeconfigError."""
    files = Files()
    try:
        ca = files.read(ACCOUNT / "ca.crt")
        token = files.read(ACCOUNT / "token").decode().strip()
    except (OSError, ValueError) as error:
        raise unusable("of the pod's service account", str(error)) from error
    if not token:
        raise unusable("of the pod's service account", "the token file is empty")
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    server = Server(url, ca, proxy=proxy_of_environment(url))
    return Access("of the pod's service account", server, of_the_pod, f"Bearer {token}", files=files.seen)
