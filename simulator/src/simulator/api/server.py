"""An API server: authenticates, authorizes, routes, and answers. No sockets here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from simulator.api.access.auth import Authenticator
from simulator.api.access.escalation import Escalation
from simulator.api.access.impersonation import impersonated
from simulator.api.access.rbac import Authorizer, denied
from simulator.api.access.virtual import Virtual, entries
from simulator.api.admission import Hook
from simulator.api.aggregation import Handler, ask
from simulator.api.builtin import kinds as builtin
from simulator.api.calls import Call
from simulator.api.definitions.serving import Definitions
from simulator.api.discovery.documents import Documents
from simulator.api.discovery.registry import Registry
from simulator.api.errors import ApiError, method_not_allowed, no_such_path, not_found
from simulator.api.kinds import Kind
from simulator.api.policies import Policies
from simulator.api.reading import lists as reading
from simulator.api.reading import logs
from simulator.api.reading.negotiation import Wanted, wanted
from simulator.api.reading.watching import Watch
from simulator.api.requests import Dropped, Request, Response, Target, User, answer, failure, target
from simulator.api.store import Store, Stored
from simulator.api.upkeep import deletion
from simulator.api.upkeep.addresses import Addresses
from simulator.api.upkeep.expiry import EVENT_TTL, Expiry
from simulator.api.upkeep.housekeeping import Housekeeping
from simulator.api.upkeep.quotas import Quotas
from simulator.api.upkeep.seeds import seed
from simulator.api.writing.writer import Writer
from simulator.timing.clock import Clock, calendar

Obj = dict[str, Any]
Next = Callable[[], Awaitable[Response]]
Middleware = Callable[[Request, Target, Next], Awaitable[Response]]
"""Sees every resource request; may delay it, answer in its place, or change the answer."""

log = logging.getLogger("simulator.api")
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
WARNED = "299 - "
_OF_NAMES = {"create": False, "update": True, "patch": True}
"""Verbs that are of named objects alone, or never of those."""


class ApiServer:
    """One Kubernetes API server over one store.

    `kinds`: the built-in kinds it serves; `tokens`: bearer tokens and who they stand for; `service_cidr`: where
    Services get their addresses; Events are kept for `event_ttl` by `clock`.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        kinds: Iterable[Kind] | None = None,
        tokens: dict[str, User] | None = None,
        service_cidr: str = "127.96.0.0/16",
        token_key: bytes | None = None,
        root_ca: str = "",
        clock: Clock | None = None,
        event_ttl: timedelta = EVENT_TTL,
    ) -> None:
        self.store = store or Store()
        self.registry = Registry(builtin.host() if kinds is None else kinds)
        self.middlewares: list[Middleware] = []
        self.pages: dict[str, Callable[[Request], Response]] = {}
        """Further paths that are no resource; who may call them is judged as for all paths."""
        self.authenticator = Authenticator(self.store, tokens, token_key)
        self.authorizer = Authorizer(self.store)
        self.printed: logs.Printed = logs.nothing
        """What a container of a pod printed, for `pods/log`."""
        self.mutation: list[Hook] = []
        """What completes objects before they are judged."""
        self._addresses = Addresses(self.store, service_cidr)
        self.admission: list[Hook] = [
            self._addresses,
            Escalation(self.authorizer),
            Policies(self.store),
        ]
        self.quotas = Quotas(self.store)
        self.writer = Writer(self.store, self.mutation, self.admission, self.quotas)
        self.watches: set[Watch] = set()
        self._aggregated: dict[tuple[str, str, str], Handler] = {}
        self._documents = Documents(self.registry, entries())
        self._virtual = Virtual(self.store, self.authenticator, self.authorizer)
        self._definitions = Definitions(self.store, self.registry)
        self._root_ca = root_ca
        self.clock = clock or Clock()
        """Its calendar: the `Date` of its answers, and what ends by date."""
        self._event_ttl = event_ttl
        self._housekeeping: tuple[Housekeeping, asyncio.Task[None]] | None = None
        with calendar(self.clock):
            seed(self.store, NAMESPACES)
        self._definitions.begin()

    async def __aenter__(self) -> Self:
        """Start what looks after the store: garbage collection, namespaces, definitions."""
        housekeeping = Housekeeping(
            self.store, self.registry, self.quotas, Expiry(self.store, self.clock, self._event_ttl), self._root_ca
        )
        with calendar(self.clock):
            self._housekeeping = housekeeping, asyncio.create_task(housekeeping.run(), name="housekeeping")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for watch in list(self.watches):
            watch.close()
        if self._housekeeping is not None:
            housekeeping, task = self._housekeeping
            housekeeping.stop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._housekeeping = None
        self._addresses.close()

    def aggregate(
        self, group: str, version: str, plural: str, handler: Handler, subresources: Obj | None = None
    ) -> None:
        """Let `handler` answer for a resource that is not stored; `subresources`: names and verbs, for discovery."""
        self._aggregated[group, version, plural] = handler
        self._documents.announce(group, version, plural, subresources or {})

    def allowed(self, user: User, verb: str, group: str, plural: str, **more: str) -> bool:
        """Whether `user` may; `more`: namespace, name, subresource."""
        return self.authorizer.decide(user, Target(verb, group, "", plural, **more)).allowed

    async def handle(self, request: Request) -> Response:
        """Answer a request; errors are answers too."""
        with calendar(self.clock):
            return await self._handle(request)

    async def _handle(self, request: Request) -> Response:
        try:
            user = impersonated(request, request.user or self.authenticator.user(request), self.authorizer)
            where = target(request)
            if not where.is_resource:
                return self._plain(request, where, user)
            self._authorize(user, where)
            return await self._through(request, where, user)
        except ApiError as error:
            return failure(error)
        except Dropped:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return failure(ApiError(500, "InternalError", "Internal error occurred: see the simulator's log"))

    def _authorize(self, user: User, where: Target) -> None:
        if not self.authorizer.decide(user, where).allowed:
            raise denied(user, where)

    async def _through(self, request: Request, where: Target, user: User) -> Response:
        async def inner() -> Response:
            return await self._resource(request, where, user)

        call: Next = inner
        for middleware in reversed(self.middlewares):
            call = _wrapped(middleware, request, where, call)
        return await call()

    def _plain(self, request: Request, where: Target, user: User) -> Response:
        if not self._documents.public(where.rest):
            self._authorize(user, where)
        page = self.pages.get(where.rest)
        return page(request) if page is not None else self._documents.respond(request, where.rest)

    async def _resource(self, request: Request, where: Target, user: User) -> Response:
        handler = self._aggregated.get((where.group, where.version, where.plural))
        if handler is not None:
            return await ask(handler, request, where, user)
        if self._virtual.serves(where):
            return self._virtual.respond(request, where, user)
        kind = self.registry.served(where.group, where.version, where.plural)
        if kind is None or (kind.namespaced and where.name and not where.namespace):
            raise no_such_path()
        call = Call(request, where, kind, kind.versions[where.version], user)
        response = await self._stored(call)
        if call.version.warning:
            response.warnings.append(call.version.warning)
        response.warnings += call.warnings
        return response

    async def _stored(self, call: Call) -> Response:
        subresource = call.target.subresource
        if subresource == "scale" and call.version.scale is not None:
            return answer(await self.writer.scale(call, call.version.scale))
        if subresource == "binding" and subresource in call.kind.subresources:
            return await self._bind(call)
        if subresource == "log" and subresource in call.kind.subresources:
            return self._log(call)
        if subresource and subresource != "finalize" and not (subresource == "status" and call.version.status):
            raise no_such_path() if call.kind.builtin else _missing(call)
        verb = call.target.verb
        if verb not in call.kind.verbs or (verb in _OF_NAMES and bool(call.target.name) is not _OF_NAMES[verb]):
            raise method_not_allowed()
        form = wanted(call.request.headers.get("accept", ""))
        if verb == "get":
            return self._get(call, form)
        if verb == "list":
            return answer_bytes(form.page(call, reading.page(self.store, call)), form)
        if verb == "watch":
            return self._watch(call, form)
        return await self._write(call, verb, form)

    async def _bind(self, call: Call) -> Response:
        if call.target.verb != "create":
            raise method_not_allowed()
        await self.writer.bind(call)
        return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)

    def _log(self, call: Call) -> Response:
        if call.target.verb != "get":
            raise method_not_allowed()
        return logs.respond(reading.get(self.store, call).obj, call.request.query, self.printed)

    def _get(self, call: Call, form: Wanted) -> Response:
        stored = reading.get(self.store, call)
        return answer_bytes(form.one(call, stored), form)

    def _watch(self, call: Call, form: Wanted) -> Response:
        watch = Watch(self.store, call, form.events(call))

        async def stream() -> AsyncIterator[bytes]:
            self.watches.add(watch)
            try:
                async for chunk in watch.chunks():
                    yield chunk
            finally:
                self.watches.discard(watch)

        return Response(content_type=form.content_type, stream=stream(), close=watch.close)

    async def _write(self, call: Call, verb: str, form: Wanted) -> Response:
        if verb == "create":
            return self._written(call, await self.writer.create(call), form, 201)
        if verb == "update":
            obj, new = await self.writer.update(call)
            return self._written(call, obj, form, 201 if new else 200)
        if verb == "patch":
            obj, new = await self.writer.patch(call)
            return self._written(call, obj, form, 201 if new else 200)
        if verb == "delete":
            obj, gone = await self.writer.delete(call)
            if gone and not call.kind.returns_deleted:
                return answer(_deleted(call.kind, obj))
            return self._written(call, obj, form, 200)
        return await self._delete_all(call)

    async def _delete_all(self, call: Call) -> Response:
        options = deletion.options(call.request)
        found = reading.page(self.store, call)
        body = reading.list_bytes(call.kind, call.target.version, found)
        for stored in found.items:
            try:
                await self.writer.delete_stored(call, stored, options)
            except ApiError as error:
                if error.code != 404:
                    raise
        return Response(body=body)

    def _written(self, call: Call, obj: Obj, form: Wanted, status: int) -> Response:
        stored = self.store.get(call.kind.collection, (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
        if stored is None or stored.obj is not obj:
            stored = Stored(obj, 0, ordered=not call.kind.builtin)
        response = answer_bytes(form.one(call, stored), form)
        response.status = status
        return response


def answer_bytes(body: bytes, form: Wanted) -> Response:
    return Response(body=body, content_type=form.content_type)


def _missing(call: Call) -> ApiError:
    return not_found(call.kind.group, call.kind.plural, call.target.name)


def _wrapped(middleware: Middleware, request: Request, where: Target, inner: Next) -> Next:
    return lambda: middleware(request, where, inner)


def _deleted(kind: Kind, obj: Obj) -> Obj:
    details = {"name": obj["metadata"]["name"], "group": kind.group, "kind": kind.plural, "uid": obj["metadata"]["uid"]}
    details = {key: value for key, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
