"""What an installation keeps secret is made once, at random, and fits together whenever its making was cut off."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from cks_pool.secrets import ensure_secrets
from gateway.access.roles import Role
from gateway.access.tokens import Tokens
from pool.core.errors import ApiError
from pool.guest import pki
from pool.kube.client import Object
from pool.kube.resources import NAMESPACES, SECRETS
from simulator.app import Simulator
from tests.pool.lab import CountingKube, Lab

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
async def lab(api_server: Simulator) -> AsyncIterator[Lab]:
    """A namespace without any Secret."""
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path, install=False) as lab:
        await lab.kube.create(NAMESPACES, NAMESPACES.manifest(lab.settings.namespace))
        yield lab


async def stored(lab: Lab) -> dict[str, dict[str, str]]:
    found = await lab.kube.list(SECRETS, lab.settings.namespace)
    return {
        one["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in one["data"].items()}
        for one in found
    }


async def make(lab: Lab, *, prefect: bool = True) -> list[str]:
    return await ensure_secrets(lab.kube, lab.settings.namespace, NOW, prefect=prefect)


async def test_they_are_made_once_and_then_kept(lab: Lab) -> None:
    made = await make(lab)
    before = await stored(lab)
    assert sorted(made) == sorted(before)
    assert await make(lab) == []
    assert await stored(lab) == before


async def test_two_installations_share_nothing(lab: Lab) -> None:
    await make(lab)
    first = await stored(lab)
    for name in first:
        await lab.kube.delete(SECRETS, name, lab.settings.namespace)
    await make(lab)
    second = await stored(lab)
    assert not {value for data in first.values() for value in data.values()} & {
        value for data in second.values() for value in data.values()
    }


async def test_a_prefect_of_somebody_elses_is_left_to_them(lab: Lab) -> None:
    assert not [name for name in await make(lab, prefect=False) if "gateway" not in name]


async def test_the_first_operators_token_is_one_that_the_gateway_knows(lab: Lab, tmp_path: Path) -> None:
    await make(lab)
    data = await stored(lab)
    (tmp_path / "tokens.yaml").write_text(data["cks-pool-gateway-tokens"]["tokens.yaml"])
    caller = Tokens(tmp_path / "tokens.yaml").find(data["cks-pool-gateway-operator"]["token"])
    assert caller is not None
    assert caller.role is Role.OPERATOR
    assert data["cks-pool-gateway-operator"]["token"] not in yaml.safe_dump(data["cks-pool-gateway-tokens"])


async def test_the_gateways_certificate_is_its_services(lab: Lab, tmp_path: Path) -> None:
    await make(lab)
    tls = (await stored(lab))["cks-pool-gateway-tls"]
    pair = pki.KeyPair(tls["tls.crt"].encode(), tls["tls.key"].encode())
    assert pki.issued_by(pair, tls["ca.crt"].encode())
    (tmp_path / "crt").write_text(tls["tls.crt"])
    (tmp_path / "key").write_text(tls["tls.key"])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "crt", tmp_path / "key")


async def test_the_databases_url_has_its_password(lab: Lab) -> None:
    await make(lab)
    database = (await stored(lab))["cks-pool-database"]
    assert urlsplit(database["url"]).password == database["password"]


@pytest.mark.parametrize("after", range(5))
async def test_what_died_after_any_of_them_is_carried_on(
    lab: Lab, api_server: Simulator, after: int, tmp_path: Path
) -> None:
    class Dying(CountingKube):
        left = after

        async def create(self, *args: object, **kwargs: object) -> Object:
            if self.left == 0:
                raise ApiError(403, "Killed", "killed")
            self.left -= 1
            return await super().create(*args, **kwargs)  # type: ignore[arg-type]

    async with Dying.connect(api_server.kubeconfig_path) as dying:
        with pytest.raises(ApiError, match="killed"):
            await ensure_secrets(dying, lab.settings.namespace, NOW, prefect=True)
    before = await stored(lab)
    assert len(before) == after
    await make(lab)
    data = await stored(lab)
    assert data | before == data
    (tmp_path / "tokens.yaml").write_text(data["cks-pool-gateway-tokens"]["tokens.yaml"])
    assert Tokens(tmp_path / "tokens.yaml").find(data["cks-pool-gateway-operator"]["token"]) is not None
