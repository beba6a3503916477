"""What a process takes from its environment, and what it refuses with the cure."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pool.core.errors import InvalidInput
from pool.core.pools import PoolSpec
from pool.core.settings import MOVED, Settings, settings_from_environment
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


@pytest.mark.parametrize("name", [f"CKS_POOL_{name.upper()}" for name in (*Settings.model_fields, "size", "no_such")])
def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = settings_from_environment()
    monkeypatch.setenv(name, "")
    assert settings_from_environment() == before


def test_a_value_that_cannot_be_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKS_POOL_BOOT_TIMEOUT", "soon")
    with pytest.raises(InvalidInput, match=r"setting CKS_POOL_BOOT_TIMEOUT: .*'soon'"):
        settings_from_environment()


@pytest.mark.parametrize("value", ["inf", "nan", "0", "-1"])
def test_a_time_that_never_comes_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CKS_POOL_OPERATION_GRACE", value)
    with pytest.raises(InvalidInput, match="CKS_POOL_OPERATION_GRACE"):
        settings_from_environment()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"OPERATION_HEARTBEAT": "60", "OPERATION_GRACE": "10"}, id="always dead"),
        pytest.param({"OPERATION_HEARTBEAT": "10", "OPERATION_GRACE": "15"}, id="dead after one that is lost"),
        pytest.param({"REQUEST_TIMEOUT": "50", "OPERATION_GRACE": "60"}, id="dead after one that hangs"),
        pytest.param({"GOLDEN_STOP_GRACE": "180", "STOP_TIMEOUT": "180"}, id="no time to shut down"),
        pytest.param({"NAMESPACE": "labs", "TEMPLATES_NAMESPACE": "labs"}, id="one namespace for two things"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_by_both_names(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str]
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"CKS_POOL_{name}", value)
    with pytest.raises(InvalidInput) as raised:
        settings_from_environment()
    for name in values:
        assert f"CKS_POOL_{name}" in raised.value.what
    assert all(value in raised.value.actual for value in values.values())
    assert "by default" in raised.value.cure


def test_one_that_contradicts_a_default_is_refused_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKS_POOL_OPERATION_GRACE", "12")
    with pytest.raises(InvalidInput, match=r"CKS_POOL_OPERATION_HEARTBEAT.*CKS_POOL_OPERATION_GRACE"):
        settings_from_environment()


@pytest.mark.parametrize(
    "values",
    [{"OPERATION_HEARTBEAT": "5", "OPERATION_GRACE": "20"}, {"GOLDEN_STOP_GRACE": "179"}, {"STOP_TIMEOUT": "121"}],
)
def test_others_are_not(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"CKS_POOL_{name}", value)
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
