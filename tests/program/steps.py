"""What somebody tries: an instruction and who signs it, wanted done or wanted refused."""

from dataclasses import dataclass
from typing import NamedTuple

from solders.instruction import Instruction
from solders.keypair import Keypair

from settlement.chain.program import ProgramInstruction
from tests.program.world import World


class Step(NamedTuple):
    """An instruction and who signs it."""

    instruction: Instruction
    signers: tuple[Keypair, ...] = ()


@dataclass(kw_only=True)
class Trying:
    """Steps tried in one world: `send` wants them done, `refuse` wants them refused."""

    world: World

    def send(self, *steps: Step) -> None:
        """All of them in one transaction."""
        signers = [key for step in steps for key in step.signers]
        self.world.send(*(step.instruction for step in steps), signers=signers)

    def refuse(self, *steps: Step) -> str:
        """The same, and it must fail; the error's name."""
        signers = [key for step in steps for key in step.signers]
        return self.world.refuse(*(step.instruction for step in steps), signers=signers)

    def until(self, time: int) -> None:
        """Let the clock show this time."""
        self.world.advance(time - self.world.now)

    def _step(self, instruction: ProgramInstruction, *signers: Keypair) -> Step:
        return Step(self.world.build(instruction), signers)
