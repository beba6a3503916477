"""cloud-init's NoCloud data as far as first boot needs it: files to write, commands to run. Pure."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

HEADER = "#cloud-config"
BOOTCMD = re.compile(r"^bootcmd:.*\n(?:(?:[ \t#-].*)?\n)*", re.MULTILINE)


class BadUserData(ValueError):
    """The user data is none that cloud-init would act on."""


@dataclass(frozen=True)
class CloudConfig:
    """What a `#cloud-config` asks for on first boot."""

    files: Mapping[str, str]
    commands: tuple[str, ...]
    hostname: str | None
    boot_commands: tuple[str, ...] = ()
    """Those of every boot, which come before everything else."""


def parse(userdata: str) -> CloudConfig:
    """Read user data. Raises BadUserData."""
    if not userdata.startswith(HEADER):
        raise BadUserData(f"user data does not start with {HEADER}")
    try:
        config = yaml.load(userdata, Loader=yaml.CSafeLoader) or {}
    except yaml.YAMLError as error:
        raise BadUserData(f"user data is no YAML: {error}") from error
    if not isinstance(config, dict):
        raise BadUserData("user data is no mapping")
    files = {entry["path"]: _content(entry) for entry in config.get("write_files") or []}
    commands = tuple(_command(entry) for entry in config.get("runcmd") or [])
    before = tuple(_shell(entry) for entry in config.get("bootcmd") or [])
    return CloudConfig(files, commands, config.get("hostname") or config.get("fqdn"), before)


def boot_commands(userdata: str) -> list[str]:
    """The commands of every boot. Only they are read: all the rest is for the first one."""
    found = BOOTCMD.search(userdata)
    if found is None:
        return []
    try:
        entries = (yaml.load(found[0], Loader=yaml.CSafeLoader) or {})["bootcmd"] or []
        return [_shell(entry) for entry in entries]
    except (yaml.YAMLError, TypeError):
        return []


def _content(entry: Mapping[str, Any]) -> str:
    content = entry.get("content") or ""
    encoding = str(entry.get("encoding") or "").lower()
    try:
        raw = content.encode() if isinstance(content, str) else bytes(content)
        if encoding in ("b64", "base64", "gz+b64", "gz+base64", "gzip+base64", "gzip+b64"):
            raw = base64.b64decode(raw)
        if encoding.startswith("gz"):
            raw = gzip.decompress(raw)
        return raw.decode()
    except (binascii.Error, OSError, UnicodeDecodeError) as error:
        raise BadUserData(f"write_files {entry.get('path')}: {error}") from error


def _shell(entry: Any) -> str:
    return shlex.join(str(part) for part in entry) if isinstance(entry, list) else str(entry)


def _command(entry: Any) -> str:
    return " ".join(str(part) for part in entry) if isinstance(entry, list) else str(entry)


def unmatched_interface(networkdata: str, mac_address: str) -> str | None:
    """Why the guest's interface stays down: network data (version 2) that matches another MAC address, else None."""
    if not networkdata:
        return None
    try:
        config = yaml.load(networkdata, Loader=yaml.CSafeLoader) or {}
    except yaml.YAMLError as error:
        return f"network data is no YAML: {error}"
    ethernets = (config.get("network") or config).get("ethernets") or {}
    wanted = [str((one.get("match") or {}).get("macaddress") or "").lower() for one in ethernets.values()]
    if not wanted or any(mac in ("", mac_address.lower()) for mac in wanted):
        return None
    return f"network data configures {', '.join(wanted)} only, but the interface has {mac_address}: no network"
