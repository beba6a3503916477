"""Kubeconfigs, read as kubectl reads them.

Of several files the first that says something counts, whole: a user of the first file is not completed from the second.
What contradicts itself, two credentials where one is meant, is refused and not guessed at. A test asks the real kubectl
of each form.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pool.kube.credentials.access import Files, unusable


def _decoded(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("text in base64 expected")
    return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)


def _kebab(name: str) -> str:
    return name.replace("_", "-")


Data = Annotated[bytes, BeforeValidator(_decoded)]


class _Part(BaseModel):
    """Fields it does not know are left out; null is as not there; a number is no text."""

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, alias_generator=_kebab, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, found: Any) -> Any:
        return {key: value for key, value in found.items() if value is not None} if isinstance(found, dict) else found

    def changed(self, **fields: object) -> Self:
        return self.model_copy(update=fields)


class Extension(_Part):
    name: str
    extension: Any = None


class ClusterEntry(_Part):
    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: Data = b""
    proxy_url: str = ""
    extensions: list[Extension] = []


class Variable(_Part):
    name: str = ""
    value: str = ""


class ExecEntry(_Part):
    command: str = ""
    args: list[str] = []
    env: list[Variable] = []
    api_version: str = Field("", alias="apiVersion")
    install_hint: str = Field("", alias="installHint")
    provide_cluster_info: bool = Field(False, alias="provideClusterInfo")
    interactive_mode: str = Field("", alias="interactiveMode")


class ProviderEntry(_Part):
    name: str = ""
    config: dict[str, str] = {}


class UserEntry(_Part):
    client_certificate: str = ""
    client_certificate_data: Data = b""
    client_key: str = ""
    client_key_data: Data = b""
    token: str = ""
    token_file: str = Field("", alias="tokenFile")
    username: str = ""
    password: str = ""
    impersonate: str = Field("", alias="as")
    as_uid: str = ""
    as_groups: list[str] = []
    as_user_extra: dict[str, list[str]] = {}
    exec: ExecEntry | None = None
    auth_provider: ProviderEntry | None = None


class ContextEntry(_Part):
    cluster: str = ""
    user: str = ""


class _NamedCluster(_Part):
    name: str = ""
    cluster: ClusterEntry = ClusterEntry()


class _NamedUser(_Part):
    name: str = ""
    user: UserEntry = UserEntry()


class _NamedContext(_Part):
    name: str = ""
    context: ContextEntry = ContextEntry()


class Kubeconfig(_Part):
    """One file, or what several say together."""

    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []
    current_context: str = ""

    def cluster(self, name: str) -> ClusterEntry | None:
        return next((one.cluster for one in self.clusters if one.name == name), None)

    def user(self, name: str) -> UserEntry | None:
        return next((one.user for one in self.users if one.name == name), None)

    def context(self, name: str) -> ContextEntry | None:
        return next((one.context for one in self.contexts if one.name == name), None)


def read(paths: Iterable[Path], files: Files) -> Kubeconfig | None:
    """What these files say together; those that are not there are left out, None if none is. Raises KubeconfigError."""
    found = [one for one in (_file(path, files) for path in dict.fromkeys(paths)) if one is not None]
    if not found:
        return None
    return Kubeconfig.model_construct(
        # In this order the first of a name is the one that is found.
        clusters=[entry for one in found for entry in one.clusters],
        users=[entry for one in found for entry in one.users],
        contexts=[entry for one in found for entry in one.contexts],
        current_context=next((one.current_context for one in found if one.current_context), ""),
    )


def _file(path: Path, files: Files) -> Kubeconfig | None:
    source = str(path)
    try:
        parsed = yaml.safe_load(files.read(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(source, error.strerror or type(error).__name__) from error
    except (yaml.YAMLError, ValueError) as error:
        # Their texts quote the file, and with it perhaps a token.
        raise unusable(source, f"no YAML ({type(error).__name__})") from None
    if not isinstance(parsed, dict | None):
        raise unusable(source, "no mapping")
    content = parsed or {}
    if content.get("kind") not in (None, "", "Config") or content.get("apiVersion") not in (None, "", "v1"):
        raise unusable(source, "of another kind than Config v1")
    try:
        config = Kubeconfig.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise unusable(source, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    for entries in (config.clusters, config.users, config.contexts):
        names = [entry.name for entry in entries]
        if len(set(names)) < len(names):
            raise unusable(source, f"two entries are named {next(name for name in names if names.count(name) > 1)}")
    return _resolved(config, path.absolute().parent)


def _resolved(config: Kubeconfig, folder: Path) -> Kubeconfig:
    """Paths are relative to the folder of the file that names them."""

    def at(path: str) -> str:
        return str(folder / path) if path else ""

    def of_cluster(entry: ClusterEntry) -> ClusterEntry:
        return entry.changed(certificate_authority=at(entry.certificate_authority))

    def of_user(entry: UserEntry) -> UserEntry:
        plugin = entry.exec
        if plugin is not None and "/" in plugin.command:  # else it is looked for on PATH
            plugin = plugin.changed(command=at(plugin.command))
        return entry.changed(
            client_certificate=at(entry.client_certificate),
            client_key=at(entry.client_key),
            token_file=at(entry.token_file),
            exec=plugin,
        )

    return config.changed(
        clusters=[entry.changed(cluster=of_cluster(entry.cluster)) for entry in config.clusters],
        users=[entry.changed(user=of_user(entry.user)) for entry in config.users],
    )


def for_plugins(cluster: ClusterEntry, ca: bytes) -> str:
    """JSON of a cluster, as exec plugins want it that ask for it."""
    said = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode(ca).decode(),
        "proxy-url": cluster.proxy_url,
        "config": next(
            (one.extension for one in cluster.extensions if one.name == "client.authentication.k8s.io/exec"), None
        ),
    }
    return json.dumps({key: value for key, value in said.items() if value})
