"""Kubeconfigs in every form, and who one is by them: by the pool's client, by the real kubectl."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pool.core.errors import PoolError
from pool.kube.client import Kube
from simulator.api.errors import ApiError
from simulator.api.requests import Request, User
from simulator.app import Simulator
from simulator.identity import certificates

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

PLUGIN = """\
#!/bin/sh
echo "$KUBERNETES_EXEC_INFO" > "$0.asked"
[ -z "$BROKEN" ] || exit 3
printf '{"apiVersion": "%s", "kind": "ExecCredential", "status": {"token": "%s"}}' VERSION "${TOKEN:-$1}"
"""


def inline(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


@dataclass
class World:
    """A folder with what kubeconfigs name, a server that knows `alice` and `bob` by token, `joe` by certificate."""

    simulator: Simulator
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    """How many requests were answered with 401."""
    after_refusal: Callable[[int], None] = lambda _count: None
    """Is told each."""

    def __post_init__(self) -> None:
        for user in ("alice", "bob"):
            self.simulator.api.authenticator.tokens[f"{user}-token"] = User(user, ("system:authenticated",))
        self._count_refusals()
        self.authority, _ = certificates.shared()
        self.joe = certificates.client(self.authority, "joe", ("devs",))
        self.ca = inline(self.authority.certificate_pem)
        self.write("ca.crt", self.authority.certificate_pem)
        self.write("joe.crt", self.joe.certificate_pem)
        self.write("joe.key", self.joe.key_pem)
        self.write("bobs", b"bob-token\n")
        for name, version in (("plugin", V1), ("plugin-beta", V1BETA1)):
            self.write(name, PLUGIN.replace("VERSION", version).encode())
            (self.folder / name).chmod(0o755)
        (self.folder / "home").mkdir()
        (self.folder / "elsewhere").mkdir()

    def _count_refusals(self) -> None:
        authenticator = self.simulator.api.authenticator
        judge = authenticator.user

        def user(request: Request) -> User:
            try:
                return judge(request)
            except ApiError:
                self.refused += 1
                self.after_refusal(self.refused)
                raise

        authenticator.user = user

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig0"

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def server(self, **fields: object) -> dict[str, object]:
        """A cluster entry; without fields that say how it is known, by its CA."""
        known = {"certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify"} & set(fields)
        return {"server": self.simulator.url} | ({} if known else {"certificate-authority-data": self.ca}) | fields

    def config(self, user: Any = None, cluster: Any = None, **parts: Any) -> dict[str, Any]:
        """A kubeconfig with one context, `here`; `parts` take the place of what it would have."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster or self.server()}],
            "users": [{"name": "u", "user": user if user is not None else {"token": "alice-token"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "here",
        }
        return {key: value for key, value in (config | parts).items() if value != "absent"}

    def exec(self, **fields: object) -> dict[str, object]:
        return {
            "exec": {"apiVersion": V1, "command": "./plugin", "interactiveMode": "Never", "args": ["bob-token"]}
            | fields
        }

    def put(self, *files: object) -> None:
        """Write kubeconfigs (None: one that is not there); KUBECONFIG lists them unless it says something else."""
        paths = [self.folder / f"kubeconfig{number}" for number, _ in enumerate(files)]
        for path, content in zip(paths, files, strict=True):
            if content is not None:
                path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        listed = {"KUBECONFIG": ":".join(map(str, paths)), "HOME": str(self.folder / "home")}
        self.environment = listed | {key: value.format(folder=self.folder) for key, value in self.environment.items()}

    async def by_kubectl(self) -> str | None:
        """Who kubectl is, None if it gets no answer."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "auth", "whoami", "--output", "json"),
            env={"PATH": os.environ["PATH"], **self.environment},
            cwd=self.folder / "elsewhere",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return None if process.returncode else described(json.loads(out))

    async def by_us(self, monkeypatch: pytest.MonkeyPatch) -> str | PoolError:
        """Who we are, or what we say why not."""
        for name in ("KUBECONFIG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(self.folder / "elsewhere")
        try:
            async with Kube.connect() as kube:
                return await whoami(kube)
        except PoolError as error:
            return error


async def whoami(kube: Kube) -> str:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    return described(await kube.request("POST", WHOAMI, None, review))


def described(review: dict[str, Any]) -> str:
    info = review["status"]["userInfo"]
    groups = [group for group in info.get("groups", ()) if group != "system:authenticated"]
    return " ".join([info["username"], *sorted(groups), *([f"uid={info['uid']}"] if info.get("uid") else [])])


def id_token(world: World, name: str = "id-token") -> str:
    """An OpenID provider's for alice, good as long as anybody lives."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 2**33}).encode()).decode().rstrip("=")
    token = f"e30.{claims}.{name}"
    world.simulator.api.authenticator.tokens[token] = User("alice", ("system:authenticated",))
    return token
