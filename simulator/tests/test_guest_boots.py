"""Disks that count their boots by a unit of cloud-init's, and nodes that say so."""

from __future__ import annotations

from simulator.guests import boots
from tests.http_api import Obj
from tests.lab import CORE, Lab

SCRIPT = """#!/bin/bash
# Counts, then says it.
readonly file=/var/lib/lab/boots
boot=$(cat /proc/sys/kernel/random/boot_id)
if [ "$1" = count ]; then
  if [ -e "$file" ]; then read -r count counted <"$file"; fi
  echo "$((count + 1)) $boot" >"$file.new"
  mv "$file.new" "$file"
else
  kubectl --kubeconfig /etc/kubernetes/kubelet.conf annotate --overwrite \\
    node "$HOSTNAME" lab/boots="$(cat "$file")"
fi
"""
FILES = {
    "/usr/local/sbin/boots": SCRIPT,
    "/etc/systemd/system/count.service": "[Service]\nExecStart=/usr/local/sbin/boots count\n",
    "/etc/systemd/system/say.service": "[Service]\nExecStart=/usr/local/sbin/boots say\n",
}
UNITS = ["count.service", "say.service"]


def test_a_disk_counts_each_boot_once_if_the_unit_is_enabled() -> None:
    files = dict(FILES)
    assert boots.said(UNITS, files) == {}
    for boot, line in (("a", "1 a"), ("a", "1 a"), ("b", "2 b")):
        boots.count(UNITS, files, boot)
        assert files["/var/lib/lab/boots"] == f"{line}\n"
        assert boots.said(UNITS, files) == {"lab/boots": line}
    assert boots.said([], files) == {}

    files = dict(FILES)
    boots.count([], files, "a")
    assert files == FILES


async def test_nodes_say_the_count_of_their_disk_which_a_restore_takes_back(lab: Lab) -> None:
    lab.files = FILES
    lab.commands = ["systemctl enable --now count.service", "systemctl enable say.service"]
    await lab.create()
    await say(lab, "1")
    await lab.stop()
    await lab.snapshot()
    await lab.start()
    await say(lab, "2")
    await lab.stop()
    await lab.start()
    await say(lab, "3")
    await lab.stop()
    await lab.restore("back")
    await lab.start()
    await say(lab, "2")


async def say(lab: Lab, count: str) -> None:
    """Both nodes come to say so, and of which boot."""

    def says(node: Obj | None) -> Obj | None:
        said = str(((node or {}).get("metadata") or {}).get("annotations", {}).get("lab/boots", ""))
        return node if node and said == f"{count} {node['status']['nodeInfo']['bootID']}" else None

    async with lab.guest() as guest:
        await guest.ready()
        for name in ("cp", "wk"):
            await guest.until(f"{CORE}/nodes/{name}", says)
