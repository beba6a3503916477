"""When a lease proves a kubelet alive since this boot: host timestamps are whole seconds, golden ones are near."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pool.guest.health import Boot, Counted, fresh
from tests.pool.guest.conftest import NOW

UNASKED, NEW_DISK, GOLDEN = None, Counted(), Counted(3, "attested")


@pytest.mark.parametrize("disk", [UNASKED, NEW_DISK, GOLDEN])
@pytest.mark.parametrize(
    ("after", "first", "unknown_boot", "known_boot"),
    [
        pytest.param(-60.0, -60.0, False, False, id="from golden time"),
        pytest.param(-30.0, -40.0, True, True, id="by a clock that is behind, but renewed while we look"),
        pytest.param(0.0, 0.0, False, False, id="in the very moment"),
        pytest.param(0.4, 0.4, False, True, id="in the boot's second: perhaps before it"),
        pytest.param(0.4, 0.1, True, True, id="in that second, but renewed while we look"),
        pytest.param(1.0, 1.0, True, True, id="a second later"),
        pytest.param(300.0, 300.0, True, True, id="long after"),
    ],
)
def test_fresh(disk: Counted | None, after: float, first: float, unknown_boot: bool, known_boot: bool) -> None:
    boot = Boot(NOW, disk)
    found = fresh(NOW + timedelta(seconds=after), boot, NOW + timedelta(seconds=first))
    assert found == (unknown_boot if disk is UNASKED else known_boot)
