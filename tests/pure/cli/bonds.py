"""Facts of bonds for tests: real addresses, any state, any time."""

from dataclasses import replace
from typing import Any, Final

from solders.pubkey import Pubkey

from cli.bond.facts import Facts
from cli.bond.plans import Actor
from cli.transaction.purse import Purse, purse_address
from settlement.chain.answers import Account, AccountAt
from settlement.chain.layouts import VACANT, Parameters, PauseRecord, PauseRecords
from settlement.chain.program import TOKEN_PROGRAM, Bond, BondState, Config, Deployment
from settlement.chain.tokens import TokenAccount, TokenState
from settlement.money import Lamports, MicroUsdc, Slot

CODE: Final = b"a1B2c3D4"
NOW: Final = 1_800_000_000
DAY: Final = 86_400
BENEFICIARY: Final = Pubkey(bytes([7]) * 32)
STRANGER: Final = Pubkey(bytes([8]) * 32)
PROPOSER: Final = Pubkey(bytes([9]) * 32)
DEPLOYMENT: Final = Deployment(Pubkey(bytes([1]) * 32), Pubkey(bytes([2]) * 32))
BOND_ADDRESS: Final = DEPLOYMENT.bond(CODE, BENEFICIARY)
WHOLE: Final = MicroUsdc(50_000_000)

OWNER: Final = Actor(wallet=BENEFICIARY, payer=BENEFICIARY)
ANYBODY: Final = Actor(wallet=STRANGER, payer=STRANGER)


def pause(until: int = 0) -> PauseRecord:
    return PauseRecord(paused_until=until, not_before=until, by=VACANT)


def config(**pauses: int) -> Config:
    """The real parameters; pauses by name, until when."""
    names = ("deposits", "payouts", "seizures", "releases")
    fields: dict[str, Any] = {
        "ops_wallet": DEPLOYMENT.till_authority,
        "mint": DEPLOYMENT.mint,
        "till_vault": DEPLOYMENT.till_vault,
        "bond_vault": DEPLOYMENT.bond_vault,
        "escrow": DEPLOYMENT.escrow,
        "payouts": DEPLOYMENT.payouts,
        "proposer": PROPOSER,
        "parameters": Parameters(),
        "pending_parameters": Parameters(),
        "pauses": PauseRecords(**{name: pause(pauses.get(name, 0)) for name in names}),
    }
    keys = ("admin", "pending_admin", "arbiter", "guardian", "payer", "pending_role_key")
    numbers = (
        "config_bump", "payouts_bump", "till_bump", "escrow_bump", "pending_role",
        "pending_admin_ready_at", "pending_admin_expires_at", "pending_role_ready_at",
        "pending_parameters_ready_at",
    )  # fmt: skip
    return Config(**dict.fromkeys(keys, VACANT), **dict.fromkeys(numbers, 0), **fields)


def token_account(
    amount: int, *, owner: Pubkey = BENEFICIARY, frozen: bool = False
) -> TokenAccount:
    return TokenAccount(
        mint=DEPLOYMENT.mint,
        owner=owner,
        amount=amount,
        state=TokenState.FROZEN if frozen else TokenState.INITIALIZED,
        delegate=None,
        close_authority=None,
    )


def purse(amount: int | None, *, owner: Pubkey = BENEFICIARY, frozen: bool = False) -> Purse:
    """Its token account; None: there is none."""
    return Purse(
        owner=owner,
        address=purse_address(DEPLOYMENT, owner),
        account=None if amount is None else token_account(amount, owner=owner, frozen=frozen),
    )


def vault(*, frozen: bool = False) -> AccountAt:
    data = bytearray(165)
    data[0:64] = bytes(DEPLOYMENT.mint) + bytes(DEPLOYMENT.escrow)
    data[108] = 2 if frozen else 1
    account = Account(owner=TOKEN_PROGRAM, lamports=Lamports(1), data=bytes(data), executable=False)
    return AccountAt(slot=Slot(1), account=account)


def bond(**changed: Any) -> Bond:  # noqa: ANN401
    """Posted a hundred days ago under the real terms."""
    posted = Bond(
        state=BondState.POSTED,
        code=CODE,
        beneficiary=BENEFICIARY,
        first_beneficiary=BENEFICIARY,
        rent_payer=BENEFICIARY,
        amount_microusdc=WHOLE,
        posted_at=NOW - 100 * DAY,
        cooldown_seconds=90 * DAY,
        dispute_seconds=7 * DAY,
        decision_seconds=14 * DAY,
        execution_seconds=14 * DAY,
    )
    return replace(posted, **changed)


def facts(it: Bond | None, **changed: Any) -> Facts:  # noqa: ANN401
    """Now, unpaused, with money."""
    plain = Facts(
        deployment=DEPLOYMENT,
        config=config(),
        now=NOW,
        code=CODE,
        address=BOND_ADDRESS,
        bond=it,
        purse=purse(WHOLE),
        bond_vault=vault(),
    )
    return replace(plain, **changed)
