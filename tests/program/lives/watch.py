"""What must hold whatever the model thinks: the promises of the program, each looked for on chain.

Nothing of the model is used here. `Watch` remembers what only time shows: numbers once used, bonds
once closed, seizures once contested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from solders.pubkey import Pubkey

from settlement.chain.instructions import (
    Contest,
    ExecuteSeizure,
    FundBond,
    Pay,
    ProgramInstruction,
    ProposeSeizure,
    Release,
    Skip,
    SweepSurplus,
    Uphold,
)
from settlement.chain.layouts import VACANT, Bond, BondState, Config, SeizureState
from tests.program.lives.chain import DEPLOYMENT, Snapshot, TokensMoved, bond_address

OPEN = (BondState.POSTED, BondState.RETIRING)


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One instruction that was carried out, and what it moved."""

    instruction: ProgramInstruction
    signers: frozenset[Pubkey]
    moved: tuple[TokensMoved, ...]


@dataclass(kw_only=True)
class Watch:
    """What was seen so far, and the checks."""

    base: int
    numbers: dict[int, str] = field(default_factory=dict[int, str])
    payments: list[int] = field(default_factory=list[int])
    closed: dict[Pubkey, BondState] = field(default_factory=dict[Pubkey, BondState])
    known: set[Pubkey] = field(default_factory=set[Pubkey])
    verdicts: dict[Pubkey, str] = field(default_factory=dict[Pubkey, str])

    def saw(
        self, before: Snapshot, happened: Sequence[Happened], after: Snapshot, now: int
    ) -> None:
        """Check one transaction that was carried out."""
        for each in happened:
            self._check_money(each, before)
            self._check_number(each.instruction)
            self._check_verdict(each.instruction)
        if len(happened) == 1:
            # In a longer transaction an earlier instruction may have changed what was before.
            self._check_times(happened[0].instruction, before, now)
        self._check_vaults(before, happened, after)
        for number in self.numbers:
            assert after.payouts.is_used(number), f"number {number} was given up"

    def check(self, at: Snapshot) -> None:
        """What must hold at any moment."""
        opened = [bond for bond in at.bonds.values() if bond.state in OPEN]
        owed = sum(bond.amount_microusdc for bond in opened)
        assert at.escrow.total_bonded_microusdc == owed
        assert at.escrow.open_count == len(opened)
        assert at.balance(DEPLOYMENT.bond_vault) >= owed
        assert at.payouts.paid_count == len(self.payments)
        assert at.payouts.paid_total_microusdc == sum(self.payments)
        check_roles(at.config)
        self._check_addresses(at)

    def _check_addresses(self, at: Snapshot) -> None:
        fixed = {DEPLOYMENT.config, DEPLOYMENT.escrow, DEPLOYMENT.payouts}
        assert set(at.accounts) - set(at.bonds) == fixed
        assert self.known <= set(at.bonds), "a bond is gone without a tombstone"
        for address, bond in at.bonds.items():
            if bond.state in OPEN:
                assert address == bond_address(bond.code, bond.first_beneficiary)
                assert address not in self.closed, "a closed bond lives again"
            else:
                assert address in self.known, "a tombstone of what never was"
                assert self.closed.setdefault(address, bond.state) == bond.state
        self.known |= set(at.bonds)

    def _check_money(self, each: Happened, before: Snapshot) -> None:
        """Bond money goes to the beneficiary or the till; till money by `pay` and `fund_bond`."""
        for moved in each.moved:
            if moved.source == DEPLOYMENT.bond_vault:
                _check_bond_money(each, moved, before)
            elif moved.source == DEPLOYMENT.till_vault:
                self._check_till_money(each.instruction, moved)

    def _check_till_money(self, it: ProgramInstruction, moved: TokensMoved) -> None:
        match it:
            case Pay():
                assert (moved.destination, moved.amount) == (it.destination, it.amount_microusdc)
            case FundBond():
                assert moved.destination == DEPLOYMENT.bond_vault
            case _:
                raise AssertionError(f"till money moved by {it}")
        self.payments.append(moved.amount)

    def _check_number(self, it: ProgramInstruction) -> None:
        match it:
            case Pay() | FundBond():
                assert it.sequence >= self.base
                assert it.sequence not in self.numbers, f"number {it.sequence} used twice"
                self.numbers[it.sequence] = "paid"
            case Skip():
                for number in it.sequences:
                    assert number >= self.base
                    assert self.numbers.get(number) != "paid", f"paid number {number} burned"
                    self.numbers[number] = "skipped"
            case _:
                pass

    def _check_verdict(self, it: ProgramInstruction) -> None:
        """Nothing that was contested is executed without an uphold since."""
        match it:
            case ProposeSeizure():
                self.verdicts[it.bond] = "proposed"
            case Contest():
                self.verdicts[it.bond] = "contested"
            case Uphold():
                assert self.verdicts[it.bond] == "contested"
                self.verdicts[it.bond] = "upheld"
            case ExecuteSeizure():
                assert self.verdicts[it.bond] in ("proposed", "upheld")
            case _:
                pass

    def _check_times(self, it: ProgramInstruction, before: Snapshot, now: int) -> None:
        match it:
            case Release():
                bond = before.bonds[it.bond]
                assert bond.state is BondState.RETIRING
                assert bond.seizure_state is SeizureState.NONE
                assert now >= bond.release_at == bond.retiring_at + bond.cooldown_seconds
            case ExecuteSeizure():
                bond = before.bonds[it.bond]
                assert bond.seizure_state in (SeizureState.PROPOSED, SeizureState.UPHELD)
                assert bond.execute_after <= now < bond.dies_at
                assert bond.execute_after == bond.proposed_at + bond.dispute_seconds
            case _:
                pass

    def _check_vaults(
        self, before: Snapshot, happened: Sequence[Happened], after: Snapshot
    ) -> None:
        """Nothing but the transfers seen has changed either vault."""
        for vault in (DEPLOYMENT.till_vault, DEPLOYMENT.bond_vault):
            moved = [one for each in happened for one in each.moved]
            given = sum(one.amount for one in moved if one.destination == vault)
            taken = sum(one.amount for one in moved if one.source == vault)
            assert after.balance(vault) == before.balance(vault) + given - taken


def _check_bond_money(each: Happened, moved: TokensMoved, before: Snapshot) -> None:
    match each.instruction:
        case Release() as it:
            signed = it.beneficiary in each.signers
            token = before.tokens[moved.destination]
            assert token is not None
            assert moved.destination == it.destination
            assert signed or token.owner == it.beneficiary
            bond = before.bonds.get(it.bond)
            assert bond is None or bond.amount_microusdc == moved.amount
        case ExecuteSeizure() | SweepSurplus():
            assert moved.destination == DEPLOYMENT.till_vault
        case it:
            raise AssertionError(f"bond money moved by {it}")


def check_roles(config: Config) -> None:
    """Somebody is admin, and nobody is two."""
    roles = (config.proposer, config.arbiter, config.guardian, config.payer)
    assert config.admin != VACANT
    for one, other in combinations((config.admin, *roles), 2):
        assert one != other or one == VACANT


def longest_hold_seconds(bond: Bond, pause_seconds: int) -> int:
    """From the moment its holder asks for it: nobody can keep a bond longer than this."""
    seizure = bond.dispute_seconds + bond.decision_seconds + bond.execution_seconds
    return bond.cooldown_seconds + seizure + pause_seconds


def open_bonds(at: Snapshot) -> Mapping[Pubkey, Bond]:
    """Bonds whose money is in the vault."""
    return {address: bond for address, bond in at.bonds.items() if bond.state in OPEN}
