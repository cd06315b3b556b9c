"""All scenes there are."""

from tests.chain.recordings import bond_scenes, deposit_scenes, owner_scenes, plain_scenes
from tests.chain.recordings.recording import Recording


async def play_all() -> list[Recording]:
    """Plays everything on new chains; by name."""
    found = [
        *await deposit_scenes.play(),
        *await plain_scenes.play(),
        *await bond_scenes.play(),
        *await owner_scenes.play(),
    ]
    return sorted(found, key=lambda one: one.name)
