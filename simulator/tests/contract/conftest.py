"""What Kubernetes and KubeVirt do and the pool relies on: one suite for the simulator and for real servers.

    pytest simulator/tests/contract                              a simulator of its own for every test, in this process
    pytest simulator/tests/contract --kubeconfig FILE            any other API server, the same assertions
    pytest simulator/tests/contract --kubeconfig FILE --no-guests        VMs run, but their image has no kubeadm
    pytest simulator/tests/contract --kubeconfig FILE --no-controllers   Kubernetes and KubeVirt's definitions alone

Everything happens in namespaces of the tests' own, which are removed. VMs clone the claim `golden` of the namespace
`vm-templates`; it is imported if it is missing, which only a simulated CDI can do, so make it before on a real one. The
pool's definitions, and one of the suite's own, are applied if they are missing, and stay. `-n 2` of pytest-xdist
shortens it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.app import Simulator
from tests.contract.api import Api
from tests.contract.lab import CORE, Lab, unique

MARKS = {
    "needs_controllers": "needs KubeVirt at work: virt-api, virt-controller, CDI, CSI, a node for launcher pods",
    "needs_guests": "needs VMs whose golden image boots, with kubeadm, and their Services' network within reach",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contract", "the contract with Kubernetes and KubeVirt")
    group.addoption("--kubeconfig", type=Path, help="judge this server, not the simulator")
    group.addoption("--no-controllers", action="store_true", help="leave out what needs KubeVirt's controllers")
    group.addoption("--no-guests", action="store_true", help="leave out what needs the VMs' guests")
    group.addoption(
        "--patience", type=float, metavar="SECONDS", help="for each wait (default: 20 on the simulator, else 300)"
    )


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    dropped = {name for name in MARKS if config.getoption(f"--{name.replace('needs_', 'no-')}", default=False)}
    if "needs_controllers" in dropped:
        dropped.add("needs_guests")
    out = [item for item in items if any(item.get_closest_marker(name) for name in dropped)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]
    if config.getoption("--kubeconfig", default=None):
        for item in items:
            # Real disks are copied in minutes; every wait has a deadline of its own.
            item.add_marker(pytest.mark.timeout(0))


@dataclass(frozen=True)
class Server:
    """Where the API is. `simulator` is None when it is somebody else's."""

    kubeconfig: Path
    patience: float
    simulator: Simulator | None


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """The server that is judged: the given one, or a fresh simulator, bare unless the test needs controllers."""
    given: Path | None = request.config.getoption("--kubeconfig", default=None)
    patience: float | None = request.config.getoption("--patience", default=None)
    if given is not None:
        yield Server(given, patience or 300.0, None)
        return
    path = tmp_path / "kubeconfig"
    controllers = any(request.node.get_closest_marker(name) for name in MARKS)
    async with Simulator(speed=100.0, kubeconfig=path, controllers=controllers) as simulator:
        yield Server(path, patience or 20.0, simulator)


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    """The server, through the official client."""
    async with Api.reach(server.kubeconfig, patience=server.patience) as api:
        yield api


@pytest.fixture
async def namespace(server: Server, api: Api) -> AsyncIterator[str]:
    """A namespace of the test's own."""
    name = unique("contract")
    await api.create(f"{CORE}/namespaces", {"metadata": {"name": name}})
    yield name
    if server.simulator is None:
        await api.discard(f"{CORE}/namespaces/{name}")


@pytest.fixture
async def lab(server: Server, api: Api, tmp_path: Path) -> AsyncIterator[Lab]:
    """A namespace ready for VMs; none yet."""
    async with AsyncExitStack() as stack:
        lab = Lab(api, tmp_path, namespace=unique("contract"))
        await lab.prepare()
        if server.simulator is None:
            stack.push_async_callback(lab.clean)
        yield lab


@pytest.fixture
def compact(server: Server) -> Callable[[], None]:
    """Has the server forget its history of changes. Only the simulator can be asked to; others do it every few
    minutes, so what they still remember of their first version decides."""

    def forget() -> None:
        if server.simulator is not None:
            server.simulator.api.store.compact()

    return forget
