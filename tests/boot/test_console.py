from __future__ import annotations

from pathlib import Path

import pytest

from boot import console
from boot.console import Said, follow, said, tail

RECORDED = (
    b"\x1b[0;32m  OK  \x1b[0m Started \x1b[0;1;39mcks-first-boot.service\x1b[0m\r\n"
    b"cks-first-boot: 10-kernel: begins\r\n"
    b"[   31.094853] wireguard: WireGuard 1.0.0 loaded.\r\n"
    b"[   33.1] cloud-init[742]: cks-first-boot: 60-cluster: begins\r\n"
    b"cks-first-boot: 60-cluster: failed: kubeadm join: x509: certificate signed by unknown authority\r\n"
    b"cks-first-boot: 50-version: refused: the image carries Kubernetes v1.33.0, the Pool wants v1.34.1\r\n"
    b"cks-first-boot: 90-prepare: says: installed: trivy\r\n"
    b"cks-first-boot: done\r\n"
)
WORDS = [
    Said("10-kernel", "begins"),
    Said("60-cluster", "begins"),
    Said("60-cluster", "failed", "kubeadm join: x509: certificate signed by unknown authority"),
    Said("50-version", "refused", "the image carries Kubernetes v1.33.0, the Pool wants v1.34.1"),
    Said("90-prepare", "says", "installed: trivy"),
    Said("", "done"),
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PAUSE", 0)


def test_the_words_of_first_boot_are_found_among_all_others() -> None:
    found = [word for line in RECORDED.decode().split("\n") if (word := said(line)) is not None]
    assert found == WORDS


@pytest.mark.parametrize(
    "line", ["cks-first-boot: done for", "cks-first-boot: 60-cluster: wonders", "cks-first-boot.service: begins", ""]
)
def test_other_words_are_none_of_it(line: str) -> None:
    assert said(line) is None


async def test_a_console_is_followed_as_it_grows_even_by_half_lines(tmp_path: Path) -> None:
    path = tmp_path / "cp.console"
    words = follow(path, 0)
    path.write_bytes(RECORDED[:100])
    found = [await anext(words)]
    with path.open("ab") as growing:
        for byte in (RECORDED[100:150], RECORDED[150:]):
            growing.write(byte)
            growing.flush()
    found += [await anext(words) for _ in WORDS[1:]]
    assert found == WORDS


async def test_what_was_said_before_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "cp.console"
    path.write_bytes(RECORDED)
    words = follow(path, console.size(path))
    with path.open("ab") as growing:
        growing.write(b"cks-first-boot: 20-link: begins\r\n")
    assert await anext(words) == Said("20-link", "begins")


def test_the_end_of_a_console_is_plain_text(tmp_path: Path) -> None:
    (tmp_path / "cp.console").write_bytes(RECORDED)
    assert tail(tmp_path / "cp.console", 1) == "cks-first-boot: done"
    assert tail(tmp_path / "none.console") == ""
