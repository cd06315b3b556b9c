"""What a case is: a world, an instruction that would succeed in it, and who signs."""

from dataclasses import dataclass

from solders.instruction import Instruction
from solders.keypair import Keypair

from tests.program.world import World, new_world

CODE = b"Enroll01"
USER_CODE = bytes.fromhex("00ff10a2b3c4d5e6")
REFERENCE = bytes(range(16))
EVIDENCE = bytes(range(32))
REPLY = bytes(range(32, 64))
DAY_SECONDS = 86_400


@dataclass(kw_only=True)
class Case:
    """A world, an instruction that would succeed in it, and who signs."""

    world: World
    instruction: Instruction
    signers: list[Keypair]

    def send(self) -> int:
        """Send it; returns the compute units used."""
        return self.world.send(self.instruction, signers=self.signers).compute_units_consumed()

    def refuse(self, instruction: Instruction, *more: Keypair) -> str:
        """Send a spoiled one, signed by those who still must; returns the error's name."""
        needed = {meta.pubkey for meta in instruction.accounts if meta.is_signer}
        signers = [key for key in (*self.signers, *more) if key.pubkey() in needed]
        return self.world.refuse(instruction, signers=signers)


def ready(*, till_microusdc: int = 0) -> World:
    world = new_world()
    world.initialize()
    if till_microusdc:
        world.fill_till(till_microusdc)
    return world
