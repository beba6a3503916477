"""Quantities in every form that Kubernetes accepts, multiplied without losing a digit."""

from __future__ import annotations

import pytest
from kubernetes.utils.quantity import parse_quantity

from pool.core.pools import Machines
from pool.core.quantities import times

FORMS = {
    "20Gi": "100Gi",
    "1.5Ti": "7.5Ti",
    "500": "2500",
    "1e3": "5e3",
    "1E3": "5E3",
    "1E": "5E",
    "2.50e+3": "12.5e+3",
    "5e-1": "25e-1",
    "500m": "2500m",
    "1k": "5k",
    ".5G": "2.5G",
    "5.": "25",
    "0.1Gi": "0.5Gi",
    "+1Mi": "5Mi",
    "0.2Pi": "1Pi",
    "100n": "500n",
    "7u": "35u",
    "0.30000000000000000000000000001Ei": "1.50000000000000000000000000005Ei",
}


@pytest.mark.parametrize(("quantity", "expected"), FORMS.items())
def test_quantities_are_multiplied_exactly(quantity: str, expected: str) -> None:
    assert times(quantity, 5) == expected
    assert Machines(disk=quantity[:32]).disk == quantity[:32]


@pytest.mark.parametrize("quantity", [one for one in FORMS if len(one) < 20])
def test_the_client_library_agrees(quantity: str) -> None:
    assert parse_quantity(times(quantity, 5)) == 5 * parse_quantity(quantity)


@pytest.mark.parametrize("text", ["", "Gi", "20GB", "1K", "1ki", "1e3Ki", "1_000", " 1", "1.2.3", "NaN", "e3", "1e"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        times(text, 5)
    with pytest.raises(ValueError, match="disk"):
        Machines(disk=text)
