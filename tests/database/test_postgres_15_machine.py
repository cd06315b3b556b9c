"""The state machine of the books on the oldest PostgreSQL we promise."""

from pathlib import Path

import pytest

from tests.database.on_postgres_15 import passes_on_15, within


@pytest.mark.foreign
@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.skipif(within(), reason="it is the process within")
def test_the_books_answer_as_the_model_does_on_15(tmp_path: Path) -> None:
    passes_on_15("test_books_machine.py", scratch=tmp_path)
