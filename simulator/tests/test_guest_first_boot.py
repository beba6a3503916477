"""What first-boot scripts are understood to do."""

from __future__ import annotations

from typing import Any

from simulator.guests.cloudinit import parse, unmatched_interface
from simulator.guests.first_boot import enabled_units, find, read, unit_commands
from simulator.guests.hardware import MASQUERADE_CIDR, Hardware

GUARDED = """#!/bin/bash
readonly finished=/etc/done
if [ -e "$finished" ]; then exit 0; fi
echo '10.99.0.1 cp.cluster1.svc' >>/etc/hosts
if [ -e /etc/kubernetes/kubelet.conf ]; then
  kubeadm reset --force
fi
# kubeadm init --config /tmp/old.yaml
kubeadm join \\
  --config /etc/kubeadm.yaml
touch "$finished"
"""


def test_a_script_is_read_for_its_kubeadm_run_its_mark_and_its_hosts() -> None:
    script = read(GUARDED)
    assert script is not None
    assert (script.verb, script.config) == ("join", "/etc/kubeadm.yaml")
    assert script.marks == ("/etc/done",)
    assert script.hosts == ("10.99.0.1 cp.cluster1.svc",)
    assert script.resets


def test_a_reset_is_guarded_by_the_mark_alone_not_by_what_the_reset_looks_at() -> None:
    script = read(GUARDED)
    assert script is not None
    assert script.passed({"/etc/done": ""})
    assert not script.passed({"/etc/kubernetes/kubelet.conf": ""})


def test_without_a_reset_a_look_at_kubeadms_own_files_is_a_guard() -> None:
    script = read("test -f /etc/kubernetes/admin.conf && exit 0\nkubeadm init --config=/k.yaml\n")
    assert script is not None
    assert script.passed({"/etc/kubernetes/admin.conf": ""})
    assert not script.passed({})


def test_a_command_leads_to_the_script_it_calls() -> None:
    files = {"/usr/local/sbin/boot": GUARDED}
    assert find(["systemctl daemon-reload", "/usr/local/sbin/boot"], files) is not None
    assert find(["systemctl daemon-reload"], files) is None


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
