"""A deployment as `pod admin` reads it, made up: everybody has a name, nothing is on a chain."""

from dataclasses import replace
from typing import Any, Final

from solders.pubkey import Pubkey

from cli.admin.overview import Overview, VaultAt
from cli.admin.plans.opening import config_to_be
from cli.transaction.proposal import NothingToDo, Proposal
from settlement.chain.layouts import RING_WORDS, VACANT, Bond, Escrow, Parameters, Payouts
from settlement.chain.program import (
    BondState,
    Deployment,
    InitialRoles,
    ProgramInstruction,
    decode_instruction,
)
from settlement.money import MicroUsdc, Slot

NOW: Final = 1_800_000_000
DAY: Final = 86_400
USDC: Final = 1_000_000
DEPLOYMENT: Final = Deployment(Pubkey.new_unique(), Pubkey.new_unique())
ADMIN, PROPOSER, ARBITER, GUARDIAN, PAYER = (Pubkey.new_unique() for _ in range(5))
AUTHORITY, NOBODY_KNOWN = Pubkey.new_unique(), Pubkey.new_unique()
CODE: Final = b"Enroll01"

_EMPTY: Final = (0,) * RING_WORDS


def payouts(**changed: Any) -> Payouts:  # noqa: ANN401
    """No number used, nothing approved, but for what is changed."""
    fresh = Payouts(
        base=0,
        used=_EMPTY,
        paid=_EMPTY,
        paid_count=0,
        paid_total_microusdc=MicroUsdc(0),
        half_window_started_at=0,
        half_window_spent_microusdc=MicroUsdc(0),
        previous_half_window_spent_microusdc=MicroUsdc(0),
        approved_sequence=0,
        approved_amount_microusdc=MicroUsdc(0),
        approved_destination=VACANT,
        approved_reference=bytes(16),
        approval_expires_at=0,
    )
    return replace(fresh, **changed)


def overview(**changed: Any) -> Overview:  # noqa: ANN401
    """Freshly set up; `changed` replaces fields of Config, or of the overview itself."""
    roles = InitialRoles(
        admin=ADMIN, proposer=PROPOSER, arbiter=ARBITER, guardian=GUARDIAN, payer=PAYER
    )
    found = Overview(
        deployment=DEPLOYMENT,
        slot=Slot(7),
        now=NOW,
        config=config_to_be(DEPLOYMENT, roles, Parameters()),
        payouts=payouts(),
        escrow=Escrow(total_bonded_microusdc=MicroUsdc(50 * USDC), open_count=1),
        till=_vault(DEPLOYMENT.till_vault, 9 * USDC),
        bonds=_vault(DEPLOYMENT.bond_vault, 50 * USDC),
        upgrade_authority=AUTHORITY,
    )
    own = {name: changed.pop(name) for name in set(changed) & set(Overview.__dataclass_fields__)}
    return replace(found, **{"config": replace(found.config, **changed), **own})


def _vault(address: Pubkey, amount: int) -> VaultAt:
    return VaultAt(address=address, amount_microusdc=MicroUsdc(amount), frozen=False)


def bond(**changed: Any) -> Bond:  # noqa: ANN401
    """Posted a while ago under the real terms."""
    owner = Pubkey.new_unique()
    posted = Bond(
        state=BondState.POSTED,
        code=CODE,
        beneficiary=owner,
        first_beneficiary=owner,
        rent_payer=owner,
        amount_microusdc=MicroUsdc(50 * USDC),
        posted_at=NOW - DAY,
        cooldown_seconds=90 * DAY,
        dispute_seconds=7 * DAY,
        decision_seconds=14 * DAY,
        execution_seconds=14 * DAY,
    )
    return replace(posted, **changed)


def instruction_of(planned: Proposal | NothingToDo) -> ProgramInstruction:
    """The one instruction of a proposal, read back from its bytes."""
    assert isinstance(planned, Proposal)
    [one] = planned.instructions
    assert one.program_id == DEPLOYMENT.program_id
    return decode_instruction(bytes(one.data), [meta.pubkey for meta in one.accounts])


def told(planned: Proposal | NothingToDo) -> dict[str, str]:
    """What a proposal says, by label."""
    assert isinstance(planned, Proposal)
    assert len({line.label for line in planned.lines}) == len(planned.lines)
    return {line.label: line.text for line in planned.lines}
