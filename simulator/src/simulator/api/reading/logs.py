"""What a pod's container printed, as `pods/NAME/log` answers: chosen by the API server, told by the kubelet.

`follow` and `previous` are not played: an answer is what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from simulator.api.errors import bad_request
from simulator.api.reading.listoptions import number
from simulator.api.requests import Response
from simulator.timing.clock import today

Obj = dict[str, Any]
Line = tuple[datetime, str]
Printed = Callable[[Obj, str], Sequence[Line]]
"""What a container of a pod printed, line by line, each with its time."""


def nothing(_: Obj, __: str) -> Sequence[Line]:
    """Of a container that is played by nobody."""
    return ()


def respond(pod: Obj, query: Mapping[str, str], printed: Printed) -> Response:
    """Raises ApiError 400 for a container that there is not, or that does not run yet."""
    name = _container(pod, query.get("container", ""))
    if not pod["spec"].get("nodeName"):
        return Response(204)
    _check_started(pod, name)
    lines = list(_since(printed(pod, name), query))
    if query.get("tailLines"):
        lines = lines[max(0, len(lines) - number(query["tailLines"])) :]
    dated = query.get("timestamps") in ("true", "1")
    text = "".join(
        f"{time.isoformat().replace('+00:00', 'Z')} {line}\n" if dated else f"{line}\n" for time, line in lines
    )
    body = text.encode()
    if query.get("limitBytes"):
        body = body[: number(query["limitBytes"])]
    return Response(body=body, content_type="text/plain")


def _container(pod: Obj, wanted: str) -> str:
    """The container that is meant. (Kubernetes: pkg/registry/core/pod/strategy.go, validateContainer.)"""
    name, spec = pod["metadata"]["name"], pod["spec"]
    regular = [one["name"] for one in spec.get("containers") or []]
    known = [*(one["name"] for one in spec.get("initContainers") or []), *regular]
    if wanted and wanted not in known:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    if not wanted and len(regular) != 1:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(known)}]")
    return wanted or regular[0]


def _check_started(pod: Obj, name: str) -> None:
    """As the kubelet answers for what has not run. (Kubernetes: pkg/kubelet, validateContainerLogStatus.)"""
    status = pod.get("status") or {}
    states = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    state: Obj = next((one.get("state") or {} for one in states if one["name"] == name), {"waiting": {}})
    if "waiting" in state:
        reason = state["waiting"].get("reason") or "ContainerCreating"
        text = f'container "{name}" in pod "{pod["metadata"]["name"]}" is waiting to start: {reason}'
        raise bad_request(text)


def _since(lines: Iterable[Line], query: Mapping[str, str]) -> Iterator[Line]:
    """The lines of the last `sinceSeconds`."""
    seconds = number(query.get("sinceSeconds", ""))
    return (one for one in lines if not seconds or (today() - one[0]).total_seconds() <= seconds)
