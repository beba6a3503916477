"""Kubeconfigs are read as kubectl reads them: each form is put before both.

| what | forms |
|---|---|
| which file, which context | TestFiles |
| how the server is known and reached | TestServers |
| who one is | TestUsers |
| exec plugins | TestPlugins |
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pool.core.errors import PoolError
from pool.kube.credentials.proxies import proxy_of_environment
from simulator.api.listening import Listener
from simulator.app import Simulator
from simulator.identity import certificates
from tests.pool import kubectl
from tests.pool.kube.kubeconfigs import V1, V1BETA1, World, id_token, inline

pytestmark = kubectl.needed

Form = Callable[[World], object]


@pytest.fixture
def world(api_server: Simulator, tmp_path: Path) -> World:
    folder = tmp_path / "world"
    folder.mkdir()
    return World(api_server, folder)


async def agree(world: World, monkeypatch: pytest.MonkeyPatch, expected: str) -> None:
    """Both are whom they should be; or both are nobody, and ours says why in these words."""
    us, they = await world.by_us(monkeypatch), await world.by_kubectl()
    if isinstance(us, PoolError):
        assert they is None
        assert expected in str(us)
        assert "-token" not in str(us)
    else:
        assert (us, they) == (expected, expected)


def forms(*rows: tuple[str, str, Form]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("expected", "form"), [pytest.param(expected, form, id=name) for name, expected, form in rows]
    )


def beside(world: World) -> dict[str, object]:
    """A second kubeconfig with names of its own: bob, in the context `there`."""
    return world.config(
        users=[{"name": "v", "user": {"token": "bob-token"}}],
        contexts=[{"name": "there", "context": {"cluster": "c", "user": "v"}}],
        **{"current-context": "there"},
    )


class TestFiles:
    @forms(
        ("one file", "alice", lambda w: w.put(w.config())),
        ("JSON", "alice", lambda w: w.put(json.dumps(w.config()))),
        ("the first current-context", "alice", lambda w: w.put(w.config(), beside(w))),
        ("the first that has one", "bob", lambda w: w.put(w.config(**{"current-context": ""}), beside(w))),
        ("the first user of a name, whole", "alice", lambda w: w.put(w.config(), w.config({"token": "bob-token"}))),
        ("not half of each", "no credentials", lambda w: w.put(w.config({}), w.config())),
        ("an empty second file", "alice", lambda w: w.put(w.config(), "")),
        ("comments only", "alice", lambda w: w.put("# nothing\n", w.config())),
        ("one that is missing", "alice", lambda w: w.put(None, w.config())),
        ("all are missing", "no such file", lambda w: w.put(None, None)),
        ("a broken second file", "no YAML", lambda w: w.put(w.config(), "{")),
        ("a list", "no mapping", lambda w: w.put(w.config(), "[]")),
        ("another kind", "another kind", lambda w: w.put(w.config(), {"apiVersion": "v1", "kind": "Pod"})),
        ("neither kind nor version", "alice", lambda w: w.put(w.config(kind="absent", apiVersion="absent"))),
        ("fields that nobody knows", "alice", lambda w: w.put(w.config(preferences={"colors": True}, more=[1]))),
        ("a number for a token", "token: Input should be a valid string", lambda w: w.put(w.config({"token": 5}))),
        ("null", "bob", lambda w: w.put(w.config({"token": None, "tokenFile": "bobs"}))),
        ("two users of a name", "named u", lambda w: w.put(w.config(users=[{"name": "u", "user": {}}] * 2))),
        ("no context of that name", "no context x", lambda w: w.put(w.config(**{"current-context": "x"}))),
        ("no current-context", "no current-context", lambda w: w.put(w.config(**{"current-context": ""}))),
        ("no user of that name", "no user u", lambda w: w.put(w.config(users=[]))),
        ("no cluster of that name", "no cluster c", lambda w: w.put(w.config(clusters=[]))),
        (
            "a context with a namespace",
            "alice",
            lambda w: w.put(
                w.config(contexts=[{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "x"}}])
            ),
        ),
    )
    async def test_files(self, world: World, monkeypatch: pytest.MonkeyPatch, expected: str, form: Form) -> None:
        form(world)
        await agree(world, monkeypatch, expected)

    @pytest.mark.parametrize(
        ("listed", "expected"),
        [
            pytest.param("../kubeconfig0", "alice", id="relative to where we are"),
            pytest.param(":{folder}/kubeconfig0::{folder}/kubeconfig0:", "alice", id="blanks and repetitions"),
            pytest.param("{folder}/kubeconfig0:{folder}", "Is a directory", id="a folder"),
            pytest.param("~/kubeconfig0", "no such file", id="a tilde, which shells expand"),
            pytest.param("", "bob", id="empty"),
        ],
    )
    async def test_the_variable(
        self, world: World, monkeypatch: pytest.MonkeyPatch, listed: str, expected: str
    ) -> None:
        world.environment["KUBECONFIG"] = listed
        world.put(world.config())
        (world.folder / "home" / ".kube").mkdir()
        world.write("home/.kube/config", json.dumps(beside(world)).encode())
        await agree(world, monkeypatch, expected)


class TestServers:
    @forms(
        (
            "a CA beside the file",
            "alice",
            lambda w: w.put(w.config(None, w.server(**{"certificate-authority": "ca.crt"}))),
        ),
        (
            "a CA that is missing",
            "No such file",
            lambda w: w.put(w.config(None, w.server(**{"certificate-authority": "x"}))),
        ),
        (
            "a CA twice",
            "only one can be used",
            lambda w: w.put(
                w.config(None, w.server(**{"certificate-authority": "ca.crt", "certificate-authority-data": w.ca}))
            ),
        ),
        (
            "a CA that is none",
            "certificates do not load",
            lambda w: w.put(w.config(None, w.server(**{"certificate-authority-data": inline(b"junk")}))),
        ),
        (
            "data that is no base64",
            "certificate-authority-data",
            lambda w: w.put(w.config(None, w.server(**{"certificate-authority-data": "%%"}))),
        ),
        (
            "another CA",
            "not who it should be",
            lambda w: w.put(
                w.config(
                    None, w.server(**{"certificate-authority-data": inline(certificates.authority().certificate_pem)})
                )
            ),
        ),
        (
            "no CA, the system's",
            "not who it should be",
            lambda w: w.put(w.config(None, w.server(**{"certificate-authority-data": ""}))),
        ),
        ("no check", "alice", lambda w: w.put(w.config(None, w.server(**{"insecure-skip-tls-verify": True})))),
        (
            "no check, with a CA",
            "contradict each other",
            lambda w: w.put(
                w.config(None, w.server(**{"insecure-skip-tls-verify": True, "certificate-authority-data": w.ca}))
            ),
        ),
        ("a name", "alice", lambda w: w.put(w.config(None, w.server(**{"tls-server-name": "kubernetes"})))),
        (
            "a wrong name",
            "not who it should be",
            lambda w: w.put(w.config(None, w.server(**{"tls-server-name": "nobody"}))),
        ),
        ("no server", "no server", lambda w: w.put(w.config(None, w.server(server="")))),
        ("a blank in front", "no URL", lambda w: w.put(w.config(None, w.server(server=f" {w.simulator.url}")))),
        (
            "a password in it",
            "with a user in it",
            lambda w: w.put(w.config(None, w.server(server=w.simulator.url.replace("//", "//me:my-token@")))),
        ),
        (
            "a proxy that is no URL",
            "no proxy that can be used",
            lambda w: w.put(w.config(None, w.server(**{"proxy-url": "http://me:my-token@127.0.0.1:x"}))),
        ),
        ("a slash at the end", "alice", lambda w: w.put(w.config(None, w.server(server=f"{w.simulator.url}/")))),
        ("a query", "alice", lambda w: w.put(w.config(None, w.server(server=f"{w.simulator.url}?x=y")))),
        (
            "a proxy of another kind",
            "only http and https",
            lambda w: w.put(w.config(None, w.server(**{"proxy-url": "ftp://127.0.0.1:1"}))),
        ),
        (
            "a proxy that does not answer",
            "does not answer",
            lambda w: w.put(w.config(None, w.server(**{"proxy-url": "http://127.0.0.1:1"}))),
        ),
    )
    async def test_servers(self, world: World, monkeypatch: pytest.MonkeyPatch, expected: str, form: Form) -> None:
        monkeypatch.setattr("pool.kube.client.CONNECT_PATIENCE", 0)
        form(world)
        await agree(world, monkeypatch, expected)

    async def test_a_loopback_address_needs_no_proxy(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.environment["HTTPS_PROXY"] = "http://127.0.0.1:1"
        world.put(world.config())
        await agree(world, monkeypatch, "alice")

    async def test_a_server_that_only_the_proxy_knows(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async with proxy(world.simulator) as url:
            known = world.server(server="https://kubernetes.default.svc", **{"proxy-url": url})
            world.put(world.config(None, known))
            await agree(world, monkeypatch, "alice")

    async def test_the_proxy_of_the_environment(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async with proxy(world.simulator) as url:
            world.environment["HTTPS_PROXY"] = url
            world.put(world.config(None, world.server(server="https://kubernetes.default.svc")))
            await agree(world, monkeypatch, "alice")

    @pytest.mark.parametrize(
        ("no_proxy", "url"),
        [
            ("", "https://localhost:6443"),
            ("", "https://[::1]"),
            ("*", "https://kubernetes.default.svc"),
            ("svc", "https://kubernetes.default.svc"),
            (".svc,x", "https://kubernetes.default.svc:443"),
            ("10.96.0.0/12", "https://10.96.0.1"),
            ("x, 10.96.0.1", "https://10.96.0.1:443"),
            ("fd00::/8", "https://[fd00::1]:6443"),
        ],
    )
    def test_what_is_reached_without_it(self, monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("https_proxy", raising=False)
        assert proxy_of_environment(url) == ""
        assert proxy_of_environment("https://11.0.0.1") == ("" if no_proxy == "*" else "http://proxy.example:3128")

    async def test_by_ipv6(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        _, context = certificates.shared()
        listener = Listener(world.simulator.api, context)
        port = await listener.open("::1")
        world.put(world.config(None, world.server(server=f"https://[::1]:{port}")))
        await agree(world, monkeypatch, "alice")
        await listener.close()

    @pytest.mark.parametrize("scheme", ["http://", ""])
    async def test_no_credentials_are_shown_without_tls(
        self, world: World, monkeypatch: pytest.MonkeyPatch, scheme: str
    ) -> None:
        listener = Listener(world.simulator.api, None)
        port = await listener.open("127.0.0.1")
        world.put(world.config(None, {"server": f"{scheme}127.0.0.1:{port}"}))
        await agree(world, monkeypatch, 'User "system:anonymous" cannot create')
        await listener.close()


class TestUsers:
    @forms(
        ("a token's file beside the kubeconfig", "bob", lambda w: w.put(w.config({"tokenFile": "bobs"}))),
        ("token and tokenFile", "bob", lambda w: w.put(w.config({"token": "alice-token", "tokenFile": "bobs"}))),
        ("when the file is missing", "alice", lambda w: w.put(w.config({"token": "alice-token", "tokenFile": "x"}))),
        ("a missing tokenFile alone", "No such file", lambda w: w.put(w.config({"tokenFile": "x"}))),
        ("a token with a line break", "line break", lambda w: w.put(w.config({"token": "alice-token\n"}))),
        ("a password", "credentials refused", lambda w: w.put(w.config({"username": "a", "password": "b"}))),
        (
            "a password and a token",
            "only one can be used",
            lambda w: w.put(w.config({"token": "alice-token", "username": "a", "password": "b"})),
        ),
        (
            "a password and a tokenFile",
            "only one can be used",
            lambda w: w.put(w.config({"tokenFile": "bobs", "username": "a", "password": "b"})),
        ),
        (
            "a certificate beside the kubeconfig",
            "joe devs",
            lambda w: w.put(w.config({"client-certificate": "joe.crt", "client-key": "joe.key"})),
        ),
        (
            "a certificate inside, its key beside",
            "joe devs",
            lambda w: w.put(
                w.config({"client-certificate-data": inline(w.joe.certificate_pem), "client-key": "joe.key"})
            ),
        ),
        (
            "data in lines",
            "joe devs",
            lambda w: w.put(
                w.config(
                    {
                        "client-certificate-data": base64.encodebytes(w.joe.certificate_pem).decode(),
                        "client-key-data": base64.encodebytes(w.joe.key_pem).decode(),
                    }
                )
            ),
        ),
        (
            "a certificate twice",
            "only one can be used",
            lambda w: w.put(
                w.config(
                    {
                        "client-certificate": "joe.crt",
                        "client-certificate-data": inline(w.joe.certificate_pem),
                        "client-key": "joe.key",
                    }
                )
            ),
        ),
        (
            "a certificate without a key",
            "without client-key",
            lambda w: w.put(w.config({"client-certificate": "joe.crt"})),
        ),
        ("a key without a certificate", "no credentials", lambda w: w.put(w.config({"client-key": "joe.key"}))),
        ("nothing", "no credentials", lambda w: w.put(w.config({}))),
        (
            "somebody else",
            "carol",
            lambda w: w.put(w.config({"token": w.simulator.token, "as": "carol"})),
        ),
        (
            "somebody else with groups and a UID",
            "carol one two uid=7",
            lambda w: w.put(
                w.config({"token": w.simulator.token, "as": "carol", "as-groups": ["one", "two"], "as-uid": "7"})
            ),
        ),
        (
            "groups of nobody",
            "without as",
            lambda w: w.put(w.config({"token": w.simulator.token, "as-groups": ["one"]})),
        ),
        (
            "somebody else, without the right",
            "cannot impersonate",
            lambda w: w.put(w.config({"token": "alice-token", "as": "c"})),
        ),
        ("an unknown provider", "use an exec plugin", lambda w: w.put(w.config({"auth-provider": {"name": "gcp"}}))),
        (
            "an OpenID provider's token",
            "alice",
            lambda w: w.put(
                w.config(
                    {
                        "auth-provider": {
                            "name": "oidc",
                            "config": {
                                "client-id": "i",
                                "idp-issuer-url": "https://127.0.0.1:1",
                                "id-token": id_token(w),
                            },
                        }
                    }
                )
            ),
        ),
        (
            "an OpenID provider without an issuer",
            "no idp-issuer-url",
            lambda w: w.put(w.config({"auth-provider": {"name": "oidc", "config": {"id-token": id_token(w)}}})),
        ),
    )
    async def test_users(self, world: World, monkeypatch: pytest.MonkeyPatch, expected: str, form: Form) -> None:
        form(world)
        await agree(world, monkeypatch, expected)


class TestPlugins:
    @forms(
        ("beside the kubeconfig", "bob", lambda w: w.put(w.config(w.exec()))),
        ("in another folder", "bob", lambda w: w.put(w.config(w.exec(command="home/../plugin")))),
        (
            "not on PATH",
            "is not found; get it here",
            lambda w: w.put(w.config(w.exec(command="plugin", installHint="get it here"))),
        ),
        (
            "beta",
            "bob",
            lambda w: w.put(w.config(w.exec(apiVersion=V1BETA1, command="./plugin-beta", interactiveMode=None))),
        ),
        ("v1 says when it asks", "interactiveMode missing", lambda w: w.put(w.config(w.exec(interactiveMode=None)))),
        ("at times", "interactiveMode Sometimes", lambda w: w.put(w.config(w.exec(interactiveMode="Sometimes")))),
        ("asks, and nobody is there", "needs a terminal", lambda w: w.put(w.config(w.exec(interactiveMode="Always")))),
        ("asks if it can", "bob", lambda w: w.put(w.config(w.exec(interactiveMode="IfAvailable")))),
        ("alpha", "not one of", lambda w: w.put(w.config(w.exec(apiVersion=V1BETA1.replace("beta", "alpha"))))),
        ("another version", "speaks", lambda w: w.put(w.config(w.exec(command="./plugin-beta")))),
        ("variables", "alice", lambda w: w.put(w.config(w.exec(env=[{"name": "TOKEN", "value": "alice-token"}])))),
        (
            "that fails",
            "fails with exit code 3",
            lambda w: w.put(w.config(w.exec(env=[{"name": "BROKEN", "value": "1"}]))),
        ),
        ("that gives nothing", "neither token nor certificate", lambda w: w.put(w.config(w.exec(args=[""])))),
        ("that prints something else", "something else", lambda w: w.put(w.config(w.exec(command="/bin/echo")))),
        ("that is no program", "is not found", lambda w: w.put(w.config(w.exec(command="./bobs")))),
        ("beside a token", "alice", lambda w: w.put(w.config({"token": "alice-token", **w.exec()}))),
        (
            "beside a certificate",
            "joe devs",
            lambda w: w.put(w.config({"client-certificate": "joe.crt", "client-key": "joe.key", **w.exec()})),
        ),
        (
            "beside a provider",
            "exec and auth-provider",
            lambda w: w.put(w.config({"auth-provider": {"name": "oidc"}, **w.exec()})),
        ),
    )
    async def test_plugins(self, world: World, monkeypatch: pytest.MonkeyPatch, expected: str, form: Form) -> None:
        form(world)
        await agree(world, monkeypatch, expected)

    async def test_it_is_told_what_kubectl_tells_it(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        known = world.server(
            **{"certificate-authority": "ca.crt", "tls-server-name": "kubernetes"},
            extensions=[{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}],
        )
        world.put(world.config(world.exec(provideClusterInfo=True), known))
        asked = world.folder / "plugin.asked"
        assert await world.by_us(monkeypatch) == "bob"
        ours = json.loads(asked.read_text())
        assert await world.by_kubectl() == "bob"
        assert ours == json.loads(asked.read_text())
        assert ours["spec"]["cluster"]["config"] == {"audience": "x"}

    async def test_one_that_gives_a_certificate(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        status = {
            "clientCertificateData": world.joe.certificate_pem.decode(),
            "clientKeyData": world.joe.key_pem.decode(),
        }
        given = {"apiVersion": V1, "kind": "ExecCredential", "status": status}
        world.write("given", json.dumps(given).encode())
        world.put(world.config(world.exec(command="/bin/cat", args=[str(world.folder / "given")])))
        await agree(world, monkeypatch, "joe devs")


@asynccontextmanager
async def proxy(simulator: Simulator) -> AsyncIterator[str]:
    """An HTTP proxy that wants a password, and leads everywhere to the simulator."""
    port = int(simulator.url.rpartition(":")[2])

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        password = base64.b64encode(b"me:secret")
        if not head.startswith(b"CONNECT ") or b"Proxy-Authorization: Basic " + password not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        beyond = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, beyond[1]), pump(beyond[0], writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://me:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
