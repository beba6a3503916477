"""What can go wrong, as one tree; every error says what was expected, what was found, and the cure.

    PoolError
     ├ InvalidInput            a name, size or time to live that cannot be (also a ValueError)
     ├ UnknownPool             there are no clusters at all: nothing was bootstrapped here
     ├ UnknownCluster          no PooledCluster of that name
     ├ UnknownSession          no Session of that name
     ├ NoClusterAvailable      clusters exist, none is free
     ├ IllegalTransition       the lifecycle has no such edge
     ├ NotHolder               wrong session, or an epoch that is over
     ├ OperationInProgress     another run works on the cluster, and lives
     ├ StaleOperation          this run was overtaken; it may change nothing
     ├ NotOurs                 an object carries another pool's identity, or none; it is not touched
     │  ├ NamespaceNotOurs     the namespace belongs to somebody else
     │  └ FormerCluster        it is left of an earlier cluster of this name
     ├ SnapshotError
     │  ├ SnapshotMissing
     │  ├ SnapshotNotReady
     │  └ SnapshotFailed
     ├ RestoreFailed
     ├ AddonsUnusable          what a Pool's clusters are to be prepared with is missing, or cannot be used
     ├ VMFailed                a VM that will not come up by waiting
     ├ GuestUnhealthy          the guest cluster answers, but is not healthy
     ├ AttestationFailed       a cluster that cannot be proved clean and healthy
     ├ WaitTimeout             what was waited for did not happen in time
     ├ WrongVersion            what is installed on the host is of another version than this program needs
     ├ KubeconfigError         the connection to the host cluster cannot be set up
     └ ApiError                the Kubernetes API said no
        ├ ApiUnavailable       no answer, or one that may be different soon (429, 5xx, a 401 after it was let in)
        ├ Conflict             409: somebody else wrote first
        ├ AlreadyExists        409: the name is taken
        ├ NotFound             404
        ├ Invalid              400, 422
        └ Forbidden            401, 403

Errors of the client library are translated into these once, in `pool.kube`, with the cause chained. An outage is
always `ApiUnavailable`; it never reads as "nothing there".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


class PoolError(Exception):
    """Something the pool could not do.

    `what` is the matter in a few words; `expected`, `actual` and `cure` may be empty where there is nothing to say.
    As text it is one line: "what: expected ..., got ...; cure".
    """

    def __init__(self, what: str, *, expected: object = "", actual: object = "", cure: str = "") -> None:
        self.what = what
        self.expected = str(expected)
        self.actual = str(actual)
        self.cure = cure
        super().__init__(what)

    def __str__(self) -> str:
        facts = [f"expected {self.expected}"] if self.expected else []
        facts += [f"got {self.actual}"] if self.actual else []
        line = f"{self.what}: {', '.join(facts)}" if facts else self.what
        return " ".join((f"{line}; {self.cure}" if self.cure else line).split())

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by attributes: the constructors of the tree differ, their attributes say everything."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[PoolError], args: tuple[Any, ...], attributes: dict[str, Any]) -> PoolError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


class InvalidInput(PoolError, ValueError):
    """An argument that cannot be, whatever the pool's state: names, sizes, times to live."""


class UnknownPool(PoolError):
    """The pool's namespace holds no clusters at all, which is something else than none being free."""


class UnknownCluster(PoolError):
    """There is no PooledCluster of that name."""


class UnknownSession(PoolError):
    """There is no Session of that name."""


class NoClusterAvailable(PoolError):
    """Clusters exist, none is free.

    `counts` says how many clusters are in which phase (all phases, zeros too); `expected_at` is when one is expected
    to become available, None if nothing is under way.
    """

    def __init__(self, session: str, counts: Mapping[str, int], expected_at: datetime | None = None) -> None:
        self.session = session
        self.counts = {str(phase): count for phase, count in counts.items()}
        self.expected_at = expected_at
        seen = ", ".join(f"{count} {phase}" for phase, count in self.counts.items() if count)
        soon = f"one is expected at {expected_at:%H:%M:%S} UTC; " if expected_at else ""
        super().__init__(
            f"no cluster for session {session}",
            expected="an available cluster",
            actual=seen or "no clusters",
            cure=f"{soon}wait in the queue (wait_seconds) or try later",
        )


class IllegalTransition(PoolError):
    """The lifecycle has no such edge. `expected` names the phases from which it would be legal, or the edge."""


class NotHolder(PoolError):
    """The caller does not hold the cluster: another session does, or its epoch is over. Nothing was changed."""


class OperationInProgress(PoolError):
    """Another run works on the cluster and its heartbeat is fresh. Nothing was changed."""


class StaleOperation(PoolError):
    """This run no longer owns the cluster's operation: it was overtaken, or it ended. Nothing was changed."""


class Silenced(StaleOperation):
    """This run could not say for the length of the grace that it lives: it may be overtaken any moment, so it stops."""


class NotOurs(PoolError):
    """An object carries the identity of another pool, or none. Nothing was changed."""


class NamespaceNotOurs(NotOurs):
    """The namespace is another pool's, the system's, or holds what is not the pool's. `found` says what."""

    def __init__(self, namespace: str, found: str, *, cure: str = "") -> None:
        self.namespace = namespace
        self.found = found
        super().__init__(
            f"namespace {namespace} is not the pool's",
            expected="a namespace labelled for this pool, or an empty one",
            actual=found,
            cure=cure or "choose another spec.clusterPrefix for the Pool, or remove what is in it",
        )


class FormerCluster(NotOurs):
    """An object is left of an earlier PooledCluster of this name, so a learner may have used it: not to be adopted.

    Whoever makes the cluster removes it first.
    """


class SnapshotError(PoolError):
    """A golden snapshot that cannot be used."""


class SnapshotMissing(SnapshotError):
    """The snapshot does not exist (any more)."""


class SnapshotNotReady(SnapshotError):
    """The snapshot exists and is not usable yet: not `readyToUse`."""


class SnapshotFailed(SnapshotError):
    """The snapshot failed, or does not include what it must."""


class RestoreFailed(PoolError):
    """A VirtualMachineRestore failed, or its result is not what it says."""


class AddonsUnusable(PoolError):
    """The ConfigMap of a Pool's add-ons is missing, too large, or holds what nothing is done with."""


class VMFailed(PoolError):
    """A VM that will not come up by waiting. `reason` is one CamelCase word (Unschedulable, ImagePull, ...)."""

    def __init__(self, what: str, *, reason: str, expected: object = "", actual: object = "", cure: str = "") -> None:
        self.reason = reason
        super().__init__(what, expected=expected, actual=actual, cure=cure)


class GuestUnhealthy(PoolError):
    """The guest cluster is not healthy: its API, a node, or a node's lease."""


class AttestationFailed(PoolError):
    """The cluster cannot be proved clean and healthy, so it does not become available."""


class WaitTimeout(PoolError):
    """What was waited for did not happen within `timeout` seconds; `last_seen` is what was there instead."""

    def __init__(self, what: str, last_seen: str, timeout: float) -> None:
        self.last_seen = last_seen
        self.timeout = timeout
        super().__init__(
            f"{what} within {timeout:g} s",
            expected="it to happen",
            actual=last_seen,
            cure="see what holds it up; if it only needs longer, raise its CKS_POOL_..._TIMEOUT (docs/settings.md)",
        )


class WrongVersion(PoolError):
    """Our kinds, as they are installed, are too old for this program, or too new; `cure` says which is to follow.

    With kinds that are too old, fields that it relies on would be pruned in silence.
    """


class KubeconfigError(PoolError):
    """No usable connection settings for the host cluster; `cure` says which file or variable to set."""


class ApiError(PoolError):
    """The Kubernetes API answered with an error. `status` is the HTTP code, 0 when there was no answer."""

    def __init__(self, status: int, reason: str, message: str, *, cure: str = "") -> None:
        self.status = status
        self.reason = reason
        self.message = message
        super().__init__(f"Kubernetes API: {message} ({reason}, {status})" if status else message, cure=cure)


class ApiUnavailable(ApiError):
    """No answer, or one that may be different soon: timeouts, refused connections, 429, 5xx."""


class Conflict(ApiError):
    """409 Conflict: the object changed since it was read, or a precondition does not hold."""


class AlreadyExists(ApiError):
    """409 AlreadyExists: the name is taken."""


class NotFound(ApiError):
    """404: no such object, or no such kind (its CRD is not installed)."""


class Invalid(ApiError):
    """400 or 422: the API server refuses the object as it is."""


class Forbidden(ApiError):
    """401 or 403: the pool's identity lacks the right."""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed when made again: outages, lost races, plain timeouts.

    A `WaitTimeout` is not: its deadline was the patience already, and the operation's attempts decide what follows.
    """
    return isinstance(error, ApiUnavailable | Conflict | TimeoutError | ConnectionError)
