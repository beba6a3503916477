"""Where the API is and who we are: a kubeconfig, or the service account of the pod we run in."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from pool.kube.credentials.access import Access, Files, Issued, Issuer, Pair, Server, in_a_pod, of_the_pod, unusable
from pool.kube.credentials.kubeconfig import ClusterEntry, ExecEntry, UserEntry, for_plugins, read
from pool.kube.credentials.oidc import OidcProvider, issued
from pool.kube.credentials.plugin import IF_AVAILABLE, MODES, VERSIONS, ExecPlugin
from pool.kube.credentials.proxies import proxy_of_environment

V1 = VERSIONS[0]
IN_HEADERS = "!#$&'*+-.^_`|~"
"""What stands as it is in the name of a header, besides letters and digits."""


def find_access(kubeconfig: Path | None = None, *, context: str | None = None) -> Access:
    """The API server and the credentials that a kubeconfig file and context name.

    None takes $KUBECONFIG, else ~/.kube/config, else the pod's service account, in this order, as kubectl does.
    Raises KubeconfigError, with the cure, when none of them can be used.
    """
    if kubeconfig is not None:
        return _from_files([kubeconfig.expanduser()], context)
    listed = [Path(one) for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    return _from_files(listed or [Path.home() / ".kube" / "config"], context, or_pod=in_a_pod())


def _from_files(paths: Sequence[Path], context: str | None, *, or_pod: bool = False) -> Access:
    files = Files()
    config = read(paths, files)
    source = os.pathsep.join(str(path) for path in paths)
    if or_pod and (config is None or not (config.clusters or config.users or config.contexts)):
        return of_the_pod()
    if config is None:
        raise unusable(source, "no such file")
    name = context or config.current_context
    if not name:
        raise unusable(source, "no current-context, and none is named")
    chosen = config.context(name)
    if chosen is None:
        raise unusable(source, f"no context {name}")
    cluster, user = config.cluster(chosen.cluster), config.user(chosen.user)
    if cluster is None:
        raise unusable(source, f"no cluster {chosen.cluster or 'in context ' + name}")
    # The context is the one of now, whatever `current-context` becomes.
    again = partial(_from_files, paths, name)
    try:
        server = _server(cluster, files)
        if user is None and server.url.startswith("https"):
            raise _Wrong(f"no user {chosen.user or 'in context ' + name}")
        return _access(source, server, again, cluster, user or UserEntry(), files)
    except _Wrong as error:
        raise unusable(source, str(error)) from error.__cause__


class _Wrong(Exception):
    """What is wrong with a kubeconfig; it never leaves this module."""


def _server(cluster: ClusterEntry, files: Files) -> Server:
    ca = _content("certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data, files)
    if ca and cluster.insecure_skip_tls_verify:
        raise _Wrong("a certificate-authority and insecure-skip-tls-verify, which contradict each other")
    url = _url(cluster.server)
    if cluster.proxy_url and not cluster.proxy_url.startswith(("http://", "https://")):
        raise _Wrong("a proxy-url of another scheme; only http and https can be used")
    proxy = cluster.proxy_url or proxy_of_environment(url)
    if proxy and not _is_url(proxy):
        raise _Wrong("no proxy that can be used")  # not said as it is: there may be a password in it
    return Server(url, ca, not cluster.insecure_skip_tls_verify, cluster.tls_server_name, proxy)


def _url(server: str) -> str:
    """Without a scheme it is http, to which no credentials are shown."""
    url = server if "://" in server else f"http://{server}"
    if not _is_url(url):
        raise _Wrong("no server" if not server else "a server that is no URL")
    parts = urlsplit(url)
    if "@" in parts.netloc:  # messages name the server
        raise _Wrong("a server with a user in it")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and not any(character.isspace() for character in text)


def _access(
    source: str, server: Server, again: partial[Access], cluster: ClusterEntry, user: UserEntry, files: Files
) -> Access:
    _check(user)
    pair = _pair(user, files)
    speaks_for = tuple(_impersonation(user))
    if not server.url.startswith("https"):
        return Access(source, server, again, impersonation=speaks_for, files=files.seen)
    authorization, issuer = _authorization(user, files), _issuer(source, server, cluster, user)
    if authorization or (pair and user.exec):
        issuer = None  # what is written down goes before what would have to be asked for
    if not (authorization or pair or issuer):
        raise _Wrong("no credentials for the user")
    kept = _kept(user) if issuer is not None else None
    return Access(source, server, again, authorization, pair, issuer, kept, speaks_for, files.seen)


def _kept(user: UserEntry) -> Issued | None:
    """What was issued already, and noted in the kubeconfig."""
    token = user.auth_provider.config.get("id-token") if user.auth_provider else None
    return issued(token) if token else None


def _check(user: UserEntry) -> None:
    """Raises _Wrong for what kubectl refuses, whether it would be needed or not."""
    if user.token and (user.username or user.password):
        raise _Wrong("a token and a password for one user, only one can be used")
    if not all(value.isprintable() for _, value in _impersonation(user)):
        raise _Wrong("as, as-groups, as-uid or as-user-extra with a line break or control character")
    if not user.impersonate and (user.as_groups or user.as_uid or user.as_user_extra):
        raise _Wrong("as-groups, as-uid or as-user-extra without as")
    if user.exec is not None:
        _check_plugin(user.exec, beside_provider=user.auth_provider is not None)


def _check_plugin(plugin: ExecEntry, *, beside_provider: bool) -> None:
    if beside_provider:
        raise _Wrong("exec and auth-provider for one user")
    if not plugin.command:
        raise _Wrong("exec without a command")
    if plugin.api_version not in VERSIONS:
        raise _Wrong(f"exec with apiVersion {plugin.api_version or 'missing'}, not one of {', '.join(VERSIONS)}")
    mode = plugin.interactive_mode or (IF_AVAILABLE if plugin.api_version != V1 else "")
    if mode not in MODES:
        raise _Wrong(f"exec with interactiveMode {mode or 'missing'}, not one of {', '.join(MODES)}")
    if not all(variable.name for variable in plugin.env):
        raise _Wrong("exec with a variable without a name")


def _content(what: str, path: str, data: bytes, files: Files) -> bytes:
    if path and data:
        raise _Wrong(f"{what} and {what}-data, only one can be used")
    try:
        return files.read(Path(path)) if path else data
    except OSError as error:
        raise _Wrong(f"{what} {path}: {error.strerror}") from error


def _pair(user: UserEntry, files: Files) -> Pair | None:
    if not (user.client_certificate or user.client_certificate_data):
        return None
    certificate = _content("client-certificate", user.client_certificate, user.client_certificate_data, files)
    key = _content("client-key", user.client_key, user.client_key_data, files)
    if not key:
        raise _Wrong("client-certificate without client-key")
    return Pair(certificate, key)


def _authorization(user: UserEntry, files: Files) -> str:
    token = _token(user, files)
    if not token.isprintable():
        raise _Wrong("a token with a line break or control character")
    if not (user.username or user.password):
        return f"Bearer {token}" if token else ""
    if token:
        raise _Wrong("a tokenFile and a password for one user, only one can be used")
    return "Basic " + base64.b64encode(f"{user.username}:{user.password}".encode()).decode()


def _token(user: UserEntry, files: Files) -> str:
    """The file's, which may be renewed; the one that is written down is for when that cannot be read."""
    if not user.token_file:
        return user.token
    why: Exception | None = None
    try:
        found = files.read(Path(user.token_file)).decode().strip()
    except (OSError, ValueError) as error:
        found, why = "", error
    if not (found or user.token):
        said = (why.strerror if isinstance(why, OSError) else "no text") if why else "empty"
        raise _Wrong(f"tokenFile {user.token_file}: {said}") from why
    return found or user.token


def _issuer(source: str, server: Server, cluster: ClusterEntry, user: UserEntry) -> Issuer | None:
    if user.auth_provider is not None:
        if user.auth_provider.name != OidcProvider.NAME:
            raise _Wrong(f"auth-provider {user.auth_provider.name}, which kubectl has no more; use an exec plugin")
        try:
            return OidcProvider.of(source, user.auth_provider.config)
        except ValueError as error:
            raise _Wrong(f"auth-provider oidc: {error}") from None
    plugin = user.exec
    if plugin is None:
        return None
    return ExecPlugin(
        source,
        plugin.api_version,
        plugin.command,
        tuple(plugin.args),
        tuple((variable.name, variable.value) for variable in plugin.env),
        plugin.interactive_mode or IF_AVAILABLE,
        plugin.install_hint,
        for_plugins(cluster, server.ca) if plugin.provide_cluster_info else "",
    )


def _impersonation(user: UserEntry) -> Iterator[tuple[str, str]]:
    if user.impersonate:
        yield "Impersonate-User", user.impersonate
    if user.as_uid:
        yield "Impersonate-Uid", user.as_uid
    for group in user.as_groups:
        yield "Impersonate-Group", group
    for key, values in user.as_user_extra.items():
        for value in values:
            yield f"Impersonate-Extra-{quote(key.lower(), safe=IN_HEADERS)}", value
