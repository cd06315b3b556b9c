"""Who acts in the demo: the wallets of the localnet's key files, and a fresh one to be paid to."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from cli.story.report import StoryFailed
from cli.workspace import Running
from settlement.chain.program import Deployment


@dataclass(frozen=True, kw_only=True)
class People:
    """The user who pays, the operator who serves, and the wallet earnings go to."""

    user: Keypair
    operator: Keypair
    earnings: Keypair = field(default_factory=Keypair)


def people_of(running: Running) -> People:
    """Read the key files. Raises `StoryFailed` when one is missing."""
    keys = Path(running.keys)
    return People(user=_keypair(keys / "user.json"), operator=_keypair(keys / "operator.json"))


def deployment_of(running: Running) -> Deployment:
    """The program the system runs with."""
    return Deployment(Pubkey.from_string(running.program_id), Pubkey.from_string(running.usdc_mint))


def _keypair(path: Path) -> Keypair:
    try:
        return Keypair.from_bytes(bytes(json.loads(path.read_text())))
    except FileNotFoundError:
        raise StoryFailed(
            f"the demo needs the wallet {path.stem!r}: put its key file at {path}, or name it in"
            " localnet.toml"
        ) from None
