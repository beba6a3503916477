"""First boots as the simulator plays them: the rendered steps themselves, in trouble."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pool.core.errors import GuestUnhealthy
from pool.core.settings import Settings
from pool.guest import booting
from pool.kube.resources import NODES
from simulator.faults.troubles import Trouble, TroubleKind
from tests.pool.bench import Bench, bench_at

STOCK = "https://images.example/noble-server-cloudimg-amd64.img"
"""Of a system without Kubernetes."""


@pytest.mark.parametrize(
    ("at", "times"),
    [
        ("cloud-init", 1),
        ("60-cluster:kubeadm * begins", 1),
        # It comes again as the image does not count as pulled at the next boot: it may be half.
        ("70-network:crictl", 2),
    ],
)
async def test_a_cluster_comes_up_though_the_power_of_both_vms_is_cut(bench: Bench, at: str, times: int) -> None:
    cuts = [Trouble(TroubleKind.CUT_POWER, name=name, at=at, count=times) for name in ("cp-cluster1", "wk-cluster1")]
    for cut in cuts:
        bench.simulator.troubles.add(cut)
    await bench.bootstrap()
    assert [len(cut.struck) for cut in cuts] == [times, times]
    async with bench.guest() as guest:
        said = {node["metadata"]["annotations"].get("cks.io/first-boot") for node in await guest.list(NODES)}
    assert said == {"done"}


async def test_an_image_of_another_version_fails_a_bootstrap_at_once_and_in_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booting, "SILENT", 0.0)
    monkeypatch.setattr(booting, "PAUSE", 0.05)
    await bench.prepare()
    await bench.want(image={"url": "docker://registry.example/node:v1.33.4"})
    with pytest.raises(GuestUnhealthy, match=r"the image carries Kubernetes v1\.33\.4, the Pool wants v1\.34\.1"):
        await bench.bootstrap()


async def test_an_image_without_kubernetes_becomes_a_cluster_of_the_pools_version(bench: Bench) -> None:
    await bench.prepare()
    await bench.want(image={"url": STOCK})
    await bench.bootstrap()
    async with bench.guest() as guest:
        versions = {
            node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in await guest.list(NODES)
        }
    assert versions == dict.fromkeys(("cp-cluster1", "wk-cluster1"), "v1.34.1")


@pytest.mark.parametrize(
    ("image", "host", "words"),
    [
        (
            STOCK,
            "pkgs.k8s.io",
            r"cp-cluster1: 40-packages: .*/Release\.key Could not resolve 'pkgs\.k8s\.io'",
        ),
        (
            STOCK,
            "registry.k8s.io",
            r"cp-cluster1: 60-cluster: .*failed to pull image registry\.k8s\.io/kube-apiserver:v1\.34\.1",
        ),
        (
            "",
            "",
            r"cp-cluster1: 70-network: crictl: .*dial tcp: lookup registry\.k8s\.io: no such host",
        ),
    ],
)
async def test_a_failed_bootstrap_says_what_could_not_be_reached(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, image: str, host: str, words: str
) -> None:
    monkeypatch.setattr(booting, "SILENT", 0.0)
    monkeypatch.setattr(booting, "PAUSE", 0.05)
    bench.simulator.troubles.add(Trouble(TroubleKind.UNREACHABLE, host=host))
    await bench.prepare()
    if image:
        await bench.want(image={"url": image})
    bench.configured(boot_timeout=5.0, reset_attempts=1)
    with pytest.raises(GuestUnhealthy):
        await bench.bootstrap()
    failure = (await bench.pooled()).status.failure
    assert failure is not None
    assert re.search(words, failure.message), failure.message


async def test_a_worker_that_does_not_reach_its_control_plane_says_so_while_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a third of the time: kubeadm waits for it in silence, and says why only when it gives up."""
    speed = 60.0
    monkeypatch.setattr(booting, "SILENT", booting.SILENT / speed)
    monkeypatch.setattr(booting, "PAUSE", 0.05)
    async with bench_at(tmp_path / "kubeconfig", speed) as bench:
        bench.simulator.troubles.add(Trouble(TroubleKind.HANG_BOOT, name="cp-cluster1"))
        await bench.prepare()
        bench.configured(boot_timeout=Settings().boot_timeout / speed / 3, reset_attempts=1)
        words = "wk-cluster1: 60-cluster: kubeadm join: couldn't validate the identity of the API Server"
        with pytest.raises(GuestUnhealthy, match=words):
            await bench.bootstrap()
