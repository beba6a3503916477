"""What every model is built of: times, names, bounded numbers, and immutable models with camelCase JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from pool.core.quantities import PATTERN

MAX_TTL_SECONDS = 7 * 24 * 3600
MIN_TTL_SECONDS = 60
DNS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""A DNS subdomain, as most objects are named."""


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def rfc3339(value: datetime) -> str:
    """The time as Kubernetes writes it, `2026-01-31T12:00:00Z`, with microseconds only where there are any."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


Time = Annotated[AwareDatetime, AfterValidator(_utc), PlainSerializer(rfc3339, when_used="json")]

# Without words of their own, which would take the place of a field's.
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
ClusterCount = Annotated[int, Field(ge=0, le=500)]

ClusterId = Annotated[
    DnsLabel, Field(description="A DNS label of at most 40 characters: small letters, digits, dashes.")
]
SessionId = Annotated[
    str,
    Field(
        pattern=DNS_NAME,
        max_length=253,
        description="A DNS subdomain: small letters, digits, dashes and dots.",
    ),
]
PoolName = Annotated[
    DnsLabel, Field(description="A DNS label of at most 40 characters: small letters, digits, dashes.")
]
PoolSize = Annotated[ClusterCount, Field(description="Number of clusters, 0 to 500.")]
TtlSeconds = Annotated[int, Field(ge=MIN_TTL_SECONDS, le=MAX_TTL_SECONDS, description="Time to live in seconds.")]
HeartbeatTimeout = Annotated[
    int, Field(ge=60, le=86400, description="Seconds without a sign of life after which the session ends; 60 to 86400.")
]
Quantity = Annotated[str, Field(pattern=f"^{PATTERN}$", max_length=32)]
Priority = Annotated[int, Field(ge=-100, le=100)]
Count = Annotated[int, Field(ge=0)]


class Model(BaseModel):
    """camelCase in JSON, snake_case in Python; immutable, changed by `changed()`.

    Fields of a newer version are kept and given back as they came.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True, frozen=True, extra="allow"
    )

    def changed(self, **fields: Any) -> Self:
        """A validated copy with these fields (Python names) replaced."""
        values = {name: getattr(self, name) for name in self.__class__.model_fields}
        unknown = fields.keys() - values.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        return self.__class__.model_validate((self.model_extra or {}) | values | fields)
