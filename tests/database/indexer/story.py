"""A bond's story on a made-up chain, one transaction a slot, and the books behind it."""

import struct
from dataclasses import dataclass, field
from typing import Final

from solders.pubkey import Pubkey

from settlement.bonds import lifecycle, seizure
from settlement.bonds.lifecycle import Standing
from settlement.bonds.rules import Seizure
from settlement.chain import program
from settlement.chain.answers import Account, AccountAt
from settlement.chain.layouts import account_discriminator
from settlement.db.pool import reading
from settlement.ledger import accounts
from settlement.money import Lamports, Slot
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import FakeNode, follower
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BLOCK_TIME,
    BOND,
    DEPLOYMENT,
    TILL,
    Call,
    answer,
    call,
    checked,
    signature,
)

AMOUNT: Final = 50_000_000
FIRST_SLOT: Final = 10
EVIDENCE, REPLY = b"e" * 32, b"r" * 32
TIMES: Final = (1_791_000_000, 1_792_000_000, 1_793_000_000)
REFUSED: Final = "the books refused an event"


@dataclass
class Story:
    """A chain that grows by one transaction a slot, and the books behind it."""

    desk: Desk
    first: Pubkey  # first beneficiary of the bond it is about
    node: FakeNode = field(default_factory=FakeNode)

    @property
    def address(self) -> Pubkey:
        """The bond's."""
        return DEPLOYMENT.bond(self.desk.bond_code, self.first)

    @property
    def counted(self) -> str:
        """Where the operator's bond is owed."""
        return accounts.bond(self.desk.provider_id)

    @property
    def uncounted(self) -> str:
        """Where a stranger's is."""
        return accounts.bond_unenrolled(str(self.address))

    async def see(self, *calls: Call, till: int = 0, bond: int = 0, slot: int = 0) -> None:
        """One more transaction, read to the end."""
        number = len(self.node.answers)
        made = answer(*calls, till=till, bond=bond)
        made.signature, made.slot = signature(number), slot or FIRST_SLOT + number
        self.node.add(made)
        await self.follow()

    async def follow(self) -> None:
        """A round that leaves nothing open."""
        now = await follower(self.node, self.desk.pool, self.desk.writer).round()
        assert (now.standing.wanted, now.standing.unreadable) == (0, 0)

    async def post(self) -> None:
        """The bond is opened by its depositor."""
        await self.see(self.opening(), bond=AMOUNT)

    def opening(self, amount: int = AMOUNT) -> Call:
        built = program.PostBond(
            depositor=ALICE,
            funder=ALICE,
            depositor_ata=ALICE_ATA,
            bond=self.address,
            code=self.desk.bond_code,
            beneficiary=self.first,
        )
        return executed(built, checked(ALICE_ATA, BOND, amount))

    async def step(self, *instructions: program.ProgramInstruction, slot: int = 0) -> None:
        """Instructions that move nothing, in one transaction."""
        await self.see(*(executed(one) for one in instructions), slot=slot)

    async def seize(self) -> None:
        """The bond goes to the till."""
        await self.see(self.seizing(), bond=-AMOUNT, till=AMOUNT)

    def seizing(self, amount: int = AMOUNT) -> Call:
        built = program.ExecuteSeizure(
            bond=self.address, rent_payer=ALICE, code=self.desk.bond_code
        )
        return executed(built, checked(BOND, TILL, amount))

    async def release(self, beneficiary: Pubkey) -> None:
        """The bond goes back."""
        await self.see(self.releasing(beneficiary), bond=-AMOUNT)

    def releasing(self, beneficiary: Pubkey, amount: int = AMOUNT) -> Call:
        back = program.associated_token_address(beneficiary, DEPLOYMENT.mint)
        built = program.Release(
            bond=self.address,
            beneficiary=beneficiary,
            destination=back,
            rent_payer=ALICE,
            code=self.desk.bond_code,
        )
        return executed(built, checked(BOND, back, amount))

    def retire(self) -> program.Retire:
        return program.Retire(signer=self.first, bond=self.address, code=self.desk.bond_code)

    def cancel_retire(self) -> program.CancelRetire:
        return program.CancelRetire(
            beneficiary=self.first, bond=self.address, code=self.desk.bond_code
        )

    def hand_over(self, old: Pubkey, new: Pubkey) -> program.SetBeneficiary:
        return program.SetBeneficiary(
            beneficiary=old, new_beneficiary=new, bond=self.address, code=self.desk.bond_code
        )

    def propose(self, evidence: bytes = EVIDENCE) -> program.ProposeSeizure:
        return program.ProposeSeizure(
            proposer=ALICE,
            bond=self.address,
            code=self.desk.bond_code,
            evidence_hash=evidence,
            reason=7,
        )

    def contest(self) -> program.Contest:
        return program.Contest(
            beneficiary=self.first, bond=self.address, code=self.desk.bond_code, reply_hash=REPLY
        )

    def uphold(self) -> program.Uphold:
        return program.Uphold(arbiter=ALICE, bond=self.address, code=self.desk.bond_code)

    def withdraw(self) -> program.WithdrawProposal:
        return program.WithdrawProposal(proposer=ALICE, bond=self.address, code=self.desk.bond_code)

    def dismiss(self) -> program.Dismiss:
        return program.Dismiss(arbiter=ALICE, bond=self.address, code=self.desk.bond_code)

    def lapse(self) -> program.Lapse:
        return program.Lapse(bond=self.address, code=self.desk.bond_code)

    async def standing(self) -> Standing:
        """The operator's."""
        async with reading(self.desk.pool) as conn:
            return (await lifecycle.standing(conn, self.desk.provider_id)).state

    async def seizure(self) -> Seizure | None:
        """The bond's, as the books know it."""
        async with reading(self.desk.pool) as conn:
            return await seizure.open_seizure(conn, str(self.address))

    async def calm(self) -> None:
        """Nothing is told to people, nothing stands still."""
        assert await self.desk.incidents() == []
        assert await self.desk.halts() == ()

    def account(self, state: program.SeizureState) -> None:
        """The node shows the bond's account with this seizure open."""
        head = struct.pack("<BBBBBBH", 1, 255, 1, state, 0, 1, 7)
        keys = self.desk.bond_code + bytes(self.first) * 2 + bytes(ALICE)
        clocks = struct.pack("<Q11q", AMOUNT, BLOCK_TIME, 0, 0, 5, 6, 7, 8, BLOCK_TIME, *TIMES)
        data = account_discriminator("Bond") + head + keys + clocks + EVIDENCE + REPLY + EVIDENCE
        self.node.accounts_held[self.address] = AccountAt(
            slot=Slot(self.node.tip),
            account=Account(
                owner=DEPLOYMENT.program_id,
                lamports=Lamports(1),
                data=data + bytes(64),
                executable=False,
            ),
        )


def executed(instruction: program.ProgramInstruction, *children: Call) -> Call:
    return call(program.build(DEPLOYMENT, instruction), *children)
