"""Credentials and CAs that end or are replaced while the pool runs: nobody notices, whatever is under way.

| what changes | how it is noticed |
|---|---|
| an exec plugin's token or certificate ends | by its end, on the server's clock |
| a token is refused before its end | by the first 401, which is asked again |
| a file: token, certificate, CA, kubeconfig | before the next request |
| the pod's token and CA | the same |
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from pool.core.errors import ApiUnavailable, KubeconfigError
from pool.kube import client
from pool.kube.client import Kube
from pool.kube.credentials import access, current
from pool.kube.resources import CONFIG_MAPS
from pool.kube.watching import Scope, Watching
from simulator.api.listening import Listener
from simulator.api.requests import ADMIN, User
from simulator.app import Simulator
from simulator.identity import certificates
from tests.pool.kube.kubeconfigs import V1, World, id_token, whoami
from tests.pool.wire import Wire

SCRIPT = """\
#!/bin/sh
cd "$(dirname "$0")"
echo run >> runs
exec cat given
"""


class Plugin:
    """An exec plugin that gives what a test wants, and counts."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.write("runs", b"")
        world.write("counting", SCRIPT.encode())
        (world.folder / "counting").chmod(0o755)
        world.put(world.config(world.exec(command="./counting")))

    def give(self, user: str, *, hours: float | None = None) -> None:
        """A new token for the user, with an end or without; earlier ones stay good."""
        token = f"{user}-token-{os.urandom(4).hex()}"
        self._world.simulator.api.authenticator.tokens[token] = User(user, ADMIN.groups)
        self.give_status({"token": token}, hours=hours)

    def give_status(self, status: dict[str, str], *, hours: float | None = None) -> None:
        if hours is not None:
            ends = self._world.simulator.clock.now() + timedelta(hours=hours)
            status["expirationTimestamp"] = ends.isoformat().replace("+00:00", "Z")
        given = {"apiVersion": V1, "kind": "ExecCredential", "status": status}
        self._world.write("given", json.dumps(given).encode())

    def fails(self) -> None:
        (self._world.folder / "given").unlink()

    @property
    def runs(self) -> int:
        return len((self._world.folder / "runs").read_text().splitlines())


@pytest.fixture
def world(api_server: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    folder = tmp_path / "world"
    folder.mkdir()
    caplog.set_level(logging.DEBUG)
    yield World(api_server, folder)
    assert "-token" not in caplog.text, "no token is ever in the log"


@pytest.fixture
def plugin(world: World) -> Plugin:
    return Plugin(world)


async def gone(group: int) -> None:
    """Nobody of the process group is left; what is killed is gone when the kernel comes to it."""
    for _ in range(1000):
        left = [one for one in psutil.process_iter() if alive_in(group, one)]
        if not left:
            break
        await asyncio.sleep(0.01)
    assert not left


def alive_in(group: int, process: psutil.Process) -> bool:
    """Whether it belongs to a process group; what has ended and was not reaped yet does not count."""
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def revoke(world: World) -> None:
    """No token is good any more but the simulator's own."""
    tokens = world.simulator.api.authenticator.tokens
    for token in list(tokens):
        if token != world.simulator.token:
            del tokens[token]


class TestPlugins:
    async def test_one_is_asked_once_for_as_long_as_its_token_is_good(self, world: World, plugin: Plugin) -> None:
        plugin.give("alice", hours=1)
        async with Kube.connect(world.kubeconfig) as kube:
            plugin.give("bob", hours=1)
            assert {await whoami(kube) for _ in range(5)} == {"alice system:masters"}
        assert plugin.runs == 1

    async def test_it_is_asked_again_when_the_token_ends_by_the_servers_clock(
        self, world: World, plugin: Plugin
    ) -> None:
        plugin.give("alice", hours=1)
        async with Kube.connect(world.kubeconfig) as kube:
            world.simulator.clock.advance(hours=2)
            await whoami(kube)  # tells the time
            plugin.give("bob", hours=1)
            assert await whoami(kube) == "bob system:masters"
        assert plugin.runs == 2
        assert world.refused == 0

    async def test_it_is_asked_again_by_the_first_401_and_the_call_succeeds(self, world: World, plugin: Plugin) -> None:
        plugin.give("alice", hours=1)
        async with Kube.connect(world.kubeconfig) as kube:
            revoke(world)
            plugin.give("bob", hours=1)
            assert await whoami(kube) == "bob system:masters"
        assert plugin.runs == 2

    async def test_a_hundred_calls_that_are_refused_ask_it_once(self, world: World, plugin: Plugin) -> None:
        plugin.give("alice")
        async with Kube.connect(world.kubeconfig) as kube:
            revoke(world)
            plugin.give("bob")
            assert set(await asyncio.gather(*(whoami(kube) for _ in range(100)))) == {"bob system:masters"}
        assert plugin.runs == 2

    async def test_one_that_fails_for_a_moment_is_waited_for(
        self, world: World, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(current, "PAUSE", 0.01)
        plugin.give("alice")
        async with Kube.connect(world.kubeconfig) as kube:
            revoke(world)
            plugin.fails()
            calls = asyncio.gather(*(whoami(kube) for _ in range(10)))
            await asyncio.wait([calls], timeout=0.1)
            assert not calls.done()
            plugin.give("bob")
            assert set(await calls) == {"bob system:masters"}

    async def test_one_that_fails_for_good_is_an_outage_and_is_not_asked_by_each_call(
        self, world: World, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "PATIENCE", 1.0)
        monkeypatch.setattr(current, "PAUSE", 60.0)
        plugin.give("alice")
        async with Kube.connect(world.kubeconfig) as kube:
            revoke(world)
            plugin.fails()
            found = await asyncio.gather(*(whoami(kube) for _ in range(50)), return_exceptions=True)
        assert {type(one) for one in found} == {ApiUnavailable}
        assert "counting fails with exit code 1" in str(found[0])
        assert plugin.runs == 2

    async def test_one_that_gives_what_was_refused_is_not_asked_by_each_call(
        self, world: World, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "PATIENCE", 0.3)
        monkeypatch.setattr(current, "PAUSE", 60.0)
        plugin.give("alice")
        async with Kube.connect(world.kubeconfig) as kube:
            revoke(world)
            found = await asyncio.gather(*(whoami(kube) for _ in range(50)), return_exceptions=True)
        assert {type(one) for one in found} == {ApiUnavailable}
        assert plugin.runs == 2

    async def test_one_that_fails_at_the_start_is_said_at_once(self, world: World, plugin: Plugin) -> None:
        with pytest.raises(KubeconfigError, match="counting fails with exit code 1"):
            async with Kube.connect(world.kubeconfig):
                pass

    async def test_a_token_that_is_over_when_it_comes_is_used_until_it_is_refused(
        self, world: World, plugin: Plugin
    ) -> None:
        plugin.give("alice", hours=-1)
        async with Kube.connect(world.kubeconfig) as kube:
            for _ in range(5):
                assert await whoami(kube) == "alice system:masters"
        assert plugin.runs <= 2

    @pytest.mark.parametrize(("hours", "days"), [(1, 1), (None, 400)])
    async def test_a_certificate_that_ends_is_replaced(
        self, world: World, plugin: Plugin, hours: float | None, days: int
    ) -> None:
        """By what the plugin says of its end, else by what the certificate says."""

        def give(user: str) -> None:
            pair = certificates.client(world.authority, user, ("system:masters",))
            certificate, key = pair.certificate_pem.decode(), pair.key_pem.decode()
            plugin.give_status({"clientCertificateData": certificate, "clientKeyData": key}, hours=hours)

        give("joe")
        async with Kube.connect(world.kubeconfig) as kube:
            assert await whoami(kube) == "joe system:masters"
            give("jane")
            assert await whoami(kube) == "joe system:masters"
            world.simulator.clock.advance(days=days)
            await whoami(kube)  # tells the time
            assert await whoami(kube) == "jane system:masters"

    async def test_one_that_hangs_is_no_wait_for_ever(
        self, world: World, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pool.kube.credentials.plugin.PATIENCE", 0.1)
        world.write("counting", b"#!/bin/sh\nsleep 60 | cat\n")
        with pytest.raises(KubeconfigError, match=r"says nothing for 0\.1 s"):
            async with Kube.connect(world.kubeconfig):
                pass

    async def test_one_that_leaves_somebody_behind_who_could_still_speak_ends_with_him(
        self, world: World, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pool.kube.credentials.plugin.PATIENCE", 0.5)
        world.write("counting", b"#!/bin/sh\necho $$ > ${0%counting}group\nsleep 60 &\n")
        with pytest.raises(KubeconfigError, match=r"says nothing for 0\.5 s"):
            async with Kube.connect(world.kubeconfig):
                pass
        await gone(int((world.folder / "group").read_text()))

    async def test_one_that_nobody_waits_for_any_more_ends_with_all_that_it_started(
        self, world: World, plugin: Plugin
    ) -> None:
        os.mkfifo(world.folder / "begun")
        world.write("counting", b"#!/bin/sh\necho $$ > ${0%counting}begun\nsleep 60 | cat\n")
        task = asyncio.create_task(Kube.connect(world.kubeconfig).__aenter__())
        group = int(await asyncio.to_thread((world.folder / "begun").read_text))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await gone(group)

    async def test_watches_go_on_with_what_is_shown_next(self, world: World, plugin: Plugin) -> None:
        wire = Wire(world.simulator)
        plugin.give("alice")
        async with (
            Kube.connect(world.kubeconfig) as kube,
            Watching(kube) as watching,
            watching.follow(Scope(CONFIG_MAPS, "default"), lambda _obj, _there: None) as view,
        ):
            revoke(world)
            plugin.give("bob")
            wire.cut_watches()
            made = await kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("one", "default"))
            await view.reached(made["metadata"]["resourceVersion"])
        assert plugin.runs == 2


class TestFiles:
    async def test_a_token_file_that_is_rotated(self, world: World) -> None:
        world.put(world.config({"tokenFile": "bobs"}))
        async with Kube.connect(world.kubeconfig) as kube:
            assert await whoami(kube) == "bob"
            world.write("bobs", b"alice-token\n")
            assert await whoami(kube) == "alice"

    async def test_one_that_is_rotated_late_is_waited_for(self, world: World) -> None:
        world.put(world.config({"tokenFile": "bobs"}))
        async with Kube.connect(world.kubeconfig) as kube:
            del world.simulator.api.authenticator.tokens["bob-token"]
            world.after_refusal = lambda count: world.write("bobs", b"alice-token\n") if count == 3 else None
            assert await whoami(kube) == "alice"
        assert world.refused == 3

    @pytest.mark.parametrize("broken", ["", "{", None])
    async def test_a_kubeconfig_that_is_half_written_or_away_leaves_what_was_known(
        self, world: World, broken: str | None
    ) -> None:
        world.put(world.config())
        async with Kube.connect(world.kubeconfig) as kube:
            if broken is None:
                world.kubeconfig.unlink()
            else:
                world.kubeconfig.write_text(broken)
            assert await whoami(kube) == "alice"
            world.put(world.config({"token": "bob-token"}))
            assert await whoami(kube) == "bob"

    async def test_a_process_stays_with_its_context_and_its_server(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        both = world.config(
            contexts=[{"name": name, "context": {"cluster": "c", "user": name}} for name in ("alice", "bob")],
            users=[{"name": name, "user": {"token": f"{name}-token"}} for name in ("alice", "bob")],
            **{"current-context": "alice"},
        )
        world.put(both)
        async with Kube.connect(world.kubeconfig) as kube:
            world.put(both | {"current-context": "bob"})
            assert await whoami(kube) == "alice"
            world.put(
                world.config({"token": "bob-token"}, world.server(server="https://127.0.0.1:1"))
                | {"contexts": [{"name": "alice", "context": {"cluster": "c", "user": "u"}}]}
            )
            assert await whoami(kube) == "alice"
        assert "names another server now; restart to go there" in caplog.text

    async def test_certificates_that_are_renewed(self, world: World) -> None:
        """Also when the new key comes after the new certificate."""
        world.put(world.config({"client-certificate": "joe.crt", "client-key": "joe.key"}))
        jane = certificates.client(world.authority, "jane")
        async with Kube.connect(world.kubeconfig) as kube:
            world.write("joe.crt", jane.certificate_pem)
            assert await whoami(kube) == "joe devs"
            world.write("joe.key", jane.key_pem)
            assert await whoami(kube) == "jane"

    async def test_a_watch_that_runs_goes_on_over_its_connection(self, world: World) -> None:
        pair = certificates.client(world.authority, "joe", ("system:masters",))
        world.write("joe.crt", pair.certificate_pem)
        world.write("joe.key", pair.key_pem)
        world.put(world.config({"client-certificate": "joe.crt", "client-key": "joe.key"}))
        jane = certificates.client(world.authority, "jane", ("system:masters",))
        async with Kube.connect(world.kubeconfig) as kube:
            _, version = await kube.list_at(CONFIG_MAPS, "default")
            events = kube.watch(CONFIG_MAPS, "default", resource_version=version)
            first = asyncio.ensure_future(anext(events))
            await kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("one", "default"))
            assert (await first)[1]["metadata"]["name"] == "one"
            world.write("joe.crt", jane.certificate_pem)
            world.write("joe.key", jane.key_pem)
            assert await whoami(kube) == "jane system:masters"
            await kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("two", "default"))
            assert (await anext(events))[1]["metadata"]["name"] == "two"
            await events.aclose()


class TestServers:
    async def test_a_ca_that_is_replaced(self, world: World) -> None:
        """With calls and a view under way; the server is there with the new certificate before the file is."""
        old, new = certificates.authority("old"), certificates.authority("new")
        world.write("ca.crt", old.certificate_pem)
        listener = Listener(world.simulator.api, serving(old))
        port = await listener.open("127.0.0.1")
        known = world.server(server=f"https://127.0.0.1:{port}", **{"certificate-authority": "ca.crt"})
        world.put(world.config({"token": world.simulator.token}, known))
        async with (
            Kube.connect(world.kubeconfig) as kube,
            Watching(kube) as watching,
            watching.follow(Scope(CONFIG_MAPS, "default"), lambda _obj, _there: None) as view,
        ):
            await listener.close()
            listener = Listener(world.simulator.api, serving(new))
            await listener.open("127.0.0.1", port)
            call = asyncio.create_task(kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("one", "default")))
            await asyncio.wait([call], timeout=0.1)
            assert not call.done()
            world.write("ca.crt", new.certificate_pem)
            made = await call
            await view.reached(made["metadata"]["resourceVersion"])
        await listener.close()


class TestPods:
    async def test_the_pods_token_and_ca_that_are_rotated(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """As the kubelet does it: a link to a folder that is another one at once."""
        account = world.folder / "account"

        def project(user: str) -> None:
            folder = world.folder / f"..{os.urandom(4).hex()}"
            folder.mkdir()
            (folder / "token").write_text(f"{user}-token")
            (folder / "ca.crt").write_bytes(world.authority.certificate_pem)
            link = world.folder / "..data"
            link.symlink_to(folder)
            link.rename(account / "..data")

        account.mkdir()
        project("alice")
        for name in ("token", "ca.crt"):
            (account / name).symlink_to(Path("..data", name))
        monkeypatch.setattr(access, "ACCOUNT", account)
        host, port = world.simulator.url.removeprefix("https://").split(":")
        for name, value in (("HOST", host), ("PORT", port)):
            monkeypatch.setenv(f"KUBERNETES_SERVICE_{name}", value)
        monkeypatch.setenv("KUBECONFIG", "")
        monkeypatch.setenv("HOME", str(world.folder / "home"))
        async with Kube.connect() as kube:
            assert await whoami(kube) == "alice"
            project("bob")
            del world.simulator.api.authenticator.tokens["alice-token"]
            assert await whoami(kube) == "bob"

    async def test_without_one_nothing_is_said_of_a_pod(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBECONFIG"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("HOME", str(world.folder / "home"))
        with pytest.raises(KubeconfigError, match=r"home/\.kube/config.*no such file"):
            async with Kube.connect():
                pass


class TestOpenId:
    async def test_an_id_token_that_is_refused_is_got_anew_with_the_newest_refresh_token(self, world: World) -> None:
        async with issuer(world) as (url, asked):
            config = {"client-id": "pool", "client-secret": "s", "idp-issuer-url": url, "refresh-token": "refresh-0"}
            config["idp-certificate-authority-data"] = world.ca
            world.put(world.config({"auth-provider": {"name": "oidc", "config": config}}))
            async with Kube.connect(world.kubeconfig) as kube:
                assert await whoami(kube) == "alice"
                revoke(world)
                assert await whoami(kube) == "alice"
        assert asked == ["refresh-0", "refresh-1"]


def serving(authority: certificates.Pair) -> object:
    return certificates.server_context(
        certificates.server(authority, certificates.NAMES, certificates.ADDRESSES), authority
    )


@asynccontextmanager
async def issuer(world: World) -> AsyncIterator[tuple[str, list[str]]]:
    """An OpenID provider that gives alice a new ID token for each refresh token, and another of those."""
    asked: list[str] = []

    async def configuration(request: web.Request) -> web.Response:
        return web.json_response({"token_endpoint": f"{request.url.origin()}/token"})

    async def token(request: web.Request) -> web.Response:
        asked.append((await request.post())["refresh_token"])
        given = id_token(world, f"id-token-{len(asked)}")
        return web.json_response({"id_token": given, "refresh_token": f"refresh-{len(asked)}"})

    app = web.Application()
    app.add_routes([web.get("/.well-known/openid-configuration", configuration), web.post("/token", token)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificates.shared()[1])
    await site.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()
