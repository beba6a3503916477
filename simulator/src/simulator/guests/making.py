"""What kubeadm makes of a machine: a control plane, or a worker of one."""

from __future__ import annotations

import asyncio
import dataclasses

from simulator.client.finding import find
from simulator.client.meta import condition
from simulator.client.resources import NODES
from simulator.guests import containerd, joining, kubeadm, preflight
from simulator.guests.control_plane import ControlPlane
from simulator.guests.disk import KUBERNETES
from simulator.guests.kubeadm import Refused
from simulator.guests.node import Node, Owner
from simulator.guests.pki import create_authority, load
from simulator.guests.validity import give_kubelet


async def init(machine: Owner, node: Node, configuration: str, *, tokens: bool) -> None:
    """kubeadm init. Raises Refused."""
    disk, now = machine.disk, machine.clock.now()
    init = kubeadm.read_init(configuration, disk.machine["hostname"], machine.addresses)
    preflight.check_init(disk, init.version)
    containerd.pull_control_plane(machine, init)
    if preflight.CA_CERT not in disk.files and preflight.CA_KEY not in disk.files:
        disk.files[preflight.CA_CERT], disk.files[preflight.CA_KEY] = create_authority(now)
    authority = load(disk.files.get(preflight.CA_CERT, ""), disk.files.get(preflight.CA_KEY, ""), now)
    preflight.begin_init(disk.files)
    await machine.reached("kubeadm init begins")
    await asyncio.sleep(machine.delays.kubeadm_init)
    # It took long enough for what was written before.
    disk.sync()
    init = init if tokens else dataclasses.replace(init, tokens=())
    serving = await ControlPlane.initialise(disk, init, authority, machine.hardware.address, machine.clock)
    known = {"node": init.node, "address": init.advertise_address, "version": init.version}
    disk.machine |= {"role": "control-plane", **known}
    give_kubelet(disk.files, authority, init.node, now)
    await node.serve(serving)


async def allow_joining(machine: Owner, configuration: str) -> None:
    """kubeadm init phase bootstrap-token. Raises Refused."""
    init = kubeadm.read_init(configuration, machine.disk.machine["hostname"], machine.addresses)
    if machine.control_plane is None:
        raise Refused("could not create a client: connection refused")
    await machine.control_plane.allow_joining(init.tokens, machine.clock.now())


async def join(machine: Owner, node: Node, configuration: str, *, retried: bool) -> None:
    """kubeadm join. It waits for its control plane, if it is `retried` as long as it is told to. Raises Refused."""
    disk = machine.disk
    request = kubeadm.read_join(configuration, disk.machine["hostname"])
    preflight.check_join(disk)
    serving = await _discovered(machine, request, retried=retried)
    preflight.begin_join(disk.files, serving.authority.pem)
    await machine.reached("kubeadm join begins")
    await _check_name(serving, request.node)
    await asyncio.sleep(machine.delays.kubeadm_join)
    own = sorted(machine.network.addresses) or [machine.hardware.own_address]
    disk.machine |= {
        "role": "worker",
        "node": request.node,
        "address": own[0],
        "version": disk.machine.get(KUBERNETES, serving.version),
        "api": request.host,
        "ca-hash": serving.authority.spki_hash,
    }
    give_kubelet(disk.files, serving.authority, request.node, machine.clock.now())
    preflight.end_join(disk.files)
    await node.work()


async def _discovered(machine: Owner, request: kubeadm.Join, *, retried: bool) -> ControlPlane:
    """The control plane, once it lets this node in. What it waits for is another machine of the namespace."""
    told: list[str] = []

    def look() -> ControlPlane | None:
        try:
            return joining.join(machine, request, machine.neighbours, machine.clock.now())
        except Refused as error:
            if retried and isinstance(error, joining.Mistaken):
                raise
            if str(error) not in told:
                told.append(str(error))
                machine.tell(f"kubeadm join: {error}", wrong=True)
            return None

    patience = request.patience / machine.delays.speed if retried else None
    try:
        async with asyncio.timeout(patience):
            found = await machine.neighbours.changed.until(look, at_least_every=machine.delays.retry)
    except TimeoutError:
        raise Refused(f"couldn't validate the identity of the API Server: {told[-1]}") from None
    if told:
        # It took long enough for what was written before.
        machine.disk.sync()
    return found


async def _check_name(serving: ControlPlane, name: str) -> None:
    """Raises Refused when the cluster has a node of that name, and hears of it."""
    node = await find(serving.client, NODES, name)
    ready = condition(((node or {}).get("status") or {}).get("conditions"), "Ready")
    if ready is not None and ready["status"] == "True":
        raise Refused(
            f'a Node with name "{name}" and status "Ready" already exists in the cluster. You must delete the existing '
            "Node or change the name of this new joining Node"
        )
