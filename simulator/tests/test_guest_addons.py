"""kubectl apply in a guest: what it makes of files, and what it says of what it cannot apply."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from simulator.api.errors import ApiError
from simulator.client import GVR, Client, Obj
from simulator.client.resources import DAEMON_SETS
from tests.guest_bench import INIT, Bench, Guest, bench, stepwise

WIDGETS = GVR("lab.example", "v1", "widgets")
WIDGET = {"apiVersion": "lab.example/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "default"}}
CONFIG_MAPS = GVR("", "v1", "configmaps")


def definition(text: str = "short") -> Obj:
    schema = {"type": "object", "description": text}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": "lab.example", "names": names, "scope": "Namespaced", "versions": [version]}
    meta = {"name": "widgets.lab.example"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta, "spec": spec}


def config_map(name: str, **more: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}, **more}


def files(**of: list[Obj] | str) -> dict[str, str]:
    """Files of manifests, by their names."""
    return {
        f"/etc/lab/{name.replace('__', '/')}.yaml": one
        if isinstance(one, str)
        else yaml.dump_all(one, Dumper=yaml.CSafeDumper)
        for name, one in of.items()
    }


def applying(on: Bench, manifests: dict[str, str], command: str) -> Guest:
    return on.guest(stepwise({"60-cluster": INIT, "80-addons": f"{command}\n"}, manifests))


async def there(client: Client, gvr: GVR, name: str) -> bool:
    try:
        await client.get(gvr, name, "default")
    except ApiError:
        return False
    return True


@pytest.mark.parametrize("how", ["--server-side --force-conflicts --filename", "--filename", "-f"])
async def test_the_objects_of_files_and_folders_are_there_and_applying_them_again_is_fine(how: str) -> None:
    manifests = files(
        more__a=[config_map("a"), {"apiVersion": "v1", "kind": "List", "items": [config_map("b")]}],
        one=[config_map("c")],
    )
    async with bench() as on:
        guest = applying(
            on,
            manifests,
            f"kubectl apply {how} /etc/lab/more/\nfor _ in 1 2; do kubectl apply {how} /etc/lab/one.yaml; done",
        )
        await guest.prints("boot: done")
        for name in ("a", "b", "c"):
            assert await there(guest.api, CONFIG_MAPS, name)


async def test_a_kind_and_its_object_in_one_go_fail_once_and_hold_when_tried_again() -> None:
    async with bench() as on:
        guest = applying(
            on, files(one=[definition(), WIDGET]), "kubectl apply --server-side --filename /etc/lab/one.yaml"
        )
        await guest.prints(
            "80-addons: failed: kubectl apply: Error from server (NotFound): the server could not find the requested"
        )
        await guest.prints("boot: done")
        assert await there(guest.api, WIDGETS, "w")


async def test_a_large_definition_can_only_be_applied_by_the_server() -> None:
    manifests = files(one=[definition("x" * 300_000)])
    async with bench() as on:
        guest = applying(on, manifests, "kubectl apply --filename /etc/lab/one.yaml")
        await guest.prints(
            '80-addons: failed: kubectl apply: The CustomResourceDefinition "widgets.lab.example" is invalid: '
            "metadata.annotations: Too long: may not be more than 262144 bytes"
        )
    async with bench() as on:
        await applying(on, manifests, "kubectl apply --server-side --filename /etc/lab/one.yaml").prints("boot: done")


@pytest.mark.parametrize(
    ("manifests", "said"),
    [
        (
            files(one=[WIDGET]),
            'resource mapping not found for name: "w" namespace: "default" from "/etc/lab/one.yaml": ',
        ),
        (files(one=[config_map("A_B")]), 'The ConfigMap "A_B" is invalid: metadata.name: Invalid value: "A_B"'),
        (files(one=[config_map("a", spec={})]), "Error from server (InternalError): failed to create typed patch"),
        (
            files(one=[{**config_map("a"), "metadata": {"name": "a", "namespace": "gone"}}]),
            'Error from server (NotFound): namespaces "gone" not found',
        ),
        (files(one="a: [\n"), "error: error parsing /etc/lab/one.yaml: error converting YAML to JSON: "),
        (files(one="a: b\n"), 'error: error validating "/etc/lab/one.yaml"'),
        ({}, 'error: the path "/etc/lab/one.yaml" does not exist'),
    ],
)
async def test_what_cannot_be_applied_is_said_in_kubectls_words(manifests: dict[str, str], said: str) -> None:
    async with bench() as on:
        guest = applying(on, manifests, "kubectl apply --server-side --filename /etc/lab/one.yaml")
        await guest.prints(f"80-addons: failed: kubectl apply: {said}")


async def test_what_an_image_brings_is_taken_for_a_network_plugin() -> None:
    async with bench() as on:
        guest = applying(on, {}, "kubectl apply --filename /opt/lab/addons/")
        await guest.prints("boot: done")
        assert len(await guest.api.list(DAEMON_SETS)) == 1


async def test_without_an_api_server_nothing_is_applied() -> None:
    async with bench() as on:
        guest = on.guest(stepwise({"10-early": "kubectl apply -f /etc/lab/kubeadm.yaml\n", "60-cluster": INIT}))
        await guest.prints("10-early: failed: kubectl apply: The connection to the server was refused")
