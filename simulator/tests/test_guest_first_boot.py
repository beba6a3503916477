"""Which scripts a first boot runs, and what else cloud-init's data says."""

from __future__ import annotations

from typing import Any

from simulator.guests.cloudinit import boot_commands, parse, unmatched_interface
from simulator.guests.first_boot import Script, enabled_units, files_in, find, masked_units, unit_commands
from simulator.guests.hardware import MASQUERADE_CIDR, Hardware

WHOLE = "#!/bin/bash\n# kubeadm init --config /tmp/old.yaml\nkubeadm join \\\n  --config /etc/kubeadm.yaml\n"
UNIT = "[Unit]\nConditionPathExists=!/etc/done\n[Service]\nExecStart=/bin/boot\n"
STEPWISE = """#!/bin/bash
readonly finished=/etc/done
readonly file=/var/lib/state
if [ -e "$finished" ]; then exit 0; fi
for step in /lib/steps/*; do
  name=${step##*/}
  "$step"
  sync
done
readonly mark=/etc/done
touch "$mark"
kubectl annotate --overwrite node cp lab/state="$(cat "$file")"
"""
SERVICE = "/etc/systemd/system/boot.service"


def test_a_command_leads_to_the_script_it_calls_and_never_tries_it_again() -> None:
    files = {"/usr/local/sbin/boot": WHOLE}
    script = find(["systemctl daemon-reload", "/usr/local/sbin/boot"], [], files)
    assert script == Script("boot", WHOLE)
    assert find(["systemctl daemon-reload"], [], files) is None
    assert find(["kubeadm init"], [], {}) == Script("", "kubeadm init")


def test_a_comment_runs_nothing() -> None:
    assert find(["/boot"], [], {"/boot": "#!/bin/bash\n# kubeadm init\n"}) is None


def test_a_started_unit_leads_to_its_script_and_tries_it_again_as_it_says() -> None:
    more = "Restart=on-failure\nRestartSec=10\nRestartPreventExitStatus=78 5\n"
    files = {"/bin/boot": WHOLE, SERVICE: UNIT + more}
    wanted = Script("boot", WHOLE, 10.0, frozenset({78, 5}))
    for command in (
        "systemctl enable --now boot.service",
        "systemctl start --no-block boot",
        "systemctl --now enable x",
    ):
        assert find([command], [], files) == (None if command.endswith("x") else wanted)
    assert find([], ["boot.service"], files) == wanted
    assert find(["systemctl enable boot.service"], [], files) is None
    assert find([], ["boot.service"], {**files, "/etc/done": ""}) is None
    assert find([], ["boot.service"], {**files, SERVICE: UNIT}) == Script("boot", WHOLE)


def test_a_script_that_loops_over_scripts_is_one_with_steps() -> None:
    files = {"/bin/boot": STEPWISE, "/lib/steps/10-a": "#!/bin/bash\n", SERVICE: UNIT}
    script = find(["systemctl start boot.service"], [], files)
    assert script is not None
    assert (script.name, script.steps, script.synced) == ("boot", "/lib/steps", True)
    assert (script.marks, script.state, script.says) == (("/etc/done",), "/var/lib/state", "lab/state")
    assert not script.passed(files)
    assert script.passed({**files, "/etc/done": ""})
    # What it loops over are no scripts, and nothing else in it sets a machine up.
    assert find(["/bin/boot"], [], {"/bin/boot": STEPWISE, "/lib/steps/10-a": "kind: Secret\n"}) is None


def test_the_files_of_a_folder_are_in_the_order_of_their_names() -> None:
    assert files_in("/a", {"/a/2": "", "/a/1": "", "/a/b/3": "", "/a/.": "", "/ab/4": ""}) == ["/a/1", "/a/2"]


def test_a_unit_of_an_empty_file_is_masked() -> None:
    assert masked_units(["boot.service", "gone.service"], {SERVICE: ""}) == ["boot.service"]


def test_an_enabled_unit_starts_its_script_until_its_condition_fails() -> None:
    units = enabled_units(["systemctl enable boot.service"])
    files = {
        "/etc/systemd/system/boot.service": "[Unit]\nConditionPathExists=!/etc/done\n[Service]\nExecStart=/bin/boot\n"
    }
    assert unit_commands(units, files) == ["/bin/boot"]
    assert unit_commands(units, {**files, "/etc/done": ""}) == []


def test_cloud_config_files_may_be_encoded() -> None:
    config = parse("#cloud-config\nwrite_files:\n- {path: /a, encoding: b64, content: aGFsbG8=}\nruncmd:\n- [ls, -l]\n")
    assert config.files == {"/a": "hallo"}
    assert config.commands == ("ls -l",)


def test_the_commands_of_every_boot_are_read_without_the_rest() -> None:
    data = "#cloud-config\nbootcmd:\n  # Always.\n  - [sh, -c, 'test -e /a || rm /b']\n  - sync\nruncmd: [ls]\n"
    assert boot_commands(data) == ["sh -c 'test -e /a || rm /b'", "sync"] == list(parse(data).boot_commands)
    assert boot_commands("#cloud-config\nbootcmd: [") == []
    assert boot_commands("#cloud-config\n") == []


def test_network_data_for_another_mac_address_leaves_the_interface_down() -> None:
    data = "version: 2\nethernets:\n  pod: {match: {macaddress: '02:00:00:00:00:01'}, dhcp4: true}\n"
    assert unmatched_interface(data, "02:00:00:00:00:01") is None
    assert unmatched_interface(data, "02:00:00:00:00:02") is not None


def hardware(**given: Any) -> Hardware:
    known: dict[str, Any] = {
        "namespace": "lab",
        "name": "cp",
        "uid": "u",
        "address": "127.97.0.1",
        "labels": {},
        "firmware_uuid": "f",
        "userdata": "",
        "networkdata": "",
        "mac_address": "",
        "network_cidr": MASQUERADE_CIDR,
    }
    return Hardware(**(known | given))


def test_a_masqueraded_guest_is_the_second_host_of_its_network_and_a_bridged_one_has_its_pods_address() -> None:
    assert hardware().own_address == "10.0.2.2"
    assert hardware(network_cidr="10.11.12.0/28").own_address == "10.11.12.2"
    assert hardware(network_cidr="").own_address == "127.97.0.1"


def test_cloud_init_knows_an_instance_by_its_firmware_or_on_a_config_drive_by_its_name() -> None:
    assert hardware().instance_id == "f"
    assert hardware(config_drive=True).instance_id == "cp.lab"
