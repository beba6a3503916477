"""The Pool's own scripts in first boot: until each succeeded, heard, and with what they need."""

from __future__ import annotations

from pool.guest.node_files import STEPS
from pool.kubevirt.cluster import Role
from tests.pool.guest.first_boots import ADDONS, PROXY, PROXY_DROP_IN, Make


def test_preparation_runs_until_it_succeeded_once_and_its_output_is_said(make: Make) -> None:
    script = (
        "#!/bin/bash\necho run >>$NODE/prepared\necho fetching\n[ -e $NODE/mirror ] || { echo no mirror; exit 3; }\n"
    )
    node = make(Role.CONTROL_PLANE, addons=ADDONS | {"prepare-control-plane.sh": script})
    assert node.run() == 1
    assert node.console[-4:] == [
        "cks-first-boot: 90-prepare: says: prepared",
        "cks-first-boot: 90-prepare: says: fetching",
        "cks-first-boot: 90-prepare: says: no mirror",
        "cks-first-boot: 90-prepare: failed: 20-prepare-control-plane.sh ended with exit code 3",
    ]
    (node.folder / "mirror").touch()
    assert node.run() == 0
    assert node.read("prepared").split() == ["node", "run", "run"]


def test_a_console_that_is_held_up_is_waited_for_once_a_script(make: Make) -> None:
    """All that the script prints is in the log."""
    script = {"prepare.sh": "#!/bin/bash\necho node >>$NODE/prepared\nprintf 'line %s\\n' {1..200}\n"}
    node = make(Role.WORKER, addons=script)
    (node.folder / "held-up").touch()
    assert node.run() == 0
    assert node.console == []
    assert {f"line {number}" for number in range(1, 201)} <= set(node.read("journal").splitlines())
    steps = sum(file.path.startswith(STEPS) for file in node.files)
    # Each step that begins, the script's first line, and that all is done.
    assert node.read("held-up").split() == ["5"] * (steps + 2)


def test_preparation_of_the_control_plane_has_its_kubeconfig(make: Make) -> None:
    node = make(Role.CONTROL_PLANE)
    node.run()
    assert node.read("prepared").splitlines()[-1].endswith("/etc/kubernetes/admin.conf")


def test_preparation_has_the_pools_proxy_in_its_environment(make: Make) -> None:
    """As containerd has it, and in small letters, which curl and wget read."""
    script = {"prepare.sh": "#!/bin/bash\nenv | grep -i _proxy | sort >$NODE/environment || true\n"}
    node = make(Role.WORKER, addons=script, image=PROXY)
    assert node.run() == 0
    drop_in = node.read(PROXY_DROP_IN)
    past = drop_in.partition("NO_PROXY=")[2].strip()
    assert past.endswith("10.99.0.0/30,.svc,.cluster.local")
    through = "http://proxy.example:3128"
    assert dict(line.split("=", 1) for line in node.read("environment").splitlines()) == {
        "HTTP_PROXY": through,
        "HTTPS_PROXY": through,
        "NO_PROXY": past,
        "http_proxy": through,
        "https_proxy": through,
        "no_proxy": past,
    }
    direct = make(Role.WORKER, "direct", addons=script)
    assert direct.run() == 0
    assert direct.read("environment") == ""
