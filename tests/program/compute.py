"""What each instruction may cost, and what it does cost: compute units at bump 255.

A search for an address takes 1,500 more for each bump it misses. Which bump it finds is luck of
the addresses, so the misses of the very case are counted and taken off. An address that is found
by its stored bump is hashed once, whatever the bump.
"""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from settlement.chain import program
from tests.program.cases import CASES, CODE, Case

MISSED_BUMP = 1_500
# One search in a million misses as many bumps.
WORST_MISSES = 20
# Named by the design: deposit, post, fund, retire, release, pay, skip, propose, contest, uphold,
# execute. The others: as measured, and a tenth.
BUDGETS = {
    "initialize": 48_000,
    "deposit_usdc": 2_500,
    "post_bond": 6_500,
    "fund_bond": 6_500,
    "retire": 700,
    "cancel_retire": 400,
    "set_beneficiary": 450,
    "release": 4_000,
    "propose_seizure": 1_000,
    "withdraw_proposal": 700,
    "contest": 1_000,
    "uphold": 1_000,
    "dismiss": 850,
    "execute_seizure": 4_000,
    "lapse": 550,
    "pay": 3_500,
    "approve_pay": 650,
    "skip": 900,
    "sweep_surplus": 1_900,
    "recover_stray": 2_000,
    "set_params": 750,
    "apply_params": 600,
    "cancel_params": 500,
    "grant_role": 700,
    "apply_role": 600,
    "cancel_role": 500,
    "revoke_role": 500,
    "nominate_admin": 2_400,
    "accept_admin": 650,
    "cancel_nomination": 500,
    "pause": 650,
    "unpause": 650,
}
# What an Anchor program would take is an estimate and no measurement. The design page estimates
# 2,000 for retire, 7,000 for release and 15,000 for post_bond; so 2,000 for any instruction, 5,000
# more for a token transfer it makes, and 8,000 more for an account it creates.
ANCHOR_INSTRUCTION, ANCHOR_TRANSFER, ANCHOR_ACCOUNT = 2_000, 5_000, 8_000
_TRANSFERS = {3, 12}
_CREATE_ACCOUNT = bytes(4)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One instruction in compute units."""

    name: str
    at_bump_255: int
    searches: int
    anchor_estimate: int

    @property
    def worst_bump(self) -> int:
        """When each address searched for misses 20 bumps."""
        return self.at_bump_255 + self.searches * WORST_MISSES * MISSED_BUMP

    @property
    def budget(self) -> int:
        return BUDGETS[self.name]

    @property
    def share_percent(self) -> int:
        """Of the estimate for Anchor."""
        return round(100 * self.at_bump_255 / self.anchor_estimate)


def measure(name: str) -> Cost:
    """Run the instruction once on a fresh chain."""
    case = CASES[name]()
    searched = searched_bumps(name, case)
    done = case.world.send(case.instruction, signers=case.signers)
    misses = sum(255 - bump for bump in searched)
    transfers = accounts = 0
    for inner in (each.instruction() for group in done.inner_instructions() for each in group):
        data = bytes(inner.data)
        transfers += data[0] in _TRANSFERS and len(data) in (9, 10)
        accounts += data[:4] == _CREATE_ACCOUNT and len(data) == 52
    return Cost(
        name=name,
        at_bump_255=done.compute_units_consumed() - MISSED_BUMP * misses,
        searches=len(searched),
        anchor_estimate=ANCHOR_INSTRUCTION
        + ANCHOR_TRANSFER * transfers
        + ANCHOR_ACCOUNT * accounts,
    )


def searched_bumps(name: str, case: Case) -> list[int]:
    """The bumps of the addresses this instruction searches for."""
    deployment, data = case.world.deployment, bytes(case.instruction.data)
    if name in ("post_bond", "fund_bond"):
        return [_bump([b"bond", CODE, data[-32:]], deployment.program_id)]
    if name == "release":
        return [_token_bump(case.instruction.accounts[1].pubkey, deployment.mint)]
    loader = [_bump([bytes(deployment.program_id)], program.LOADER_PROGRAM)]
    if name == "nominate_admin":
        return loader
    if name == "initialize":
        ours = [
            _bump([seed], deployment.program_id)
            for seed in (b"config", b"escrow", b"payouts", b"till")
        ]
        vaults = [
            _token_bump(owner, deployment.mint)
            for owner in (deployment.till_authority, deployment.escrow)
        ]
        # The token account program searches for each vault's address again.
        return [*loader, *ours, *vaults, *vaults]
    return []


def _bump(seeds: list[bytes], owner: Pubkey) -> int:
    return Pubkey.find_program_address(seeds, owner)[1]


def _token_bump(owner: Pubkey, mint: Pubkey) -> int:
    return _bump([bytes(owner), bytes(program.TOKEN_PROGRAM), bytes(mint)], program.ATA_PROGRAM)


def table(costs: list[Cost]) -> str:
    """The table of the program's README."""
    lines = [
        "| Instruction | CU at bump 255 | at the worst bump | budget | Anchor, estimated | share |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| `{cost.name}` | {cost.at_bump_255:,} | {cost.worst_bump:,} | {cost.budget:,} "
        f"| {cost.anchor_estimate:,} | {cost.share_percent} % |"
        for cost in costs
    ]
    return "\n".join(lines)
