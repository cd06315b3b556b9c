"""What `--to` names: a USDC account itself, or the wallet that owns one; nothing else."""

import base64

import pytest
from solders.pubkey import Pubkey

from cli.bond.releasing import Destination, OtherToken, named_destination
from cli.transaction.purse import purse_address
from cli.transaction.target import Target
from settlement.chain.program import TOKEN_PROGRAM
from settlement.chain.rpc import open_rpc
from tests.pure.cli.bonds import DEPLOYMENT, STRANGER, config
from tests.pure.faulty_node import node, result

TO = Pubkey(bytes([44]) * 32)


def token(mint: Pubkey, owner: Pubkey) -> object:
    """A token account as a node shows it."""
    data = (bytes(mint) + bytes(owner)).ljust(108, b"\0") + b"\1"
    shown = [base64.b64encode(data.ljust(165, b"\0")).decode(), "base64"]
    return {"owner": str(TOKEN_PROGRAM), "lamports": 1, "data": shown, "executable": False}


async def named(itself: object, its_usdc: object) -> Destination:
    """What `--to` means where these two accounts stand."""
    answer = result({"context": {"slot": 1}, "value": [itself, its_usdc]})
    async with node(answer) as one, open_rpc([one.url]) as rpc:
        target = Target(rpc=rpc, deployment=DEPLOYMENT, config=config(), coordinator=None)
        found = await named_destination(target, TO)
        [asked, _] = one.asked[0]["params"]
    assert asked == [str(TO), str(purse_address(DEPLOYMENT, TO))]
    return found


async def test_a_usdc_account_is_taken_as_it_is() -> None:
    found = await named(token(DEPLOYMENT.mint, STRANGER), None)
    assert (found.purse.address, found.purse.owner, found.creates) == (TO, STRANGER, False)


async def test_a_wallet_is_paid_in_its_own_account() -> None:
    found = await named(None, token(DEPLOYMENT.mint, TO))
    assert (found.purse.address, found.creates) == (purse_address(DEPLOYMENT, TO), False)


async def test_a_wallet_without_an_account_gets_one() -> None:
    found = await named(None, None)
    assert (found.purse.address, found.creates) == (purse_address(DEPLOYMENT, TO), True)


async def test_another_token_is_refused() -> None:
    with pytest.raises(OtherToken):
        await named(token(Pubkey.new_unique(), TO), None)
