"""How a flow that a test called has ended."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State


async def completed(state: State[Any]) -> State[Any]:
    """The state of a flow called with `return_state=True`, if it is Completed. Raises what the flow failed of."""
    if not state.is_completed():
        await state.aresult()
    return state
