"""The checks carried out: against an API, each by itself, within a deadline."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from cks_pool.doctor.checking import Check, carried_out
from cks_pool.doctor.command import OF_HOST, OF_PREFECT, examine_host
from cks_pool.doctor.findings import Severity, Verdict, ok
from cks_pool.doctor.kubevirt import CDI, KUBEVIRT
from cks_pool.doctor.rights import ACCOUNT, GRANTED, Rights, judge_rights, look_rights, needed
from cks_pool.doctor.storage import look_images, look_storage
from cks_pool.options import HERE
from pool.core.crds import SCHEMA, SCHEMA_LABEL
from pool.core.errors import Forbidden
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import CONFIG_MAPS, CRDS, DATA_VOLUMES, NAMESPACES, POOLS, STORAGE_CLASSES, Resource
from pool.kubevirt.manifests import wanted_image
from pool.kubevirt.preflight import PROVED
from pool.work.opening import opened
from pool.work.steps import Host
from tests.cli.conftest import Command
from tests.pool.lab import Lab
from tests.pool.rights import in_force, install, kubeconfig_of

ROOT = Path(__file__).resolve().parents[3]


def host_of(lab: Lab) -> Host:
    return Host(lab.settings, lab.kube, lab.watching, lab.state)


def of_operator(resource: Resource) -> Object:
    """A definition of its kind that says nothing more."""
    scope = "Namespaced" if resource.namespaced else "Cluster"
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": resource.version, "served": True, "storage": True, "schema": schema}
    names = {"plural": resource.plural, "singular": resource.kind.lower(), "kind": resource.kind}
    spec = {"group": resource.group, "scope": scope, "names": names, "versions": [version]}
    return CRDS.manifest(f"{resource.plural}.{resource.group}", spec=spec)


async def found_of(lab: Lab, name: str) -> Verdict:
    """The verdict of one check."""
    (finding,) = await carried_out([check for check in OF_HOST if check.name == name], host_of(lab), 10)
    return finding.verdict


async def test_a_check_that_fails_or_hangs_hides_no_other() -> None:
    async def fails(_subject: object) -> None:
        raise RuntimeError("surprise")

    async def refused(_subject: object) -> None:
        raise Forbidden(403, "Forbidden", "may not list")

    async def hangs(_subject: object) -> None:
        await asyncio.Event().wait()

    async def works(_subject: object) -> str:
        return "fine"

    def confused(_facts: Any) -> Verdict:
        raise KeyError("field")

    looks = {"fails": fails, "refused": refused, "hangs": hangs, "works": works}
    checks = [Check(name, look, ok) for name, look in looks.items()] + [Check("confused", works, confused)]
    found = {one.name: one.verdict for one in await carried_out(checks, None, 0.05)}
    severities = {name: str(verdict.severity) for name, verdict in found.items()}
    assert severities == {
        "fails": "error",
        "refused": "skipped",
        "hangs": "error",
        "works": "ok",
        "confused": "error",
    }
    assert "surprise" in found["fails"].found
    assert "no answer within 0.05 s" in found["hangs"].found


def test_names_are_unique_and_stay() -> None:
    names = [check.name for check in (*OF_HOST, *OF_PREFECT)]
    assert names == [
        *("kubeconfig", "clock", "rights", "crds", "kubevirt", "cdi", "webhooks"),
        *("storage", "golden-image", "network-policies"),
        *("prefect-api", "prefect-database", "maintenance", "worker"),
    ]


@pytest.mark.xdist_group("prefect")  # whose import is paid for there
async def test_the_command_says_all_of_it(lab: Lab, command: Command, no_prefect: None) -> None:
    said = await command("doctor", "-o", "json")
    found = {one["name"]: one for one in json.loads(said.out)["findings"]}
    assert found.keys() == {check.name for check in (*OF_HOST, *OF_PREFECT)}
    assert found["crds"]["severity"] == "ok"
    assert found["kubevirt"]["severity"] == "skipped"
    assert found["prefect-api"]["severity"] == "error"
    assert found["worker"]["severity"] == "skipped"
    assert said.status == 2


@pytest.mark.xdist_group("prefect")
async def test_without_a_host_prefect_is_looked_at_all_the_same(
    command: Command, tmp_path: Path, no_prefect: None
) -> None:
    said = await command("doctor", "--kubeconfig", str(tmp_path / "missing"))
    lines = said.out.splitlines()
    assert lines[0].startswith("error    kubeconfig")
    assert "no such file" in lines[0]
    assert "CKS_POOL_KUBECONFIG" in lines[1]
    assert [line.split()[1] for line in lines if line.startswith("error")] == ["kubeconfig", "prefect-api"]
    assert lines[-1] == f"0 ok, {len(OF_HOST) + len(OF_PREFECT) - 2} skipped, 0 warning, 2 error"
    assert said.status == 2


async def test_kinds_of_another_version_are_seen(lab: Lab) -> None:
    assert (await found_of(lab, "crds")).severity is Severity.OK
    crd = await lab.kube.get(CRDS, "sessions.cks.io")
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["priority"]
    await lab.kube.replace(CRDS, crd)
    found = await found_of(lab, "crds")
    assert found.severity is Severity.WARNING
    assert found.found.startswith("sessions.cks.io was changed by hand")
    await lab.kube.patch(CRDS, "pools.cks.io", {"metadata": {"labels": {SCHEMA_LABEL: str(SCHEMA - 1)}}})
    found = await found_of(lab, "crds")
    assert found.severity is Severity.ERROR
    assert found.found.startswith("pools.cks.io has schema")


async def test_kinds_that_are_too_old_keep_other_commands_out_and_not_the_doctor(lab: Lab, command: Command) -> None:
    await lab.kube.patch(CRDS, "pools.cks.io", {"metadata": {"labels": {SCHEMA_LABEL: str(SCHEMA - 1)}}})
    said = await command("status")
    assert said.status == 2
    assert "kubectl apply -k deployments/crds" in said.line
    found = {one.name: one.verdict for one in await examine_host(HERE, 20)}
    assert found["crds"].severity is Severity.ERROR
    assert found["kubeconfig"].severity is Severity.OK


class TestRights:
    async def test_the_worker_has_all_that_the_files_grant_it(self, lab: Lab, tmp_path: Path) -> None:
        await install(lab.kube)
        path = await kubeconfig_of(ACCOUNT, lab.kube, given(), tmp_path / "worker")
        async with opened(Settings(kubeconfig=path)) as host:
            await in_force(host.kube)
            found = await look_rights(host)
        assert isinstance(found, Rights)
        assert found.user == "system:serviceaccount:cks-pool:cks-pool"
        assert found.missing == []
        assert found.needed > 50

    async def test_what_the_worker_may_not_look_at_is_what_the_page_says(self, lab: Lab, tmp_path: Path) -> None:
        await install(lab.kube)
        for operator in (KUBEVIRT, CDI):
            await lab.kube.create(CRDS, of_operator(operator))
        path = await kubeconfig_of(ACCOUNT, lab.kube, given(), tmp_path / "worker")
        async with opened(Settings(kubeconfig=path)) as host:
            await in_force(host.kube)
            found = await carried_out(OF_HOST, host, 10)
        refused = [f"`{one.name}`" for one in found if "this identity may not look" in one.verdict.found]
        page = (ROOT / "docs" / "install.md").read_text()
        assert f"{', '.join(refused[:-1])} and {refused[-1]}" in page

    async def test_who_has_none_is_told_what_is_lacking(self, lab: Lab, tmp_path: Path) -> None:
        await install(lab.kube)
        path = await kubeconfig_of("default", lab.kube, given(), tmp_path / "nobody")
        async with opened(Settings(kubeconfig=path)) as host:
            with pytest.raises(Forbidden):
                await look_rights(host)

    def test_what_is_needed_is_in_the_namespaces_of_this_installation(self) -> None:
        manifests = list(yaml.safe_load_all(GRANTED.read_text()))
        settings = Settings(namespace="labs", templates_namespace="images")
        without, within = needed(manifests, settings, None), needed(manifests, settings, "lab1")
        assert {right.namespace for right in without} == {"", "labs", "images"}
        assert {right.namespace for right in within} - {right.namespace for right in without} == {"lab1"}
        assert "get configmaps in labs" in {str(right) for right in without}
        assert "bind clusterroles.rbac.authorization.k8s.io cks-pool-cluster" in {str(right) for right in without}

    def test_the_worker_without_one_cannot_work(self) -> None:
        rights = needed(list(yaml.safe_load_all(GRANTED.read_text())), Settings(), None)
        verdict = judge_rights(Rights("system:serviceaccount:cks-pool:cks-pool", len(rights), rights))
        assert verdict.severity is Severity.ERROR


def given() -> Path:
    return Path(os.environ["CKS_POOL_KUBECONFIG"])


class TestStorage:
    async def test_a_class_that_was_proved_is_told_from_one_that_was_not(self, lab: Lab) -> None:
        assert "not proved yet" in (await found_of(lab, "storage")).found
        (storage,) = await look_storage(host_of(lab))
        found = await lab.kube.get(STORAGE_CLASSES, storage.storage_class)
        await lab.kube.create(NAMESPACES, NAMESPACES.manifest(lab.settings.templates_namespace))
        proved = {storage.storage_class: found["metadata"]["uid"]}
        await lab.kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest(PROVED, lab.settings.templates_namespace, data=proved))
        assert "is proved" in (await found_of(lab, "storage")).found

    async def test_a_pool_without_a_class_says_which_one_it_names(self, lab: Lab) -> None:
        await lab.kube.patch(POOLS, "default", {"spec": {"machines": {"storageClass": "lost"}}}, lab.settings.namespace)
        found = await found_of(lab, "storage")
        assert found.severity is Severity.ERROR
        assert "expected lost" in found.found
        assert "spec.machines.storageClass" in found.cure

    async def test_an_image_is_told_as_cdi_tells_it(self, lab: Lab) -> None:
        assert "not imported yet" in (await found_of(lab, "golden-image")).found
        pool: Pool = await lab.state.pool()
        namespace = lab.settings.templates_namespace
        await lab.kube.create(NAMESPACES, NAMESPACES.manifest(namespace))
        spec = {"source": {"registry": {"url": pool.spec.image.url}}, "storage": {}}
        name = wanted_image(pool).disk
        made = await lab.kube.create(DATA_VOLUMES, DATA_VOLUMES.manifest(name, namespace, spec=spec))
        made["status"] = {"phase": "ImportInProgress", "progress": "12.00%"}
        await lab.kube.replace(DATA_VOLUMES, made, subresource="status")
        (image,) = await look_images(host_of(lab))
        assert (image.phase, image.progress) == ("ImportInProgress", "12.00%")
