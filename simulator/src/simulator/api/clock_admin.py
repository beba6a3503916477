"""`/simulator/clock`: read the calendar (GET), move it ahead (POST `{"advance": "400d"}`). Off unless asked for."""

from __future__ import annotations

from simulator.api import bodies
from simulator.api.errors import bad_request, method_not_allowed
from simulator.api.requests import Request, Response, answer
from simulator.timing.clock import Clock, duration

PATH = "/simulator/clock"


class ClockAdmin:
    """Answers for that path; only who may do everything gets here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, request: Request) -> Response:
        """Raises ApiError 400, 405."""
        if request.method == "POST":
            given = bodies.read_json(request.body)
            if not isinstance(given, dict) or not isinstance(given.get("advance"), str):
                raise bad_request('what to do is said as {"advance": "400d"}')
            try:
                self._clock.advance(duration(given["advance"]))
            except ValueError as error:
                raise bad_request(str(error)) from error
        elif request.method != "GET":
            raise method_not_allowed()
        offset = int(self._clock.offset.total_seconds())
        return answer({"now": self._clock.now().isoformat(timespec="seconds"), "offsetSeconds": offset})
