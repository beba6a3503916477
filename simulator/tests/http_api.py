"""A Kubernetes API over plain HTTP, for tests: paths in, JSON out, waits on watches."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Obj = dict[str, Any]


class Failed(Exception):
    """An answer of 400 or more."""

    def __init__(self, code: int, body: Obj) -> None:
        super().__init__(f"{code}: {body.get('message')}")
        self.code = code
        self.body = body
        self.message = str(body.get("message"))


class Api:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    @classmethod
    @asynccontextmanager
    async def connect(cls, kubeconfig: Path) -> AsyncIterator[Api]:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        headers = {"Authorization": f"Bearer {user['token']}"}
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            yield cls(session, cluster["server"])

    async def call(
        self, method: str, path: str, body: Any = None, *, accept: str = "*/*", content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Status and body (JSON if it is, else text), whatever the status."""
        # As a file: aiohttp warns of large bodies that are sent whole.
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        headers = {"Accept": accept, "Content-Type": content_type}
        async with self._session.request(method, self._url + path, data=data, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type and text else text

    async def _json(self, method: str, path: str, body: Any = None, **how: Any) -> Obj:
        code, answer = await self.call(method, path, body, **how)
        if code >= 400:
            raise Failed(code, answer if isinstance(answer, dict) else {"message": answer})
        result: Obj = answer
        return result

    async def get(self, path: str) -> Obj:
        return await self._json("GET", path)

    async def dated(self, path: str) -> datetime:
        """When the answer was given, as it says."""
        async with self._session.get(self._url + path) as response:
            return parsedate_to_datetime(response.headers["Date"])

    async def find(self, path: str) -> Obj | None:
        try:
            return await self.get(path)
        except Failed as failure:
            if failure.code != 404:
                raise
            return None

    async def items(self, path: str) -> list[Obj]:
        found: list[Obj] = (await self.get(path))["items"]
        return found

    async def create(self, path: str, obj: Obj) -> Obj:
        return await self._json("POST", path, obj)

    async def merge(self, path: str, patch: Obj) -> Obj:
        return await self._json("PATCH", path, patch, content_type="application/merge-patch+json")

    async def delete(self, path: str) -> None:
        await self._json("DELETE", path)

    async def events(
        self, path: str, opened: asyncio.Event | None = None, *, version: str = ""
    ) -> AsyncIterator[tuple[str, Obj]]:
        """A watch from `version` on, or from what is there; `opened` is set once it is answered."""
        async with self._session.get(
            self._url + path, params={"watch": "1", "resourceVersion": version}, timeout=None
        ) as response:
            if opened is not None:
                opened.set()
            buffer = b""
            async for chunk in response.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    async def until(self, path: str, check: Callable[[Obj | None], Any], *, timeout: float = 20.0) -> Any:
        """What `check` says of the object at `path` once that is true; None is passed when it is not there."""
        collection, _, name = path.rpartition("/")
        last: Obj | None = None

        async def look() -> Any:
            nonlocal last
            listed = await self.get(collection)
            last = next((one for one in listed["items"] if one["metadata"]["name"] == name), None)
            if found := check(last):
                return found
            async for type_, obj in self.events(collection, version=listed["metadata"]["resourceVersion"]):
                if obj["metadata"]["name"] == name and type_ in ("ADDED", "MODIFIED", "DELETED"):
                    last = None if type_ == "DELETED" else obj
                    if found := check(last):
                        return found
            raise AssertionError("the watch ended")

        try:
            return await asyncio.wait_for(look(), timeout)
        except TimeoutError:
            raise AssertionError(f"{path} not as wanted after {timeout}s, last: {json.dumps(last)[:1500]}") from None
