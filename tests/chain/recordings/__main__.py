"""Record every scene anew, or only tell anew what the decoder makes of them.

python -m tests.chain.recordings record    plays all scenes on new chains; writes all of them
python -m tests.chain.recordings add       plays all, writes those that are not there yet
python -m tests.chain.recordings decode    writes decoded.txt from the answers that are there
"""

import asyncio
import sys

from tests.chain.recordings.recording import (
    DECODED,
    Recording,
    decoded,
    keep,
    kept,
    read_otherwise,
)
from tests.chain.recordings.scenes import play_all


def main(words: list[str]) -> int:
    """Returns the exit status."""
    match words:
        case ["record"]:
            keep(asyncio.run(play_all()))
        case ["add"]:
            there = {one.name: one for one in kept()}
            keep(there.get(one.name, one) for one in asyncio.run(play_all()))
        case ["decode"]:
            pass
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    return _tell(kept())


def _tell(recordings: list[Recording]) -> int:
    text = decoded(recordings)
    old = DECODED.read_text() if DECODED.exists() else ""
    changed = read_otherwise(old, text)
    if changed:
        sys.stderr.write(f"raise DECODER_VERSION first: {', '.join(changed)} read otherwise\n")
        return 1
    DECODED.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
