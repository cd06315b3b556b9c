"""A fresh chain per test."""

import pytest

from tests.program.world import World, new_world


@pytest.fixture
def blank() -> World:
    """The program deployed, nothing initialized."""
    return new_world()


@pytest.fixture
def world(blank: World) -> World:
    """The program initialized with the real parameters."""
    blank.initialize()
    return blank
