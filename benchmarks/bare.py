"""The least that could answer the same: HTTPS on plain asyncio, bodies kept by path, nothing judged."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from simulator.identity import Identity, kubeconfig

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_STREAM = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Bare:
    """GET answers what was PUT at a path; a GET with `watch=1` is told of every PUT."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._watchers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until its client ends it."""
        try:
            while True:
                method, path, body = await _request(reader)
                if method == "PUT":
                    self._bodies[path] = body
                    self._tell(body)
                elif "watch=1" in path:
                    writer.write(_STREAM)
                    self._watchers.append(writer)
                    continue
                else:
                    body = self._bodies[path]
                writer.write(_HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _tell(self, body: bytes) -> None:
        line = b'{"type":"MODIFIED","object":' + body + b"}\n"
        chunk = f"{len(line):x}\r\n".encode() + line + b"\r\n"
        self._watchers = [writer for writer in self._watchers if not writer.is_closing()]
        for writer in self._watchers:
            writer.write(chunk)


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *headers = head.split("\r\n")
    method, path, _ = first.split(" ")
    lengths = [line.partition(":")[2] for line in headers if line.lower().startswith("content-length:")]
    return method, path, await reader.readexactly(int(lengths[0])) if lengths else b""


async def serve(path: Path) -> None:
    """Serve until ended from outside; a line on stdout says when it is ready."""
    identity = Identity.fresh()
    server = await asyncio.start_server(Bare().serve, "127.0.0.1", ssl=identity.context, backlog=1024)
    host, port = server.sockets[0].getsockname()
    ca = identity.ca.certificate_pem
    kubeconfig.write(path, server=f"https://{host}:{port}", ca=ca, token=identity.token)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
