"""The virtual hardware of an instance, from its spec, its pod and its Secrets."""

from __future__ import annotations

import base64
import random

from simulator.client import Client, Obj
from simulator.client.resources import SECRETS
from simulator.guests.hardware import MASQUERADE_CIDR, Hardware


async def hardware_of(client: Client, vmi: Obj, pod: Obj) -> Hardware:
    """The machine for one boot. Raises ApiError, among them 404 for a Secret that is missing."""
    spec = vmi["spec"]
    interfaces = spec.get("domain", {}).get("devices", {}).get("interfaces") or [{"bridge": {}}]
    return Hardware(
        namespace=vmi["metadata"]["namespace"],
        name=vmi["metadata"]["name"],
        uid=vmi["metadata"]["uid"],
        address=pod["status"]["podIP"],
        labels=pod["metadata"].get("labels") or {},
        firmware_uuid=str((spec.get("domain", {}).get("firmware") or {}).get("uuid") or vmi["metadata"]["uid"]),
        userdata=await _cloud_init(client, vmi, "userData", "userdata", ("secretRef", "userDataSecretRef")),
        networkdata=await _cloud_init(client, vmi, "networkData", "networkdata", ("networkDataSecretRef",)),
        mac_address=str(interfaces[0].get("macAddress") or _new_mac()),
        network_cidr=_masqueraded(spec) if "masquerade" in interfaces[0] else "",
        config_drive=any("cloudInitConfigDrive" in volume for volume in spec.get("volumes") or []),
    )


async def _cloud_init(client: Client, vmi: Obj, field: str, key: str, references: tuple[str, ...]) -> str:
    """cloud-init's data, in place or from its Secret. Raises ApiError when that is missing."""
    for volume in vmi["spec"].get("volumes") or []:
        source = volume.get("cloudInitNoCloud") or volume.get("cloudInitConfigDrive") or {}
        name = next((source[one]["name"] for one in references if one in source), None)
        if name is not None:
            secret = await client.get(SECRETS, name, vmi["metadata"]["namespace"])
            data = secret.get("data") or {}
            return base64.b64decode(data.get(key) or data.get(field) or "").decode()
        if f"{field}Base64" in source:
            return base64.b64decode(source[f"{field}Base64"]).decode()
        if field in source:
            return str(source[field])
    return ""


def _masqueraded(spec: Obj) -> str:
    """The network behind the NAT of the instance's pod network."""
    pods = [one["pod"] or {} for one in spec.get("networks") or [] if "pod" in one]
    return next((pod["vmNetworkCIDR"] for pod in pods if pod.get("vmNetworkCIDR")), MASQUERADE_CIDR)


def _new_mac() -> str:
    """The address of a pod's interface, which the guest's takes over: locally administered, new with every pod."""
    return ":".join(f"{octet:02x}" for octet in (0x02, *random.randbytes(5)))
