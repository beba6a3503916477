"""kubectl apply in a guest: the objects of a file or of a directory, in the guest's own API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import yaml

from simulator.api import bodies
from simulator.api.kinds import Kind
from simulator.api.requests import ADMIN, JSON, Request, Response
from simulator.api.server import ApiServer
from simulator.client import GVR, Obj
from simulator.guests.first_boot import files_in
from simulator.guests.plugins import CONFIGURATION

IMAGES_OWN = "/opt/"
"""Where images bring manifests that nobody plays: taken for those of a network plugin."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MANIFESTS = (".yaml", ".yml", ".json")
NETWORK_PLUGIN: Obj = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "network-plugin", "namespace": "kube-system"},
    "spec": {
        "selector": {"matchLabels": {"app": "network-plugin"}},
        "template": {
            "metadata": {"labels": {"app": "network-plugin"}},
            "spec": {
                "containers": [{"name": "install", "image": "of-the-image"}],
                "volumes": [{"name": "configuration", "hostPath": {"path": CONFIGURATION}}],
            },
        },
    },
}


class NotApplied(Exception):
    """What kubectl says of what it could not apply."""


async def apply(api: ApiServer, files: Mapping[str, str], path: str, *, server_side: bool) -> None:
    """Raises NotApplied with kubectl's last words; what could be applied is."""
    objects = list(documents(files, path))
    # kubectl learns which kinds there are before it begins.
    known = {(kind.group, kind.kind) for kind in api.registry}
    new = {kind for _, obj in objects if (kind := _defined(obj)) not in known}
    failed = []
    for file, obj in objects:
        try:
            await _apply(api, file, obj, new, server_side=server_side)
        except NotApplied as error:
            failed.append(str(error))
    if failed:
        raise NotApplied("\n".join(failed))


def documents(files: Mapping[str, str], path: str) -> Iterator[tuple[str, Obj]]:
    """The objects at a path, each with its file. Raises NotApplied."""
    path = path.rstrip("/")
    found = [path] if path in files else [one for one in files_in(path, files) if one.endswith(MANIFESTS)]
    if not found and path.startswith(IMAGES_OWN):
        yield path, NETWORK_PLUGIN
    elif not found:
        raise NotApplied(f'error: the path "{path}" does not exist')
    for file in found:
        try:
            loaded = [one for one in yaml.load_all(files[file], Loader=yaml.CSafeLoader) if one]
        except yaml.YAMLError as error:
            where = " ".join(str(error).split())
            raise NotApplied(f"error: error parsing {file}: error converting YAML to JSON: {where}") from error
        for one in loaded:
            if not isinstance(one, dict) or not one.get("kind") or not one.get("apiVersion"):
                raise NotApplied(f"error: error validating \"{file}\": Object 'Kind' is missing")
            yield from ((file, item) for item in (one.get("items") or [] if one["kind"] == "List" else [one]))


def _defined(obj: Obj) -> tuple[str, str]:
    """Group and kind that a CustomResourceDefinition defines."""
    spec = obj.get("spec") or {}
    defines = obj["kind"] == "CustomResourceDefinition"
    return (str(spec.get("group")), str((spec.get("names") or {}).get("kind"))) if defines else ("", "")


async def _apply(api: ApiServer, file: str, obj: Obj, new: set[tuple[str, str]], *, server_side: bool) -> None:
    kind = api.registry.of_object(obj["apiVersion"], obj["kind"])
    meta = obj.get("metadata") or {}
    name, namespace = meta.get("name", ""), meta.get("namespace", "")
    if (obj["apiVersion"].rpartition("/")[0], obj["kind"]) in new:
        raise NotApplied("Error from server (NotFound): the server could not find the requested resource")
    if kind is None:
        raise NotApplied(
            f'resource mapping not found for name: "{name}" namespace: "{namespace}" from "{file}": no matches for '
            f'kind "{obj["kind"]}" in version "{obj["apiVersion"]}"'
        )
    gvr = GVR(kind.group, obj["apiVersion"].rpartition("/")[2], kind.plural)
    inside = (namespace or "default") if kind.namespaced else None
    sent = {**obj, "metadata": {**meta, "namespace": inside}} if inside else obj
    if server_side:
        query = {"fieldManager": "kubectl", "force": "true", "fieldValidation": "Strict"}
        answer = await _call(api, "PATCH", gvr.path(inside, name), sent, bodies.APPLY, query)
    else:
        answer = await _apply_here(api, gvr, inside, name, sent, kind)
    if answer.status >= 400:
        raise NotApplied(_said(answer, kind))


async def _apply_here(api: ApiServer, gvr: GVR, inside: str | None, name: str, obj: Obj, kind: Kind) -> Response:
    """Client-side: the whole object goes into an annotation, by which the next apply knows what it wrote."""
    noted = {**(obj["metadata"].get("annotations") or {}), LAST_APPLIED: json.dumps(obj, separators=(",", ":"))}
    sent = {**obj, "metadata": {**obj["metadata"], "annotations": noted}}
    query = {"fieldManager": "kubectl-client-side-apply", "fieldValidation": "Strict"}
    there = await _call(api, "GET", gvr.path(inside, name), None, JSON, {})
    if there.status == 404:
        return await _call(api, "POST", gvr.path(inside), sent, JSON, query)
    content = bodies.STRATEGIC if kind.builtin else bodies.MERGE
    return await _call(api, "PATCH", gvr.path(inside, name), sent, content, query)


async def _call(
    api: ApiServer, method: str, path: str, body: Obj | None, content: str, query: dict[str, str]
) -> Response:
    headers = {"accept": JSON, "content-type": content, "user-agent": "kubectl"}
    sent = b"" if body is None else json.dumps(body).encode()
    return await api.handle(Request(method, path, query, headers, sent, ADMIN))


def _said(answer: Response, kind: Kind) -> str:
    """An answer in kubectl's words."""
    status = json.loads(answer.body)
    message = str(status.get("message", ""))
    if answer.status == 422:
        return "The " + re.sub(rf"^{kind.kind}\.?[\w.-]* ", f"{kind.kind} ", message)
    return f"Error from server ({status.get('reason') or 'InternalError'}): {message}"
