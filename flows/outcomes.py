"""How a flow that was called by another has ended."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State


async def completed(state: State[Any]) -> State[Any]:
    """The state of a flow called with `return_state=True`, if it is Completed. Raises what the flow failed of.

    Calling a flow for its result instead fails when the server's answer to its end was lost (503 on a locked SQLite):
    asked again the server says Completed, without a result (Prefect: MissingResult).
    """
    if not state.is_completed():
        await state.aresult()
    return state
