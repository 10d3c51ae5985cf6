"""Everything here runs without implicit dtype promotion."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _strict(strict_promotion):
    return strict_promotion
