"""kubectl, unchanged, against a bare API server."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.app import Simulator
from tests.conftest import REPOSITORY

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine"),
]
CRDS = REPOSITORY / "deployments" / "crds"
CLUSTER = """
apiVersion: cks.io/v1alpha1
kind: PooledCluster
metadata: {name: cluster1}
spec: {namespace: cluster1}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http}], selector: {app: web}}
"""
Kubectl = Callable[..., Coroutine[Any, Any, str]]


class Refused(Exception):
    """kubectl ended with another status than 0; its words."""


@pytest.fixture
def kubectl(api_server: Simulator, tmp_path: Path) -> Kubectl:
    async def run(*arguments: str, given: str | None = None, fails: bool = False) -> str:
        env = {**os.environ, "KUBECONFIG": str(api_server.kubeconfig_path), "HOME": str(tmp_path), "NO_PROXY": "*"}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "kubectl", *arguments, env=env, stdin=pipe, stdout=pipe, stderr=pipe
        )
        out, err = await asyncio.wait_for(process.communicate(given.encode() if given else b""), 30)
        if (process.returncode != 0) is not fails:
            raise Refused(f"kubectl {' '.join(arguments)}: {process.returncode}\n{out.decode()}{err.decode()}")
        return (out + err).decode()

    return run


async def test_objects_are_applied_shown_changed_and_deleted(kubectl: Kubectl) -> None:
    assert "service/web created" in await kubectl("apply", "-f", "-", given=SERVICE)
    assert "service/web unchanged" in await kubectl("apply", "-f", "-", given=SERVICE)
    renamed = SERVICE.replace("port: 80, name: http", "port: 80, name: plain")
    assert "-    - name: http" in (await kubectl("diff", "-f", "-", given=renamed, fails=True)).replace(
        "-  - name", "-    - name"
    )
    assert "service/web configured" in await kubectl("apply", "-f", "-", given=renamed)
    assert json.loads(await kubectl("get", "svc", "web", "-o", "json"))["spec"]["ports"][0]["name"] == "plain"
    header, row, *_ = (await kubectl("get", "svc", "-o", "wide")).splitlines()
    assert header.split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    assert row.split()[1] == "ClusterIP"
    await kubectl("label", "svc", "web", "a=b")
    await kubectl("annotate", "svc", "web", "c=d")
    await kubectl("patch", "svc", "web", "-p", '{"spec":{"ports":[{"port":443,"name":"tls"}]}}')
    shown = await kubectl("describe", "svc", "web")
    assert "a=b" in shown
    assert "443/TCP" in shown
    assert await kubectl("get", "svc", "-l", "a=b", "-o", "name") == "service/web\n"
    await kubectl("delete", "svc", "web")
    assert "not found" in await kubectl("get", "svc", "web", fails=True)


async def test_typed_creates_work(kubectl: Kubectl) -> None:
    await kubectl("create", "namespace", "new")
    await kubectl("create", "secret", "generic", "s", "--from-literal=a=b", "-n", "new")
    await kubectl("create", "configmap", "c", "--from-literal=a=b", "-n", "new")
    await kubectl("create", "serviceaccount", "bot", "-n", "new")
    await kubectl("create", "role", "r", "--verb=get,list", "--resource=pods", "-n", "new")
    await kubectl("create", "rolebinding", "r", "--role=r", "--serviceaccount=new:bot", "-n", "new")
    await kubectl("create", "quota", "q", "--hard=pods=3,requests.storage=1Gi", "-n", "new")
    hard = await kubectl("get", "quota", "q", "-n", "new", "-o", "jsonpath={.spec.hard}")
    assert json.loads(hard) == {"pods": "3", "requests.storage": "1Gi"}
    assert await kubectl("get", "secret", "s", "-n", "new", "-o", "jsonpath={.data.a}") == "Yg=="
    assert (await kubectl("create", "token", "bot", "-n", "new")).count(".") == 2
    assert "name: new" in await kubectl("get", "namespace", "new", "-o", "yaml")


async def test_rights_are_asked_and_answered(kubectl: Kubectl) -> None:
    await kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    await kubectl("create", "rolebinding", "r", "--role=r", "--user=joe")
    assert (await kubectl("auth", "can-i", "get", "pods", "--as=joe")).strip() == "yes"
    assert (await kubectl("auth", "can-i", "delete", "pods", "--as=joe", fails=True)).startswith("no")
    assert "pods" in await kubectl("auth", "can-i", "--list", "--as=joe")
    assert "kubernetes-admin" in await kubectl("auth", "whoami")
    assert "Error from server (Forbidden)" in await kubectl("get", "secrets", "--as=joe", fails=True)


async def test_own_resources_read_well(kubectl: Kubectl) -> None:
    await kubectl("apply", "-k", str(CRDS))
    await kubectl("wait", "crd/pooledclusters.cks.io", "--for=condition=Established", "--timeout=5s")
    await kubectl("apply", "-f", "-", given=CLUSTER)
    assert "could also match lower priority resource pooledclusters.cks.io" in await kubectl("get", "pc")
    header, row = (await kubectl("get", "pcl")).splitlines()
    assert header.split()[:3] == ["NAME", "PHASE", "SESSION"]
    assert row.startswith("cluster1")
    assert "CORDONED" in await kubectl("get", "pcl", "-o", "wide")
    assert "Never assigned while true" in await kubectl("explain", "pcl.spec")
    assert "pooledclusters" in await kubectl("api-resources", "--api-group=cks.io")
    assert "Cordoned:   false" in await kubectl("describe", "pcl", "cluster1")
    bad = await kubectl("patch", "pcl", "cluster1", "--type=merge", "-p", '{"spec":{"namespace":"x"}}', fails=True)
    assert 'The PooledCluster "cluster1" is invalid' in bad
    typo = CLUSTER.replace("{namespace:", "{cordonned: true, namespace:")
    assert 'unknown field "spec.cordonned"' in await kubectl("apply", "-f", "-", given=typo, fails=True)


async def test_server_side_apply_names_conflicts(kubectl: Kubectl) -> None:
    await kubectl("apply", "--server-side", "-f", "-", given=SERVICE)
    other = SERVICE.replace("app: web", "app: other")
    refused = await kubectl("apply", "--server-side", "--field-manager=b", "-f", "-", given=other, fails=True)
    assert 'conflict with "kubectl": .spec.selector' in refused
    forced = ("apply", "--server-side", "--field-manager=b", "--force-conflicts", "-f", "-")
    assert "serverside-applied" in await kubectl(*forced, given=other)


async def test_explain_and_dry_run_know_built_in_kinds(kubectl: Kubectl) -> None:
    assert "containerPort" in await kubectl("explain", "pod.spec.containers.ports")
    assert "(server dry run)" in await kubectl("apply", "--dry-run=server", "-f", "-", given=SERVICE)
    assert "not found" in await kubectl("get", "svc", "web", fails=True)
    typo = SERVICE.replace("selector:", "selectr:")
    assert 'unknown field "spec.selectr"' in await kubectl("apply", "-f", "-", given=typo, fails=True)


async def test_watch_prints_a_row_a_change(kubectl: Kubectl, api_server: Simulator) -> None:
    await kubectl("create", "configmap", "x")
    env = {**os.environ, "KUBECONFIG": str(api_server.kubeconfig_path)}
    pipe = asyncio.subprocess.PIPE
    command = ("kubectl", "get", "configmap", "-w", "--field-selector", "metadata.name=x")
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert (await process.stdout.readline()).split()[:2] == [b"NAME", b"DATA"]
            assert (await process.stdout.readline()).split()[:2] == [b"x", b"0"]
            await kubectl("patch", "configmap", "x", "-p", '{"data":{"a":"b"}}')
            assert (await process.stdout.readline()).split()[:2] == [b"x", b"1"]
    finally:
        process.kill()
        await process.communicate()


async def test_wait_follows_conditions_fields_and_deletions(kubectl: Kubectl) -> None:
    await kubectl("create", "configmap", "x", "--from-literal=a=b")
    await kubectl("wait", "configmap/x", "--for=jsonpath={.data.a}=b", "--timeout=5s")
    waiting = asyncio.create_task(kubectl("wait", "configmap/x", "--for=delete", "--timeout=20s"))
    await kubectl("delete", "configmap", "x")
    await waiting
    await kubectl("create", "namespace", "n")
    await kubectl("delete", "namespace", "n", "--timeout=10s")


async def test_events_are_shown_without_their_names(kubectl: Kubectl) -> None:
    event = """
apiVersion: v1
kind: Event
metadata: {name: e.1}
involvedObject: {kind: Pod, name: p, namespace: default}
reason: Why
message: because
type: Normal
lastTimestamp: "2026-01-01T00:00:00Z"
"""
    await kubectl("create", "-f", "-", given=event)
    header, row = (await kubectl("get", "events")).splitlines()
    assert header.split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert row.split()[1:] == ["Normal", "Why", "pod/p", "because"]


async def test_logs_are_printed(kubectl: Kubectl, api_server: Simulator) -> None:
    await kubectl("run", "web", "--image", "web", "--overrides", '{"spec":{"nodeName":"n"}}')
    status = '{"status":{"containerStatuses":[{"name":"web","state":{"running":{}}}]}}'
    await kubectl("patch", "pod", "web", "--subresource", "status", "--type", "merge", "-p", status)
    api_server.api.printed = lambda *_: [(datetime.now(UTC), "old"), (datetime.now(UTC), "new")]
    assert await kubectl("logs", "web", "--tail", "1") == "new\n"
    assert "container db is not valid for pod web" in await kubectl("logs", "web", "-c", "db", fails=True)
