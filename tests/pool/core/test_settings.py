"""What a process takes from its environment, and what it refuses with the cure."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pool.core.errors import InvalidInput
from pool.core.pools import PoolSpec
from pool.core.settings import MOVED, settings_from_environment
from tests.pool import builders


@pytest.mark.parametrize("name", [f"CKS_POOL_{name}" for name in MOVED])
def test_what_is_in_the_pool_by_now_is_refused_with_its_new_place(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    with pytest.raises(InvalidInput) as raised:
        settings_from_environment()
    assert name in raised.value.what
    place = MOVED[name.removeprefix("CKS_POOL_")]
    assert f"spec.{place} of the Pool; unset it and run kubectl edit pool default" in raised.value.cure


@pytest.mark.parametrize("place", MOVED.values())
def test_the_places_that_are_named_are_a_pools(place: str) -> None:
    pool = builders.pool(machines={"storage_class": "fast"}).to_object()["spec"]
    for part in place.split("."):
        pool = pool[part]


@pytest.mark.parametrize(
    "name", ["CKS_POOL_SIZE", "CKS_POOL_KUBECONFIG", "CKS_POOL_NAMESPACE", "CKS_POOL_BOOT_TIMEOUT", "CKS_POOL_NO_SUCH"]
)
def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = settings_from_environment()
    monkeypatch.setenv(name, "")
    assert settings_from_environment() == before


def test_a_value_that_cannot_be_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKS_POOL_BOOT_TIMEOUT", "soon")
    with pytest.raises(InvalidInput, match=r"setting CKS_POOL_BOOT_TIMEOUT: .*'soon'"):
        settings_from_environment()


def test_a_variable_that_is_read_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKS_POOL_BOOT_TIMOUT", "900")
    with pytest.raises(InvalidInput, match=r"CKS_POOL_BOOT_TIMOUT.*means nothing"):
        settings_from_environment()


@pytest.mark.parametrize(
    "name",
    [
        "CKS_POOL_SERVICE_HOST",
        "CKS_POOL_SERVICE_PORT",
        "CKS_POOL_SERVICE_PORT_HTTP",
        "CKS_POOL_PORT",
        "CKS_POOL_PORT_80_TCP",
        "CKS_POOL_PORT_80_TCP_ADDR",
        "CKS_POOL_GATEWAY_SERVICE_HOST",
        "CKS_POOL_GATEWAY_PORT_443_TCP_PROTO",
    ],
)
def test_what_kubernetes_says_of_services_is_no_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    settings_from_environment()


@pytest.mark.parametrize("size", [-1, 501, "many"])
def test_a_pool_refuses_a_size_out_of_bounds(size: object) -> None:
    with pytest.raises(ValidationError):
        PoolSpec.model_validate({"size": size})
