"""What is read of a first boot on a console, line by line."""

from __future__ import annotations

import pytest

from pool.guest.first_boot import in_annotation, on_console

BEGINS = "cks-first-boot: 10-kernel: begins\ncks-first-boot: 60-cluster: begins"
X509 = "kubeadm join: x509: certificate signed by unknown authority"
CONSOLES = {
    "": None,
    "Ubuntu 24.04 LTS wk-cluster1 ttyS0\r\n\r\nwk-cluster1 login: ": None,
    "cks-first-boot: 10-kernel: begins\r\n[    9.1] br_netfilter\r\n": "10-kernel: begins",
    # Anything may stand before it: the kernel's time, what systemd paints.
    "\x1b[0;32m  OK  \x1b[0m[   12.3] cks-first-boot: 20-link: begins": "20-link: begins",
    f"cks-first-boot: 60-cluster: begins\ncks-first-boot: 60-cluster: failed: {X509}": f"60-cluster: {X509}",
    # It is tried again from the first: why it failed says more than that.
    f"cks-first-boot: 60-cluster: failed: {X509}\n{BEGINS}": f"60-cluster: {X509}",
    # What was refused is not tried again in that boot: this is another one.
    f"cks-first-boot: 60-cluster: refused: {X509}\n{BEGINS}": "60-cluster: begins",
    # It got further this time.
    f"cks-first-boot: 60-cluster: failed: {X509}\ncks-first-boot: 70-network: begins": "70-network: begins",
    f"cks-first-boot: 60-cluster: failed: {X509}\ncks-first-boot: done": "done",
    "cks-first-boot: 60-cluster: failed": "60-cluster: failed",
    "cks-first-boot: 90-prepare: begins\ncks-first-boot: 90-prepare: says: installed falco": "90-prepare: begins",
    # What a script prints is no word of the driver's.
    "cks-first-boot: 90-prepare: says: cks-first-boot: 50-version: refused: ha": None,
    "cks-first-boot: 90-prepare: says: cks-first-boot: done": None,
    "cks-first-boot: done and dusted": None,
    "cks-first-boot: 60-cluster: fai": None,
    "cks-first-boot: 60-cluster: sings: la": None,
}


@pytest.mark.parametrize("console", CONSOLES)
def test_the_last_telling_line_of_a_console_is_read(console: str) -> None:
    said = on_console(console)
    assert (str(said) if said else None) == CONSOLES[console]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("done", "done"),
        ("60-cluster: begins", "60-cluster: begins"),
        (f"60-cluster: failed: {X509}", f"60-cluster: {X509}"),
        ("", None),
        ("\x1b[2J", None),
        ("no: words of: ours", None),
    ],
)
def test_an_annotation_is_read_alike(value: str, said: str | None) -> None:
    found = in_annotation(value)
    assert (str(found) if found else None) == said


def test_what_a_console_says_is_plain_and_short() -> None:
    said = on_console("cks-first-boot: 40-packages: refused: \x1b[2J[x](http://evil.example) " + "A" * 100_000)
    assert str(said).isprintable()
    assert len(str(said)) < 250
    assert "](" not in str(said)


def test_a_console_of_one_endless_line_is_read_at_once() -> None:
    assert on_console("cks-first-boot: " * 20_000) is None
    assert on_console("cks-first-boot: 10-a" * 20_000) is None
