"""What the command starts and what it makes for that; serving itself is the gateway's and the worker's to test."""

from __future__ import annotations

import json

import pytest
import yaml

from gateway.access.tokens import hashed, parsed
from tests.cli.conftest import Command


async def test_a_token_is_shown_once_and_its_entry_is_what_the_gateway_reads(command: Command) -> None:
    said = await command("token", "lms", "--role", "session", "--pool", "exam")
    (entry,) = parsed(said.out, "stdout")
    assert (entry.name, str(entry.role), entry.pool) == ("lms", "session", "exam")
    assert entry.sha256 == hashed(said.err.strip())
    assert said.err.strip() not in said.out


async def test_tokens_for_programs(command: Command) -> None:
    made = json.loads((await command("token", "grafana", "--role", "viewer", "-o", "json")).out)
    (entry,) = parsed(yaml.safe_dump([made["entry"]]), "entry")
    assert entry.sha256 == hashed(made["token"])


async def test_a_role_that_there_is_not(command: Command) -> None:
    said = await command("token", "lms", "--role", "admin")
    assert said.status == 2
    assert "operator" in said.line


@pytest.mark.parametrize(("listen", "cure"), [("0.0.0.0:8080", "CKS_GATEWAY_TLS_CERTIFICATE"), ("here", "LISTEN")])
async def test_what_must_not_be_served_is_said_with_the_cure(command: Command, listen: str, cure: str) -> None:
    said = await command("serve", "--listen", listen)
    assert said.status == 2
    assert cure in said.line


async def test_settings_are_those_of_the_pool_and_of_the_gateway(command: Command) -> None:
    said = await command("settings")
    assert "`CKS_POOL_CONTEXT`" in said.out
    assert "`CKS_GATEWAY_LISTEN`" in said.out
