"""Every call as the OpenAPI document describes it, and as it does not: no answer that it does not know, no 5xx."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from prefect.settings import PREFECT_API_URL, temporary_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from demo.processes import free_port
from tests.gateway.door import of_lab, served
from tests.pool.lab import Lab

TRIALS = 5
"""Calls of each kind, right ones and wrong ones, beside those of the document's examples."""
KNOWN = (status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(autouse=True)
def prefect_away() -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        yield


async def test_nothing_is_answered_that_the_document_does_not_know(lab: Lab) -> None:
    await lab.pool(4)
    await lab.add("cluster5", "error")
    await lab.state.assign("alice")
    async with served(of_lab(lab), rate=1_000_000) as door:
        tried = await asyncio.to_thread(_try_all, str(door.http.base_url))
    assert len(tried) > 20, tried
    await lab.check()


def _try_all(url: str) -> list[str]:
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    tried = []
    for found in document.get_all_operations():
        operation = found.ok()
        # A stream does not end.
        if not operation.path.endswith("/events"):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _try(operation, mode, url)
            tried.append(operation.label)
    return tried


def _try(operation: Any, mode: GenerationMode, url: str) -> None:
    @seed(1)
    @settings(max_examples=TRIALS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def trial(case: Any) -> None:
        response = case.call(base_url=url, timeout=10)
        # Prefect is away here, and the document says what then: nothing else may fail.
        away = response.status_code == 503 and response.json()["reason"] == "PrefectUnavailable"
        case.validate_response(response, checks=KNOWN if away else (*KNOWN, not_a_server_error))

    # What takes nothing cannot be asked for wrongly.
    with suppress(Unsatisfiable):
        trial()
