"""The resources, the platform's JSON contract, field for field, and the settings."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from pool.core import inputs
from pool.core.clusters import PooledCluster
from pool.core.contract import ClusterPool, ClusterPoolStats, SessionLease
from pool.core.errors import (
    ApiUnavailable,
    Conflict,
    Forbidden,
    IllegalTransition,
    InvalidInput,
    NamespaceNotOurs,
    NoClusterAvailable,
    NotFound,
    PoolError,
    VMFailed,
    WaitTimeout,
    is_transient,
)
from pool.core.fields import rfc3339
from pool.core.pools import SessionTimes
from pool.core.settings import Settings
from tests.pool.builders import T0, active, at, cluster

LOCKED = cluster("cluster1", "locked", assigned_session="alice", last_reset=at(-60), created_at=at(-9000))


def test_a_clusters_contract_has_exactly_the_platforms_fields() -> None:
    contract = ClusterPool.of(LOCKED).model_dump(mode="json", by_alias=True)
    assert contract == {
        "clusterId": "cluster1",
        "namespace": "cluster1",
        "status": "locked",
        "assignedSession": "alice",
        "lockTime": "2026-05-04T12:00:00Z",
        "lastReset": "2026-05-04T11:59:00Z",
        "controlPlaneVM": None,
        "workerNodeVM": None,
        "createdAt": "2026-05-04T09:30:00Z",
        "lastHealthCheck": "2026-05-04T12:00:00Z",
    }


def test_optional_fields_of_the_contract_are_left_out_when_there_is_nothing_to_say() -> None:
    contract = ClusterPool.of(cluster("cluster1")).model_dump(mode="json", by_alias=True)
    assert "assignedSession" not in contract
    assert "lockTime" not in contract
    assert contract["lastReset"] is None


def test_statistics_add_up_and_name_every_phase() -> None:
    pool = [cluster("a"), cluster("b"), cluster("c", "error"), LOCKED]
    stats = ClusterPoolStats.of(pool).model_dump(mode="json", by_alias=True)
    counts = {key: value for key, value in stats.items() if key not in ("totalClusters", "statusByCluster")}
    assert counts == {
        "creatingClusters": 0,
        "availableClusters": 2,
        "lockedClusters": 1,
        "resettingClusters": 0,
        "errorClusters": 1,
    }
    assert sum(counts.values()) == stats["totalClusters"] == 4
    assert stats["statusByCluster"] == {"a": "available", "b": "available", "c": "error", "cluster1": "locked"}


def test_a_sessions_contract_says_which_cluster_since_when() -> None:
    contract = SessionLease.of(active("alice", "cluster1")).model_dump(mode="json", by_alias=True)
    assert contract["assignedCluster"] == "cluster1"
    assert contract["clusterLockTime"] == "2026-05-04T12:00:00Z"


def test_objects_come_back_as_they_went_with_metadata_untouched() -> None:
    obj = LOCKED.to_object() | {
        "metadata": {"name": "cluster1", "annotations": {"note": "mine"}, "resourceVersion": "7"}
    }
    again = PooledCluster.from_object(copy.deepcopy(obj))
    assert again.to_object() == obj
    assert PooledCluster.from_object(again.to_object()) == again


def test_an_object_of_another_version_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidInput, match=r"PooledCluster c1 cannot be read.*status.phase"):
        PooledCluster.from_object({"metadata": {"name": "c1"}, "spec": {"namespace": "c1"}, "status": {"phase": "odd"}})


def test_times_are_utc_and_need_a_zone() -> None:
    berlin = datetime(2026, 5, 4, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(berlin) == rfc3339(T0) == "2026-05-04T12:00:00Z"
    with pytest.raises(ValidationError):
        LOCKED.with_status(lock_time=datetime(2026, 5, 4))  # noqa: DTZ001 - the point of the test


def test_changed_refuses_fields_that_do_not_exist() -> None:
    with pytest.raises(TypeError, match="assigned_sesion"):
        LOCKED.with_status(assigned_sesion="typo")


@pytest.mark.parametrize("name", ["", "Cluster1", "a_b", "-a", "a" * 41, "a.b", "ü"])
def test_bad_cluster_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cluster name: expected a DNS label"):
        inputs.cluster_id(name)


@pytest.mark.parametrize("name", ["", "Alice", "a..b", "a" * 254, "a/b"])
def test_bad_session_ids_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="session ID"):
        inputs.session_id(name)


@pytest.mark.parametrize(("asked", "given"), [(None, 3600), (60, 60), (7200, 7200), (10**6, 28800)])
def test_time_to_live_is_the_default_or_what_was_asked_up_to_the_maximum(asked: int | None, given: int) -> None:
    assert inputs.time_to_live(asked, SessionTimes()) == timedelta(seconds=given)


def test_time_to_live_of_less_than_a_minute_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 60 s"):
        inputs.time_to_live(59, SessionTimes())


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


ERRORS = [
    PoolError("it", expected="a", actual="b", cure="c"),
    InvalidInput("name", expected="a DNS label", actual="'X'", cure="use small letters"),
    NoClusterAvailable("s", {"available": 0, "locked": 3}, datetime(2026, 5, 4, tzinfo=UTC)),
    IllegalTransition("c1", expected="available", actual="error"),
    NamespaceNotOurs("prod", "2 deployments"),
    VMFailed("cp-c1", reason="Unschedulable", actual="no node fits"),
    WaitTimeout("VM runs", "Starting", 30),
    ApiUnavailable(503, "ServiceUnavailable", "try later"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_are_one_line_and_travel(error: PoolError) -> None:
    travelled = pickle.loads(pickle.dumps(error))
    assert str(travelled) == str(error)
    assert vars(travelled) == vars(error)
    assert "\n" not in str(error)
    assert isinstance(error, PoolError)


def test_an_error_says_what_was_expected_what_was_found_and_the_cure() -> None:
    assert str(ERRORS[0]) == "it: expected a, got b; c"
    assert isinstance(ERRORS[1], ValueError)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ApiUnavailable(429, "TooManyRequests", "slow down"), True),
        (Conflict(409, "Conflict", "changed"), True),
        (TimeoutError(), True),
        (NotFound(404, "NotFound", "gone"), False),
        (Forbidden(403, "Forbidden", "no right"), False),
        (WaitTimeout("it", "that", 1), False),
        (InvalidInput("it"), False),
    ],
)
def test_only_what_can_pass_is_tried_again(error: BaseException, transient: bool) -> None:
    assert is_transient(error) is transient
