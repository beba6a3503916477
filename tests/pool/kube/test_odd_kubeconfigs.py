"""Whatever a kubeconfig holds, it is read or refused in one line that quotes no secret; nothing else comes of it."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from pool.core.errors import KubeconfigError
from pool.kube.credentials.config import find_access

EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "interactiveMode": "Never", "env": []}
OIDC = {"client-id": "a", "idp-issuer-url": "https://127.0.0.1", "id-token": "SECRET.SECRET.SECRET"}
WHOLE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "tls-server-name": "x", "proxy-url": ""}}],
}
USERS: list[dict[str, Any]] = [
    {"token": "SECRET", "as": "x", "as-groups": ["y"], "as-user-extra": {"k": ["v"]}, "as-uid": "1"},
    {"username": "me", "password": "SECRET"},
    {"exec": EXEC, "client-certificate-data": "", "client-key-data": ""},
    {"auth-provider": {"name": "oidc", "config": OIDC}},
]
JUNK = st.sampled_from(
    [
        None,
        True,
        0,
        -1.5,
        "",
        "x",
        "\x07\n",
        "é😀",
        "http://[",
        "https://h:99999",
        "file:///etc",
        [],
        [[]],
        [None],
        {},
        {"": 1},
    ]
)


def places(found: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something is, all the way down."""
    inside = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


@given(data=st.data())
def test_anything_anywhere(data: st.DataObject) -> None:
    user = copy.deepcopy(data.draw(st.sampled_from(USERS)))
    config: Any = [copy.deepcopy(WHOLE) | {"users": [{"name": "u", "user": user}]}]
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from([place for place in places(config) if place]))
        within = config
        for key in path:
            within = within[key]
        within[last] = copy.deepcopy(data.draw(JUNK))
    with TemporaryDirectory() as folder:
        file = Path(folder, "kubeconfig")
        file.write_text(yaml.safe_dump(config[0]))
        try:
            said = repr(find_access(file))
        except KubeconfigError as error:
            said = str(error)
    assert "SECRET" not in said
    assert "\n" not in said
