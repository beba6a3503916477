"""A session's own kubeconfig, as its cluster takes it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.gateway import OpenHost
from pool.core.errors import ApiError
from pool.kube.client import Kube
from pool.kube.credentials.access import Access, Pair, Server
from pool.kube.resources import NODES, SERVICES
from pool.kubevirt.cluster import API_PORT
from pool.state.events import Listener
from pool.work.session_access import LONGEST_NAME, address, common_name
from pool.work.steps import Host
from tests.gateway.door import inside
from tests.gateway.test_sessions import SESSIONS, ask
from tests.pool.bench import Bench, bench_at, now
from tests.pool.builders import member

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def of_bench(bench: Bench) -> OpenHost:
    """The bench's host."""

    @asynccontextmanager
    async def open_host(_: Listener) -> AsyncIterator[Host]:
        yield bench.host()

    return open_host


@asynccontextmanager
async def guest(bench: Bench, config: dict[str, Any]) -> AsyncIterator[Kube]:
    """The guest's API as the kubeconfig says, at the clusterIP of the Service that it names."""
    host, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    pair = [base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")]
    ip = (await bench.kube.get(SERVICES, "cp", "cluster1"))["spec"]["clusterIP"]
    name = host.get("tls-server-name") or host["server"].removeprefix("https://").partition(":")[0]
    server = Server(f"https://{ip}:{API_PORT}", base64.b64decode(host["certificate-authority-data"]), name=name)
    async with Kube.using(Access("of a session", server, pair=Pair(*pair)), patience=0) as kube:
        yield kube


async def test_a_session_is_administrator_of_its_cluster_under_its_own_name_until_its_end(tmp_path: Path) -> None:
    template = "https://{cluster}.labs.example.com:6443"
    async with bench_at(tmp_path / "kubeconfig", 1000.0) as bench:
        await bench.bootstrap()
        await bench.take_golden()
        async with inside(of_bench(bench)) as door, inside(of_bench(bench), kubeconfig_server=template) as outside:
            assert (await ask(door, "alice.lab", ttlSeconds=600)).status_code == 201
            given = await door.http.get(f"{SESSIONS}/alice.lab/kubeconfig")
            assert given.headers["content-type"] == "application/yaml"
            assert given.headers["cache-control"] == "no-store"
            config = yaml.safe_load(given.text)
            assert config["clusters"][0]["cluster"]["server"] == "https://cp.cluster1.svc:6443"
            named = yaml.safe_load((await outside.http.get(f"{SESSIONS}/alice.lab/kubeconfig")).text)
            assert named["clusters"][0]["cluster"]["server"] == "https://cluster1.labs.example.com:6443"
            assert named["clusters"][0]["cluster"]["tls-server-name"] == "cp.cluster1.svc"
            for one in (config, named):
                async with guest(bench, one) as kube:
                    who = (await kube.request("POST", REVIEW, None, {"spec": {}}))["status"]["userInfo"]
                    assert who["username"] == "alice.lab"
                    assert "kubeadm:cluster-admins" in who["groups"]
                    assert len(await kube.list(NODES)) == 2
            # As a session's that began an hour earlier.
            await bench.note(expires_at=now() - timedelta(seconds=1))
            over = yaml.safe_load((await door.http.get(f"{SESSIONS}/alice.lab/kubeconfig")).text)
            async with guest(bench, over) as kube:
                with pytest.raises(ApiError):
                    await kube.list(NODES)
            await door.http.delete(f"{SESSIONS}/alice.lab")
            refused = await door.http.get(f"{SESSIONS}/alice.lab/kubeconfig")
            assert (refused.status_code, refused.json()["reason"]) == (409, "NotHolder")


def test_a_long_id_is_cut_to_a_certificate_s_name_and_told_from_others() -> None:
    long = "a" * 100
    assert common_name("alice") == "alice"
    assert common_name("b" * LONGEST_NAME) == "b" * LONGEST_NAME
    assert len(common_name(long)) == LONGEST_NAME
    assert common_name(long) != common_name(long + "a")


def test_the_address_is_the_service_s_or_what_the_template_makes_of_it() -> None:
    assert address(member(), "") == "https://cp.cluster1.svc:6443"
    assert address(member(), "https://{cluster}.{namespace}.example:443") == "https://cluster1.cluster1.example:443"
