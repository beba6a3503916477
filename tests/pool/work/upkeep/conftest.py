"""A pool that is kept up, over HTTP."""

from __future__ import annotations

import pytest

from tests.pool.lab import Lab
from tests.pool.work.upkeep.hands import Hands


@pytest.fixture
def hands(lab: Lab) -> Hands:
    """The pool `default` of three clusters, none of which is made yet."""
    return Hands(lab)
