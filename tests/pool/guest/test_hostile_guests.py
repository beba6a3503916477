"""A learner is root on the node, and has its CA's key: he answers the pool's health check himself.

| he                                                   | and the pool                                                |
|------------------------------------------------------|-------------------------------------------------------------|
| packs 256 MiB into 256 kB                            | unpacks nothing                                             |
| sends it elsewhere                                   | asks nobody else                                            |
| says five megabytes of escapes and markup            | shows 200 plain characters                                  |
| sends no JSON, or JSON that is no Node               | repeats nothing of it                                       |
| drips, falls silent, never ends, has 10,000 headers  | waits for PATIENCE, reads MOST_BYTES                        |
| shows the certificate of another cluster, or name    | sends nothing                                               |
| wants a handshake of seconds, as TLS 1.2 lets him    | shakes no such hand                                         |
| cuts an answer so small that each byte costs         | lets all others have their turn between two sips            |

Each is a sick guest: no outage of the host, no other error.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpcore
import pytest

from pool.core.errors import GuestUnhealthy
from pool.guest import client
from pool.guest.client import SIP, Sipped, connect_guest
from pool.guest.health import Boot, Look, check_healthy
from pool.guest.identity import make_identity
from pool.guest.words import cleaned
from pool.kube.client import Kube
from pool.kubevirt.cluster import Cluster
from simulator.app import Simulator
from tests.pool.bench import now
from tests.pool.guest.hostile import Answer, Hostile, endless, hostile_at, of_no_version, ready_and, saying, silent

MiB = 1 << 20
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
NODE: dict[str, Any] = {
    "spec": {"renewTime": "2199-01-01T00:00:00.000000Z"},
    "status": {"nodeInfo": {"bootID": "b"}, "conditions": [{"type": "Ready", "status": "True"}]},
}
"""Node and Lease in one."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ESCAPES = "\x1b]0;owned\x07\x1b[2J](http://evil.example/x.png)<script>`[bold]www.evil.example\u202e " + "A" * 5 * MiB


def other_than(**status: Any) -> Answer:
    return ready_and(saying(json.dumps(NODE | {"status": NODE["status"] | status}).encode()))


ANSWERS: dict[str, tuple[Answer, str]] = {
    "a bomb": (ready_and(saying(gzip.compress(bytes(256 * MiB), 1), "200 OK", "Content-Encoding: gzip")), "packed as"),
    "a bomb by another name": (saying(b"x", "200 OK", "Content-Encoding: \x41\x42"), 'packed as "AB"'),
    "text": (saying(ESCAPES.encode()), "more than|no whole answer"),
    "text in an error": (saying(ESCAPES.encode()[:MiB], "500 \x1b[2J"), "0;owned"),
    "text in a Status": (saying(json.dumps({"message": ESCAPES[:9000]}).encode(), "403 Forbidden"), "0;owned"),
    "a Status of numbers": (saying(b'{"message": [1e999, {"a": NaN}]}', "403 Forbidden"), "inf"),
    "no Status": (saying(b"[" * 100_000, "403 Forbidden"), 'status 403, ""'),
    "no body": (ready_and(saying(b"")), "no JSON"),
    "a list": (ready_and(saying(b"[]")), "no JSON object"),
    "deep": (ready_and(saying(DEEP)), "no JSON"),
    "a number that is none": (ready_and(saying(b'{"a": NaN}')), "no JSON"),
    "a number without end": (ready_and(saying(b'{"a": ' + b"9" * MiB + b"}")), "more than|no whole answer"),
    "a long number": (ready_and(saying(b'{"a": ' + b"9" * 10_000 + b"}")), "no JSON"),
    "a name twice": (ready_and(saying(b'{"status": {}, "status": {}}')), "no JSON"),
    "no text": (ready_and(saying(b'{"a": "\xff\xfe"}')), "no JSON"),
    "nothing in it": (ready_and(saying(b"{}")), "missing at spec"),
    "conditions that are none": (other_than(conditions=7), "list_type at status.conditions"),
    "a condition that is none": (other_than(conditions=[{"type": ["Ready"], "status": {}}]), "string_type"),
    "a boot ID of his own": (other_than(nodeInfo={"bootID": ESCAPES[:40]}), "string_pattern_mismatch"),
    "half a character": (other_than(nodeInfo={"bootID": "\ud800"}), "status.nodeInfo.bootID"),
    "a day that is none": (ready_and(saying(b'{"spec": {"renewTime": "never"}}')), "spec.renewTime"),
    "a day without a place": (ready_and(saying(b'{"spec": {"renewTime": "2199-01-01T00:00:00"}}')), "spec.renewTime"),
    "silence": (silent, "no whole answer"),
    "half an answer": (saying(b"", "200 OK", "X: y\r\nContent-Length: 9"), "does not answer"),
    "half a body": (endless(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"", 9.0), "no whole answer"),
    "a drip": (endless(CHUNKED, b"1\r\nA\r\n", 0.01), "no whole answer"),
    "a flood": (endless(CHUNKED, b"8000\r\n" + b"A" * 0x8000 + b"\r\n"), "more than|no whole answer"),
    "a head that drips": (endless(b"HTTP/1.1 200 OK\r\n", b"A", 0.01), "no whole answer"),
    "a head without end": (endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000), "does not answer"),
    "ten thousand headers": (saying(b"{}", "404 Not Found", *["A: b"] * 10_000), 'status 404, ""'),
    "go on, go on": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001), "no whole answer"),
    "another protocol": (endless(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", b"A"), ""),
    "no HTTP": (endless(b"SSH-2.0-OpenSSH\r\n\r\n", b"\x00" * 64), "does not answer"),
}


@pytest.fixture
async def hostile(api_server: Simulator, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Hostile]:
    assert api_server.kubeconfig_path is not None
    async with (
        Kube.connect(api_server.kubeconfig_path) as kube,
        hostile_at(kube, cluster, tmp_path) as made,
    ):
        yield made


async def looked_at(hostile: Hostile) -> str:
    """What one look says of the guest, which is sick in one plain short line."""
    boots = {machine.name: Boot(now()) for machine in hostile.cluster.machines}
    async with connect_guest(hostile.kube, hostile.cluster) as guest:
        with pytest.raises(GuestUnhealthy) as raised:
            await Look(guest, boots)()
    said = str(raised.value)
    assert said.isprintable()
    assert len(said) < 600
    assert not any(part in said for part in ("[bold]", "](", "<script>", "//evil", "www.evil"))
    return said


async def test_whatever_a_learner_answers_his_guest_is_sick_and_no_more(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, patience = {}, client.PATIENCE
    for case, (answer, named) in ANSWERS.items():
        monkeypatch.setattr(client, "PATIENCE", 0.2 if "no whole answer" in named else patience)
        async with hostile.serving(answer):
            said = await looked_at(hostile)
        if not re.search(named, said):
            wrong[case] = said
    assert wrong == {}


async def test_a_redirect_is_not_followed(hostile: Hostile) -> None:
    asked = []

    async def inner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(inner, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for status in ("301 Moved", "302 Found", "307 Again", "308 For Good"):
        async with hostile.serving(saying(b"", status, f"Location: http://127.0.0.1:{port}/admin")):
            assert f"status {status[:3]}" in await looked_at(hostile)
    server.close()
    await server.wait_closed()
    assert asked == []


@pytest.mark.parametrize("imposter", [{"name": "cp.cluster2.svc"}, {"identity": make_identity(now())}])
async def test_only_the_clusters_own_name_and_authority_are_believed(
    hostile: Hostile, imposter: dict[str, Any]
) -> None:
    heard = []

    async def listening(path: str, _writer: asyncio.StreamWriter) -> None:
        heard.append(path)

    async with hostile.serving(listening, **imposter):
        assert "not who it should be" in await looked_at(hostile)
    assert heard == []


async def test_no_guest_chooses_the_numbers_of_a_handshake(hostile: Hostile) -> None:
    heard = []

    async def listening(path: str, _writer: asyncio.StreamWriter) -> None:
        heard.append(path)

    async with hostile.serving(listening, newest=ssl.TLSVersion.TLSv1_2):
        assert "does not answer" in await looked_at(hostile)
    assert heard == []


async def test_a_certificate_of_a_version_that_is_none_is_a_sick_guests(hostile: Hostile) -> None:
    async with (
        hostile.serving(saying(b"ok"), forged=of_no_version),
        connect_guest(hostile.kube, hostile.cluster) as guest,
    ):
        await guest.ask("/readyz")
        with pytest.raises(GuestUnhealthy, match="InvalidVersion"):
            guest.certificate_ends()


async def test_others_have_their_turn_between_two_sips_of_an_answer() -> None:
    class Flood(httpcore.AsyncMockStream):
        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            return b"A" * max_bytes

    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    stream = await Sipped(Flood([])).start_tls(ssl.create_default_context())
    assert {len(await stream.read(1 << 16)) for _ in range(10)} == {SIP}
    assert turns >= 9
    task.cancel()


async def test_a_guest_that_answers_so_for_ever_is_sick_in_the_time_of_a_check(hostile: Hostile) -> None:
    async with hostile.serving(saying(ESCAPES.encode()[:9000], "500 \x1b[2J")):
        with pytest.raises(GuestUnhealthy, match="0;owned") as raised:
            await check_healthy(hostile.kube, hostile.cluster, now(), timeout=0)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600


async def test_a_guest_gets_one_connection(hostile: Hostile) -> None:
    async with hostile.serving(saying(json.dumps(NODE).encode())):
        nodes = await check_healthy(hostile.kube, hostile.cluster, now(), timeout=9.0)
    assert [node.boot_id for node in nodes] == ["b", "b"]
    assert hostile.connections == 1


def test_a_guests_words_are_plain_and_short() -> None:
    assert cleaned('nodes "x" is forbidden: User "cks-pool" cannot get') == (
        "nodes x is forbidden: User cks-pool cannot get"
    )
    assert cleaned("\x1b[31mred\x1b[0m\n# **big** | [a](http://b.c) <b> www.d.e") == ("31mred 0m big a http: b.c b d.e")
    assert len(cleaned("word " * 1000)) <= 200
    of_a_pull = f"crictl: pulling image: {'failed to resolve reference, ' * 10}lookup registry.k8s.io: no such host"
    assert cleaned(of_a_pull).startswith("crictl: pulling image")
    assert cleaned(of_a_pull).endswith("no such host")
