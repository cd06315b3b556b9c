"""A fresh office per test."""

import pytest

from tests.program.governance.office import Office, new_office


@pytest.fixture
def office() -> Office:
    """The program set up with the real parameters."""
    return new_office()
