"""Every legal edge of a cluster's life, and every other pair.

from \\ to    creating  available  locked  resetting  error
creating        -         yes        -        -        yes
available      yes         -        yes      yes        -
locked          -          -         -       yes        -
resetting      yes        yes       yes       -        yes
error          yes         -         -       yes        -
"""

from __future__ import annotations

from itertools import product

import pytest

from pool.core.errors import IllegalTransition
from pool.core.lifecycle import TRANSITIONS, ClusterPhase, SessionPhase, check_transition

MATRIX = {
    "creating": {"available", "error"},
    "available": {"creating", "locked", "resetting"},
    "locked": {"resetting"},
    "resetting": {"available", "creating", "locked", "error"},
    "error": {"creating", "resetting"},
}


@pytest.mark.parametrize(("actual", "to"), list(product(ClusterPhase, ClusterPhase)))
def test_exactly_the_edges_of_the_matrix_are_legal(actual: ClusterPhase, to: ClusterPhase) -> None:
    if to in MATRIX[actual]:
        assert check_transition(actual, to)
    else:
        with pytest.raises(IllegalTransition) as caught:
            check_transition(actual, to, cluster="cluster1")
        assert caught.value.actual == actual
        assert set(caught.value.expected.split(" or ")) == {a for a, targets in MATRIX.items() if to in targets}


def test_no_phase_is_left_out_and_all_can_be_left_and_reached() -> None:
    assert {a for a, _ in TRANSITIONS} == {b for _, b in TRANSITIONS} == set(ClusterPhase)


def test_phases_are_the_platforms_words() -> None:
    assert list(ClusterPhase) == ["creating", "available", "locked", "resetting", "error"]
    assert list(SessionPhase) == ["Pending", "Active", "Released", "Expired"]
    assert [phase for phase in SessionPhase if phase.ended] == ["Released", "Expired"]
