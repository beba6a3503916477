"""`/simulator/faults`: look at the faults (GET), add one (POST), take one (DELETE ?id=N) or all away (DELETE).

Off unless asked for.
"""

from __future__ import annotations

from typing import Any, Protocol

from simulator.api import bodies
from simulator.api.errors import ApiError, bad_request, method_not_allowed
from simulator.api.requests import Request, Response, answer

PATH = "/simulator/faults"


class Board(Protocol):
    """Where faults are switched."""

    def switch_on(self, given: dict[str, Any]) -> None:
        """Add what JSON describes. Raises TypeError, ValueError."""

    def switch_off(self, number: int) -> None:
        """Take one away. Raises KeyError."""

    def clear(self) -> None:
        """Take all away."""

    def shown(self) -> list[dict[str, Any]]:
        """All, as JSON."""


class FaultAdmin:
    """Answers for that path; only who may do everything gets here."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __call__(self, request: Request) -> Response:
        """Raises ApiError 400, 404, 405."""
        if request.method == "DELETE":
            self._take_away(request.query.get("id", ""))
        elif request.method == "POST":
            given = bodies.read_json(request.body)
            if not isinstance(given, dict):
                raise bad_request("a fault is an object")
            try:
                self._board.switch_on(given)
            except (TypeError, ValueError) as error:
                raise bad_request(str(error)) from error
        elif request.method != "GET":
            raise method_not_allowed()
        return answer({"faults": self._board.shown()})

    def _take_away(self, number: str) -> None:
        if not number:
            self._board.clear()
            return
        try:
            self._board.switch_off(int(number))
        except ValueError as error:
            raise bad_request(f"{number!r} is no fault's id") from error
        except KeyError as error:
            raise ApiError(404, "NotFound", f"there is no fault with id {number}") from error
