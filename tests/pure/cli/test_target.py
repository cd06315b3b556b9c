"""Which deployment is meant, and that no other is taken for it."""

import base64
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from cli.transaction.target import (
    NotDeployed,
    OtherMint,
    Place,
    TargetIncomplete,
    find_target,
    place_of,
)
from cli.workspace import Workspace
from settlement.chain.layouts import (
    CONFIG_SIZE,
    ESCROW_SIZE,
    UnknownAccount,
    account_discriminator,
)
from settlement.chain.rpc import open_rpc
from tests.pure.cli.bonds import DEPLOYMENT, STRANGER
from tests.pure.faulty_node import node, result

MINT_AT = 48


def raw_config() -> bytes:
    data = bytearray(CONFIG_SIZE)
    data[:8] = account_discriminator("Config")
    data[40] = 1
    data[MINT_AT : MINT_AT + 32] = bytes(DEPLOYMENT.mint)
    return bytes(data)


async def mint_of(
    data: bytes | None, *, owner: Pubkey = DEPLOYMENT.program_id, named: Pubkey | None = None
) -> Pubkey:
    """The mint of the deployment that is found where Config is like this."""
    shown = {
        "owner": str(owner),
        "lamports": 1,
        "data": [base64.b64encode(data or b"").decode(), "base64"],
        "executable": False,
    }
    value = None if data is None else shown
    async with node(result({"context": {"slot": 1}, "value": value})) as one:
        place = Place(rpc=one.url, program_id=DEPLOYMENT.program_id, mint=named, coordinator=None)
        async with open_rpc([one.url]) as rpc:
            found = await find_target(rpc, place)
        assert one.asked[0]["params"][0] == str(DEPLOYMENT.config)
    assert found.deployment.program_id == DEPLOYMENT.program_id
    return found.deployment.mint


async def test_the_mint_is_the_configs() -> None:
    assert await mint_of(raw_config()) == DEPLOYMENT.mint
    assert await mint_of(raw_config(), named=DEPLOYMENT.mint) == DEPLOYMENT.mint
    with pytest.raises(OtherMint, match=str(DEPLOYMENT.mint)):
        await mint_of(raw_config(), named=STRANGER)


async def test_what_is_no_deployment() -> None:
    escrow = account_discriminator("Escrow") + b"\1".ljust(ESCROW_SIZE - 8, b"\0")
    with pytest.raises(NotDeployed):
        await mint_of(None)
    with pytest.raises(NotDeployed):
        await mint_of(raw_config(), owner=STRANGER)
    with pytest.raises(NotDeployed):
        await mint_of(escrow)
    with pytest.raises(UnknownAccount):
        await mint_of(raw_config()[:-1])


def test_rpc_and_program_go_together(tmp_path: Path) -> None:
    here = Workspace(directory=tmp_path)
    url, program_id = "http://127.0.0.1:1", DEPLOYMENT.program_id
    for half in (
        {"rpc": url, "program_id": None, "mint": None},
        {"rpc": None, "program_id": program_id, "mint": None},
        {"rpc": None, "program_id": None, "mint": STRANGER},
        {"rpc": url, "program_id": None, "mint": STRANGER},
    ):
        with pytest.raises(TargetIncomplete):
            place_of(here, **half)  # pyright: ignore[reportArgumentType]
    whole = place_of(here, rpc=url, program_id=program_id, mint=None)
    assert (whole.rpc, whole.program_id, whole.coordinator) == (url, program_id, None)
