"""The status meta of a transaction: what a node tells about it, made around its execution."""

import base64
from collections.abc import Callable, Sequence
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey

from localnet.encode import Json, inner_json
from localnet.engine import Outcome
from localnet.tokens import read_mint, read_token_account, ui_amount

AccountOf = Callable[[Pubkey], Account | None]
_LAMPORTS_NONE: Final = 0


def balances(accounts: Sequence[Account | None]) -> list[int]:
    """Lamports per account key."""
    return [account.lamports if account else _LAMPORTS_NONE for account in accounts]


def token_balances(accounts: Sequence[Account | None], account_of: AccountOf) -> list[Json]:
    """The token accounts among the account keys."""
    result: list[Json] = []
    for index, account in enumerate(accounts):
        token = read_token_account(account)
        if token is None or account is None:
            continue
        mint = read_mint(account_of(token.mint))
        if mint is None:
            continue
        result.append(
            {
                "accountIndex": index,
                "mint": str(token.mint),
                "owner": str(token.owner),
                "programId": str(account.owner),
                "uiTokenAmount": ui_amount(token.amount, mint.decimals, zero_as_null=True),
            }
        )
    return result


def return_data_json(outcome: Outcome) -> Json | None:
    """What the last program returned; None when it returned nothing."""
    if not outcome.return_data:
        return None
    encoded = base64.b64encode(outcome.return_data).decode()
    return {"programId": outcome.return_program, "data": [encoded, "base64"]}


def status_meta(
    outcome: Outcome,
    before: Sequence[Account | None],
    after: Sequence[Account | None],
    loaded: tuple[list[Pubkey], list[Pubkey]],
    tokens: tuple[list[Json], list[Json]],
) -> Json:
    """`meta` of getTransaction with compiled inner instructions."""
    meta: Json = {
        "err": outcome.err,
        "status": {"Ok": None} if outcome.err is None else {"Err": outcome.err},
        "fee": outcome.fee,
        "preBalances": balances(before),
        "postBalances": balances(after),
        "innerInstructions": inner_json(outcome.inner),
        "logMessages": outcome.logs,
        "preTokenBalances": tokens[0],
        "postTokenBalances": tokens[1],
        "rewards": [],
        "loadedAddresses": {
            "writable": [str(address) for address in loaded[0]],
            "readonly": [str(address) for address in loaded[1]],
        },
        "computeUnitsConsumed": outcome.units,
        "costUnits": outcome.units,
    }
    returned = return_data_json(outcome)
    if returned is not None:
        meta["returnData"] = returned
    return meta
