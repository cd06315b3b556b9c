"""The recordings can be made again, and what the decoder makes of new ones is the same."""

import re

from tests.chain.recordings.recording import DECODED, decoded
from tests.chain.recordings.scenes import play_all


async def test_recorded_anew_everything_is_read_the_same() -> None:
    told = decoded(await play_all())
    assert _without_hashes(told) == _without_hashes(DECODED.read_text())


def _without_hashes(text: str) -> str:
    """An answer has another slot, signature and blockhash each time."""
    return re.sub(r" \(answer [0-9a-f]+\)", "", text)
