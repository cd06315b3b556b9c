"""The compute each instruction may use, as in the design: a table, at bump 255.

A search for an address takes 1,500 more for each bump it misses. Which bump it finds is luck of
the code and the beneficiary, so the misses of the very case are counted and allowed for.
"""

import pytest
from solders.pubkey import Pubkey

from settlement.chain import program
from tests.program.cases import CASES, CODE, Case

BUDGETS = {
    "deposit_usdc": 2_500,
    "post_bond": 6_500,
    "fund_bond": 6_500,
    "retire": 700,
    "release": 4_000,
    "pay": 3_500,
    "skip": 900,
}
MISSED_BUMP = 1_500


@pytest.mark.parametrize("name", BUDGETS)
def test_within_its_budget(name: str) -> None:
    case = CASES[name]()
    misses = missed_bumps(name, case)
    assert case.send() <= BUDGETS[name] + MISSED_BUMP * misses


def missed_bumps(name: str, case: Case) -> int:
    """How many bumps the one search of this instruction misses."""
    deployment, data = case.world.deployment, bytes(case.instruction.data)
    if name in ("post_bond", "fund_bond"):
        seeds = [b"bond", CODE, data[-32:]]
        return 255 - Pubkey.find_program_address(seeds, deployment.program_id)[1]
    if name == "release":
        owner = case.instruction.accounts[1].pubkey
        seeds = [bytes(owner), bytes(program.TOKEN_PROGRAM), bytes(deployment.mint)]
        return 255 - Pubkey.find_program_address(seeds, program.ATA_PROGRAM)[1]
    return 0
