"""Paths that are no resource: discovery, health, version, OpenAPI."""

from __future__ import annotations

from typing import Any

from simulator.api.discovery import groups as discovery
from simulator.api.discovery import openapi
from simulator.api.discovery.registry import Registry
from simulator.api.errors import no_such_path
from simulator.api.requests import Request, Response, answer

Obj = dict[str, Any]
PUBLIC = ("/healthz", "/livez", "/readyz", "/version")
VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4+simulator",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2025-04-22T16:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


class Documents:
    """Answers for these paths; documents are made again only when the kinds have changed."""

    def __init__(self, registry: Registry, extra: discovery.Extra) -> None:
        self._registry = registry
        self._extra = extra
        self._cache: dict[tuple[str, str], Response] = {}
        self._generation = -1

    def announce(self, group: str, version: str, plural: str, subresources: Obj) -> None:
        """Show a resource that is not stored in discovery."""
        entries = self._extra.setdefault((group, version), [])
        for name, entry in subresources.items():
            entries.append({"name": f"{plural}/{name}", "singularName": "", "namespaced": True, **entry})
        self._generation = -1

    def public(self, path: str) -> bool:
        """Whether everybody may see it, even without credentials."""
        return path.startswith(PUBLIC)

    def respond(self, request: Request, path: str) -> Response:
        """Raises ApiError 404."""
        if path.startswith(("/healthz", "/livez", "/readyz")):
            return Response(body=b"ok", content_type="text/plain")
        if path == "/version":
            return answer(VERSION)
        if self._generation != self._registry.generation:
            self._cache.clear()
            self._generation = self._registry.generation
        form = _form(request.headers.get("accept", "")) if path in ("/api", "/apis") else ""
        cached = self._cache.get((path, form))
        if cached is None:
            cached = self._cache[path, form] = self._made(path, form, request)
        return Response(cached.status, cached.body, cached.content_type, dict(cached.headers))

    def _made(self, path: str, form: str, request: Request) -> Response:
        if form:
            content = discovery.aggregated(self._registry, self._extra, core=path == "/api", version=form)
            return answer(content, content_type=_AGGREGATED.format(form))
        found = self._plain(path, request)
        if found is None:
            raise no_such_path()
        return answer(found)

    def _plain(self, path: str, request: Request) -> Obj | None:
        parts = path.strip("/").split("/")
        if path == "/openapi/v2":
            return openapi.document_v2(self._registry)
        if path == "/openapi/v3":
            return openapi.index(self._registry)
        if path.startswith("/openapi/v3/"):
            group, version = ([*parts[2:], ""])[1:3] if parts[2] == "apis" else ("", parts[-1])
            return openapi.document(self._registry, group, version)
        if path == "/api":
            return discovery.api_versions(request.headers.get("host", ""))
        if path == "/apis":
            return discovery.group_list(self._registry, self._extra)
        if parts[0] == "api" and len(parts) == 2:
            return discovery.resource_list(self._registry, self._extra, "", parts[1])
        if parts[0] == "apis" and len(parts) == 2:
            return discovery.one_group(self._registry, self._extra, parts[1])
        if parts[0] == "apis" and len(parts) == 3:
            return discovery.resource_list(self._registry, self._extra, parts[1], parts[2])
        return None


def _form(accept: str) -> str:
    """The version of aggregated discovery that is wanted first, empty for the plain one."""
    for clause in accept.split(","):
        parts = [part.strip() for part in clause.split(";")]
        if "as=APIGroupDiscoveryList" in parts:
            for version in ("v2", "v2beta1"):
                if f"v={version}" in parts:
                    return version
        elif parts[0] in ("application/json", "*/*"):
            return ""
    return ""
