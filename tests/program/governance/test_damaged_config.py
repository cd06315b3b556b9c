"""A Config that is not whole stops every instruction that would write it; nothing of it is kept.

No instruction leads to these states; they are written from outside.
"""

import pytest

from tests.program.cases import CASES, Case
from tests.program.governance.office import DAY
from tests.program.governance_cases import GOVERNANCE_CASES

ROLE_AT = {"admin": 208, "proposer": 288, "arbiter": 320, "guardian": 352, "payer": 384}
DISPUTE_AT, PENDING_DISPUTE_AT = 472, 528
WRITERS = list(GOVERNANCE_CASES)


def damage(case: Case, at: int, value: bytes) -> None:
    case.world.patch(case.world.deployment.config, at, value)


@pytest.mark.parametrize("name", WRITERS)
def test_parameters_out_of_their_bounds(name: str) -> None:
    case = GOVERNANCE_CASES[name]()
    for at in (DISPUTE_AT, PENDING_DISPUTE_AT):
        damage(case, at, (14 * DAY + 1).to_bytes(8, "little"))
    assert case.refuse(case.instruction) == "ParamOutOfBounds"


@pytest.mark.parametrize("name", WRITERS)
def test_two_roles_in_one_hand(name: str) -> None:
    case = GOVERNANCE_CASES[name]()
    damage(case, ROLE_AT["arbiter"], bytes(case.world.proposer.pubkey()))
    assert case.refuse(case.instruction) == "RolesNotDistinct"


@pytest.mark.parametrize("name", ["apply_params", "apply_role", "cancel_params", "revoke_role"])
def test_nobody_is_admin(name: str) -> None:
    case = GOVERNANCE_CASES[name]()
    damage(case, ROLE_AT["admin"], bytes(32))
    assert case.refuse(case.instruction) == "RoleVacant"


@pytest.mark.parametrize(
    "name", ["set_params", "grant_role", "cancel_nomination", "unpause", "approve_pay"]
)
def test_without_an_admin_nobody_is_asked(name: str) -> None:
    case = CASES[name]()
    damage(case, ROLE_AT["admin"], bytes(32))
    assert case.refuse(case.instruction) == "RoleVacant"
