"""Sessions over HTTP: thin calls of the pool's state."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from gateway import logs
from gateway.access.roles import Caller, Role, requires
from gateway.gateway import Gateway, TheGateway, TheHost
from gateway.keys import IdempotencyKey
from gateway.lists import MOST, Continue, Limit, Page, page_of
from gateway.problems import answers
from gateway.runs import Key, StartedRun
from gateway.sessions import examples
from gateway.sessions.events import follow_session
from gateway.sessions.holds import Hold, IfMatch, tag
from gateway.sessions.models import PatchedSession, ReleasedSession, SessionPatch, SessionRequest, SessionView
from gateway.streaming import STREAM, streamed
from pool.core.errors import NotHolder
from pool.core.fields import PoolName, SessionId
from pool.core.lifecycle import SessionPhase
from pool.core.pools import DEFAULT_POOL
from pool.core.sessions import Session
from pool.work.session_access import kubeconfig_of
from pool.work.steps import Host

router = APIRouter(prefix="/api/v1", tags=["sessions"])

User = Annotated[Caller, requires(Role.SESSION)]
Reader = Annotated[Caller, requires(Role.SESSION, Role.VIEWER)]
Id = Annotated[SessionId, InPath(alias="sessionId", examples=["alice-7f3a"])]

ASK_AGAIN = 5
"""Seconds after which who waits may look again, if it does not follow the events."""


@router.post(
    "/sessions",
    operation_id="requestSession",
    status_code=201,
    responses={**examples.REQUESTED, **answers(404, 409)},
)
async def request_session(
    asked: Annotated[SessionRequest, examples.REQUEST],
    response: Response,
    caller: User,
    gateway: TheGateway,
    host: TheHost,
    key: IdempotencyKey = None,
) -> SessionView:
    """Ask for a cluster. It never blocks.

    201: the session has one. 200: it had it already. 202: it waits, look again or follow its events. 409: none is free,
    and nobody waits. Asking again is always safe: it is the same cluster, and a longer wait. With the `Idempotency-Key`
    of a session that has ended it does not begin anew (409); without it, or with another, it does.
    """
    pool = asked.pool or caller.pool or DEFAULT_POOL
    caller.check_pool(pool)
    logs.note(session=asked.session_id, pool=pool)
    done = await host.state.request(
        asked.session_id,
        pool,
        ttl_seconds=asked.ttl_seconds,
        priority=asked.priority,
        wait_seconds=asked.wait_seconds,
        heartbeat_timeout_seconds=asked.heartbeat_timeout_seconds,
        key=key or "",
        of_its_pool=caller.pool is not None,
    )
    response.headers["Location"] = f"/api/v1/sessions/{asked.session_id}"
    if done.session.phase is SessionPhase.PENDING:
        response.status_code = 202
        response.headers["Retry-After"] = str(ASK_AGAIN)
    elif done.had:
        response.status_code = 200
    tag(response, done.session)
    return await told(gateway, done.session)


@router.get("/sessions", operation_id="listSessions", responses=answers())
async def list_sessions(
    caller: Reader,
    host: TheHost,
    pool: Annotated[PoolName | None, Query(description="Of this Pool only.")] = None,
    phase: Annotated[SessionPhase | None, Query(description="In this phase only.")] = None,
    limit: Limit = MOST,
    after: Continue = None,
) -> Page[SessionView]:
    """The sessions by ID, those that ended within the last day among them. Places in the queue are told one by one."""
    of = pool or caller.pool
    if of is not None:
        caller.check_pool(of)
    found = [one for one in await host.state.sessions(of) if phase in (None, one.phase)]
    part, more = page_of(found, lambda session: session.name, limit, after)
    return Page(items=[SessionView.told(session) for session in part], continue_=more)


@router.get("/sessions/{sessionId}", operation_id="getSession", responses={**examples.TOLD, **answers(404)})
async def get_session(
    session_id: Id, caller: Reader, gateway: TheGateway, host: TheHost, response: Response
) -> SessionView:
    """One session, as it is now."""
    session = await its(host, caller, session_id)
    tag(response, session)
    return await told(gateway, session)


@router.patch(
    "/sessions/{sessionId}", operation_id="changeSession", responses={**examples.TOLD, **answers(404, 409, 412)}
)
async def change_session(
    session_id: Id,
    patch: Annotated[SessionPatch, examples.PATCH],
    caller: User,
    host: TheHost,
    response: Response,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> PatchedSession:
    """Extend an active session, or say that its user is there.

    An extension is cut to the Pool's maximum, counted from the assignment. Made again with the key of one of the last
    eight, it adds nothing; give one, so that an answer that was lost does not extend twice.
    """
    if caller.pool is not None:
        await its(host, caller, session_id)
    logs.note(session=session_id)
    hold, extension = Hold.of(if_match), None
    with hold.kept():
        if patch.extend_seconds is None:
            now = await host.state.heartbeat_session(session_id, uid=hold.uid, epoch=hold.epoch)
        else:
            more = patch.extend_seconds
            extension = await host.state.extend(session_id, more, key=key, uid=hold.uid, epoch=hold.epoch)
            now = await host.state.session(session_id)
    tag(response, now)
    view = PatchedSession.told(now)
    return view if extension is None else view.changed(cut=extension.cut, message=extension.message)


@router.delete("/sessions/{sessionId}", operation_id="releaseSession", responses=answers(404, 409, 412))
async def release_session(
    session_id: Id, caller: User, host: TheHost, if_match: IfMatch = None, _key: IdempotencyKey = None
) -> ReleasedSession:
    """Give the cluster back. Its reset is started by the worker, within seconds.

    With `If-Match` only if the session is the one that its ETag named (412): a call that comes late ends no later life
    of it, nor what it holds since a reset in place. An `Idempotency-Key` does not see to that. Made again it gives the
    same answer until the reset begins, and then says that it holds none.
    """
    session = await its(host, caller, session_id)
    hold = Hold.of(if_match)
    with hold.kept():
        released = await host.state.release(session_id, uid=hold.uid, epoch=hold.epoch)
    logs.note(cluster=released.cluster_id)
    held = released.epoch if released.cluster_id else session.status.epoch
    return ReleasedSession(
        session_id=session_id, cluster_id=released.cluster_id, epoch=held, removing=released.removing
    )


@router.post(
    "/sessions/{sessionId}/reset",
    operation_id="resetSession",
    status_code=202,
    responses=answers(404, 409),
)
async def reset_session(
    session_id: Id, caller: User, gateway: TheGateway, host: TheHost, key: IdempotencyKey = None
) -> StartedRun:
    """Reset the session's cluster in place: it keeps it, clean, at a new epoch. A flow run of Prefect does it.

    It is for what the session holds now: a run that begins after another handover, or after another reset in place, is
    refused. 503 where Prefect does not answer: nothing is started then.
    """
    session = await its(host, caller, session_id)
    hold = {"cluster_id": held_by(session), "session_id": session_id, "epoch": session.status.epoch}
    mine = Key.of(key, caller.name, session.spec.pool, session.metadata.uid)
    return await gateway.the_runs().start("reset-cluster", hold, mine)


@router.get(
    "/sessions/{sessionId}/events",
    operation_id="followSession",
    response_class=StreamingResponse,
    responses={200: STREAM, **answers(404)},
)
async def follow(session_id: Id, caller: Reader, gateway: TheGateway, host: TheHost) -> StreamingResponse:
    """Follow a session, as server-sent events with the session as data.

    `queued` (again when its place changes), `assigned` (again after a reset in place, at a new epoch), `resetting`,
    `ending` (ten minutes before the end), `ended`, which is the last. The first event tells how it is now. `reconnect`
    is the last one of a gateway that stops, or after ten minutes: follow again.
    """
    session = await its(host, caller, session_id)
    return streamed(follow_session(gateway, host, session), gateway, caller)


@router.get(
    "/sessions/{sessionId}/kubeconfig",
    operation_id="getKubeconfig",
    response_class=Response,
    responses={**examples.KUBECONFIG, **answers(404, 409)},
)
async def get_kubeconfig(session_id: Id, caller: User, gateway: TheGateway, host: TheHost) -> Response:
    """A kubeconfig for the session's cluster, made now, as cluster admin under the session's own name.

    Its certificate ends with the session; ask again after an extension.
    """
    session = await its(host, caller, session_id)
    held_by(session)
    content = await kubeconfig_of(host, session, gateway.settings.kubeconfig_server)
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{session_id}.yaml"'}
    return Response(content, media_type="application/yaml", headers=headers)


async def its(host: Host, caller: Caller, session_id: str) -> Session:
    """The session, if it is the caller's business. Raises UnknownSession, NotAllowed."""
    session = await host.state.session(session_id)
    caller.check_pool(session.spec.pool)
    logs.note(session=session_id, pool=session.spec.pool, cluster=session.status.assigned_cluster)
    return session


def held_by(session: Session) -> str:
    """The cluster of an active session. Raises NotHolder."""
    cluster = session.status.assigned_cluster
    if session.phase is not SessionPhase.ACTIVE or cluster is None:
        raise NotHolder(f"session {session.name} has no cluster", expected="Active", actual=session.phase)
    return cluster


async def told(gateway: Gateway, session: Session) -> SessionView:
    """The session as it is told, with its place if it waits."""
    logs.note(cluster=session.status.assigned_cluster)
    if session.phase is not SessionPhase.PENDING:
        return SessionView.told(session)
    return SessionView.told(session, *await gateway.the_queues().standing(session))
