"""The way to the host: which server, as whom; and its clock against this machine's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from cks_pool.doctor.checking import Check
from cks_pool.doctor.findings import Verdict, ok, warning
from cks_pool.formats import short
from pool.kube.client import WORTH_SAYING, Kube
from pool.work.steps import Host

OLDEST = (1, 30)
"""Validating admission policies are stable from this version on, and they hold the worker to its own."""
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass(frozen=True)
class Connection:
    """`version` as (major, minor); `user` is empty where the server does not tell."""

    server: str
    version: tuple[int, int]
    user: str


async def identity(kube: Kube) -> str:
    """Who the server takes us for."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    found = await kube.request("POST", REVIEW, None, body)
    return str(((found.get("status") or {}).get("userInfo") or {}).get("username") or "")


async def look_connection(host: Host) -> Connection:
    """Which server answers, and as whom."""
    version = await host.kube.request("GET", "/version")
    numbers = ("".join(filter(str.isdigit, str(version.get(part, "")))) or "0" for part in ("major", "minor"))
    major, minor = (int(number) for number in numbers)
    return Connection(host.kube.server, (major, minor), await identity(host.kube))


def judge_connection(found: Connection) -> Verdict:
    """Whether it is a Kubernetes that the pool's policies work on."""
    major, minor = found.version
    text = f"{found.server}, Kubernetes {major}.{minor}, as {found.user or 'somebody'}"
    if found.version < OLDEST:
        return warning(text, f"use Kubernetes {OLDEST[0]}.{OLDEST[1]} or newer: older ones have no admission policies")
    return ok(text)


async def look_clock(host: Host) -> timedelta:
    """How far the host's clock is ahead of this machine's."""
    return host.kube.ahead


def judge_clock(ahead: timedelta) -> Verdict:
    """The host's clock decides; this machine's makes logs hard to read, and TLS fail when it is days off."""
    if abs(ahead) <= WORTH_SAYING:
        return ok(f"this machine and the host agree within {WORTH_SAYING.total_seconds():g} s")
    side = "behind" if ahead > timedelta() else "ahead of"
    return warning(f"this machine is {short(abs(ahead))} {side} the host", "have NTP set this machine's clock")


CHECKS = (Check("kubeconfig", look_connection, judge_connection), Check("clock", look_clock, judge_clock))
