"""A chain in memory that has bonds: a step works once, and only when its time has come."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from settlement.chain import program
from settlement.chain.answers import Account
from settlement.chain.layouts import BOND_SIZE, account_discriminator
from settlement.chain.movement import ChainMoment, MovementKey
from settlement.chain.program import ExecuteSeizure, Lapse, Release
from settlement.money import Lamports, Slot
from tests.database.payouts.chain import BOND_AMOUNT, FakeChain, token_bytes

POSTED, RETIRING, RELEASED, SEIZED = 1, 2, 3, 4
NONE, PROPOSED, CONTESTED, UPHELD = range(4)
Step = Release | ExecuteSeizure | Lapse
Taken = tuple[MovementKey, ChainMoment, Step]


@dataclass(kw_only=True)
class BondOnChain:
    """What the program holds of a bond."""

    code: bytes
    beneficiary: Pubkey
    rent_payer: Pubkey
    state: int = RETIRING
    seizure: int = NONE
    release_at: int = 0
    execute_after: int = 0
    decide_by: int = 0
    dies_at: int = 0

    def encoded(self) -> bytes:
        raw = account_discriminator("Bond")
        raw += bytes([1, 255, self.state, self.seizure, 0, 0]) + bytes(2)
        raw += self.code + bytes(self.beneficiary) * 2 + bytes(self.rent_payer)
        moments = (0, 0, self.release_at, 0, 0, 0, 0, 0)
        moments += (self.execute_after, self.decide_by, self.dies_at)
        raw += BOND_AMOUNT.to_bytes(8, "little")
        raw += b"".join(at.to_bytes(8, "little") for at in moments)
        return raw.ljust(BOND_SIZE, b"\0")


@dataclass
class BondChain(FakeChain):
    """The same chain, with a clock and bonds. `steps` is what an indexer would find finalized."""

    now: int = 1_800_000_000
    bonds: dict[Pubkey, BondOnChain] = field(default_factory=dict[Pubkey, BondOnChain])
    steps: list[Taken] = field(default_factory=list[Taken])
    vault_frozen: bool = False

    def _account(self, address: Pubkey) -> Account | None:
        d = self.deployment
        if address == CLOCK:
            data = bytes(32) + self.now.to_bytes(8, "little")
            owner = program.SYSTEM_PROGRAM
            return Account(owner=owner, lamports=Lamports(1), data=data, executable=False)
        if address == d.bond_vault:
            data = token_bytes(d.mint, d.escrow, 10**12, frozen=self.vault_frozen)
            owner = program.TOKEN_PROGRAM
            return Account(owner=owner, lamports=Lamports(1), data=data, executable=False)
        bond = self.bonds.get(address)
        if bond is not None and bond.state in (POSTED, RETIRING):
            return self._program_account(bond.encoded())
        return super()._account(address)

    def _carry_out(self, done: object, key: MovementKey) -> None:
        if not isinstance(done, Release | ExecuteSeizure | Lapse):
            super()._carry_out(done, key)
            return
        self.height += 1
        bond = self.bonds[done.bond]
        self._must(bond.state in (POSTED, RETIRING), 6041)
        match done:
            case Release():
                self._release(bond, done)
            case ExecuteSeizure():
                self._must(bond.seizure in (PROPOSED, UPHELD), 6021)
                self._must(bond.execute_after <= self.now < bond.dies_at, 6022)
                bond.state = SEIZED
            case Lapse():
                ends = bond.decide_by if bond.seizure == CONTESTED else bond.dies_at
                self._must(bond.seizure != NONE and self.now >= ends, 6022)
                bond.seizure = NONE
        moment = ChainMoment(
            slot=Slot(self.height), block_time=datetime.fromtimestamp(self.now, UTC)
        )
        self.steps.append((key, moment, done))

    def _release(self, bond: BondOnChain, done: Release) -> None:
        self._must(bond.state == RETIRING, 6015)
        self._must(bond.seizure == NONE, 6020)
        self._must(self.now >= bond.release_at, 6019)
        canonical = program.associated_token_address(bond.beneficiary, self.deployment.mint)
        self._must(done.destination == canonical, 6008)
        self._must(done.destination in self.accounts_by_address, 6008)
        self._must(done.rent_payer == bond.rent_payer, 6006)
        bond.state = RELEASED
        self.received[canonical] = self.received.get(canonical, 0) + BOND_AMOUNT
