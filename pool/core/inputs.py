"""Arguments checked before anything is touched: what is accepted, and what the refusal says."""

from __future__ import annotations

from datetime import timedelta

from pydantic import TypeAdapter, ValidationError

from pool.core.errors import InvalidInput
from pool.core.fields import (
    MAX_TTL_SECONDS,
    MIN_TTL_SECONDS,
    ClusterId,
    HeartbeatTimeout,
    PoolName,
    PoolSize,
    Priority,
    SessionId,
)
from pool.core.pools import SessionTimes

_CLUSTER_ID: TypeAdapter[str] = TypeAdapter(ClusterId)
_SESSION_ID: TypeAdapter[str] = TypeAdapter(SessionId)
_POOL_NAME: TypeAdapter[str] = TypeAdapter(PoolName)
_POOL_SIZE: TypeAdapter[int] = TypeAdapter(PoolSize)
_PRIORITY: TypeAdapter[int] = TypeAdapter(Priority)
_HEARTBEAT_TIMEOUT: TypeAdapter[int] = TypeAdapter(HeartbeatTimeout)


def cluster_id(value: str) -> str:
    """The value, if it is a cluster's name. Raises InvalidInput."""
    return _checked(
        _CLUSTER_ID, value, "cluster name", "a DNS label of at most 40 characters", "use letters a-z, digits and dashes"
    )


def pool_name(value: str) -> str:
    """The value, if it is a Pool's name. Raises InvalidInput."""
    return _checked(
        _POOL_NAME, value, "pool name", "a DNS label of at most 40 characters", "use letters a-z, digits and dashes"
    )


def pool_size(value: int) -> int:
    """The value, if a Pool may have so many clusters. Raises InvalidInput."""
    try:
        return _POOL_SIZE.validate_python(value)
    except ValidationError:
        raise InvalidInput("pool size", expected="0 to 500 clusters", actual=value, cure="make another Pool") from None


def session_id(value: str) -> str:
    """The value, if it is a session's ID. Raises InvalidInput."""
    return _checked(
        _SESSION_ID, value, "session ID", "a DNS name of at most 253 characters", "use letters a-z, digits and dashes"
    )


def priority(value: int) -> int:
    """The value, if it is a priority. Raises InvalidInput."""
    try:
        return _PRIORITY.validate_python(value)
    except ValidationError:
        raise InvalidInput("priority", expected="-100 to 100", actual=value, cure="0 is normal") from None


def heartbeat_timeout(value: int | None) -> int | None:
    """The value, if it is a time without heartbeats that a session may promise. Raises InvalidInput."""
    try:
        return None if value is None else _HEARTBEAT_TIMEOUT.validate_python(value)
    except ValidationError:
        raise InvalidInput(
            "heartbeat timeout", expected="60 s to a day", actual=f"{value} s", cure="leave it out to expect none"
        ) from None


def time_to_live(asked: int | None, times: SessionTimes) -> timedelta:
    """What a session gets: what it asked for, the default if nothing, at most the pool's maximum.

    Raises InvalidInput for less than a minute.
    """
    if asked is not None and asked < MIN_TTL_SECONDS:
        raise InvalidInput(
            "time to live", expected=f"at least {MIN_TTL_SECONDS} s", actual=f"{asked} s", cure="ask for more"
        )
    return timedelta(seconds=min(asked or times.ttl_seconds, times.max_ttl_seconds))


def stored_ttl(asked: int | None) -> int | None:
    """The time to live as a Session's spec has it: cut to what any Pool allows; its own Pool cuts it further."""
    return None if asked is None else min(asked, MAX_TTL_SECONDS)


def _checked(adapter: TypeAdapter[str], value: str, what: str, expected: str, cure: str) -> str:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        raise InvalidInput(what, expected=expected, actual=repr(value), cure=cure) from None
