"""Which error is told when several are true: the frozen order of checks, walked for `pay`.

All faults are put into one call; removing the first each time must uncover the next.
"""

from dataclasses import dataclass

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.program.cases import Case, pay_case
from tests.program.world import USDC, with_account, with_data

PAYER, DESTINATION, TILL_AUTHORITY, PAYOUTS, MINT, TOKEN_PROGRAM = 0, 1, 2, 4, 6, 7
IN_ORDER = (
    "InvalidInstruction",
    "WrongAccountCount",
    "WrongProgram",
    "WrongAddress",
    "NotWritable",
    "DuplicateAccount",
    "WrongMint",
    "MissingSignature",
    "Unauthorized",
    "Paused",
    "AlreadySkipped",
    "CapExceeded",
    "FrozenTokenAccount",
    "InsufficientVault",
)
AMOUNT = 300 * USDC  # more than the till has


@dataclass(kw_only=True)
class Faults:
    """Builds the call that has just these faults."""

    case: Case
    present: tuple[str, ...]
    imposter: Keypair

    def prepare_world(self) -> None:
        world = self.case.world
        if "Paused" in self.present:
            world.pause("payouts", world.now + 60)
        if "AlreadySkipped" in self.present:
            world.skip(first=7)
        if "CapExceeded" in self.present:
            world.set_caps(single=AMOUNT - 1)
        if "FrozenTokenAccount" in self.present:
            world.freeze(self.case.instruction.accounts[DESTINATION].pubkey)

    def instruction(self) -> Instruction:
        spoiled = self.case.instruction
        deployment = self.case.world.deployment
        changes: dict[str, tuple[int, dict[str, object]]] = {
            "WrongProgram": (TOKEN_PROGRAM, {"pubkey": Pubkey.new_unique()}),
            "WrongAddress": (TILL_AUTHORITY, {"pubkey": Pubkey.new_unique()}),
            "NotWritable": (PAYOUTS, {"is_writable": False}),
            "DuplicateAccount": (DESTINATION, {"pubkey": deployment.till_vault}),
            "WrongMint": (MINT, {"pubkey": Pubkey.new_unique()}),
            "Unauthorized": (PAYER, {"pubkey": self.imposter.pubkey()}),
            "MissingSignature": (PAYER, {"is_signer": False}),
        }
        for name, (place, change) in changes.items():
            if name in self.present:
                spoiled = with_account(spoiled, place, **change)
        if "WrongAccountCount" in self.present:
            extra = AccountMeta(Pubkey.new_unique(), is_signer=False, is_writable=False)
            accounts = [*spoiled.accounts, extra]
            spoiled = Instruction(spoiled.program_id, spoiled.data, accounts)
        if "InvalidInstruction" in self.present:
            spoiled = with_data(spoiled, bytes(spoiled.data) + b"\0")
        return spoiled


@pytest.mark.parametrize("first", range(len(IN_ORDER)))
def test_the_first_of_many_is_told(first: int) -> None:
    case = pay_case(sequence=7, amount_microusdc=AMOUNT)
    faults = Faults(case=case, present=IN_ORDER[first:], imposter=Keypair())
    faults.prepare_world()
    assert case.refuse(faults.instruction(), faults.imposter) == IN_ORDER[first]
