"""`/simulator/faults`: look at the faults (GET), add one (POST), take all away (DELETE). Off unless asked for."""

from __future__ import annotations

from simulator.api import bodies, faults
from simulator.api.errors import bad_request, method_not_allowed
from simulator.api.faults import Faults
from simulator.api.requests import Request, Response, answer

PATH = "/simulator/faults"


class FaultAdmin:
    """Answers for that path; only who may do everything gets here."""

    def __init__(self, running: Faults) -> None:
        self._faults = running

    def __call__(self, request: Request) -> Response:
        """Raises ApiError 400, 405."""
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            given = bodies.read_json(request.body)
            if not isinstance(given, dict):
                raise bad_request("a fault is an object")
            try:
                self._faults.add(faults.of(given))
            except (TypeError, ValueError) as error:
                raise bad_request(str(error)) from error
        elif request.method != "GET":
            raise method_not_allowed()
        return answer({"faults": [faults.shown(one) for one in self._faults.faults]})
