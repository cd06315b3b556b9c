"""The rules of docs/deposits.md that the books hold: who is credited, what waits, what is told."""

from uuid import UUID

import pytest
from solders.pubkey import Pubkey

from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import Standing
from settlement.chain import program
from settlement.db.pool import reading
from settlement.ledger import accounts
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import FakeNode, follower
from tests.pure.transactions import (
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    TILL,
    Answer,
    Call,
    answer,
    batch,
    deposit,
    key,
    memo,
    signature,
    transfer,
)

NOBODYS = bytes(8)
AUNTS = key("aunt's")


async def booked(desk: Desk, *made: Answer) -> None:
    """Follow a chain of these transactions to its end."""
    node = FakeNode()
    for number, one in enumerate(made):
        one.signature, one.slot = signature(number), 10 + number
    node.add(*made)
    now = await follower(node, desk.pool, desk.writer).round()
    assert (now.standing.wanted, now.standing.unreadable) == (0, 0)


def plain(amount: int, *memos: str, source: Pubkey = ALICE_ATA, times: int = 1) -> Answer:
    """Transfers into the till in one Batch, with memos."""
    moved = batch(*[transfer(source, TILL, amount)] * times)
    return answer(moved, *map(memo, memos), till=amount * times)


async def test_whoever_pays_the_code_says_who_is_credited(desk: Desk) -> None:
    await booked(
        desk,
        answer(deposit(desk.user_code, 5, depositor=key("aunt")), till=5),
        plain(6, desk.user_code.hex(), source=AUNTS),
    )
    assert await desk.nets() == {desk.user: 11, "chain:till": -11}
    assert str(AUNTS) in await sources(desk)


async def sources(desk: Desk) -> set[str]:
    """The paying token accounts, as the books keep them with each credit."""
    return {
        row["source"]
        for row in await desk.rows("select meta->>'source' as source from settlement.txn")
    }


async def test_too_little_too_much_and_twice_are_booked_as_they_came(desk: Desk) -> None:
    one, large = deposit(desk.user_code, 1), deposit(desk.user_code, 10**12)
    await booked(desk, answer(one, till=1), answer(one, one, till=2), answer(large, till=10**12))
    assert await desk.nets() == {desk.user: 10**12 + 3, "chain:till": -(10**12) - 3}
    assert await desk.incidents() == []


async def test_a_memo_with_one_code_credits_all_transfers_of_its_payer(desk: Desk) -> None:
    text = desk.user_code.hex()
    await booked(desk, plain(5, text, f"again: {text.upper()}"), plain(7, text, times=2))
    assert await desk.nets() == {desk.user: 19, "chain:till": -19}


async def test_a_memo_with_two_codes_credits_nobody(desk: Desk) -> None:
    other = await desk.another_user()
    text, another = desk.user_code.hex(), other.user_code.hex()
    await booked(
        desk, plain(5, text, another), plain(6, f"{text} POD-BOND-{desk.bond_code.decode()}")
    )
    assert await desk.nets() == {accounts.SUSPENSE: 11, "chain:till": -11}


async def test_what_names_nobody_waits_in_suspense_with_what_was_said(desk: Desk) -> None:
    said = answer(deposit(NOBODYS, 5), till=5)
    await booked(desk, said, plain(6, "rent"))
    assert await desk.nets() == {accounts.SUSPENSE: 11, "chain:till": -11}
    rows = await desk.rows(
        "select e.facts->>'code' as code, e.facts->>'source' as source from indexer.event e"
        " join indexer.signature s using (cluster, signature) order by s.slot"
    )
    assert [row["code"] for row in rows] == [NOBODYS.hex(), None]
    assert {row["source"] for row in rows} == {str(ALICE_ATA)}
    assert await desk.incidents() == []
    assert await desk.halts() == ()


async def test_a_bond_code_is_never_a_users_balance(desk: Desk) -> None:
    text = f"POD-BOND-{desk.bond_code.decode()}"
    await booked(desk, answer(deposit(desk.bond_code, 5), till=5), plain(6, text))
    assert await desk.nets() == {accounts.bond_pending(desk.provider_id): 11, "chain:till": -11}
    found = await standing(desk, desk.provider_id)
    assert (found.state, found.pending_microusdc) == (Standing.PENDING, 11)


async def standing(desk: Desk, provider_id: UUID) -> lifecycle.BondStanding:
    async with reading(desk.pool) as conn:
        return await lifecycle.standing(conn, provider_id)


async def test_straight_into_the_bond_vault_is_suspense(desk: Desk) -> None:
    text = f"POD-BOND-{desk.bond_code.decode()}"
    await booked(desk, answer(transfer(ALICE_ATA, BOND, 5), memo(text), bond=5))
    assert await desk.nets() == {accounts.SUSPENSE: 5, "chain:bond": -5}


@pytest.mark.parametrize("code", ["user", "bond"])
async def test_minted_money_names_nobody(desk: Desk, code: str) -> None:
    text = desk.user_code.hex() if code == "user" else f"POD-BOND-{desk.bond_code.decode()}"
    data = bytes([7]) + (5).to_bytes(8, "little")
    minted = Call(program.TOKEN_PROGRAM, [DEPLOYMENT.mint, TILL, key("issuer")], data)
    await booked(desk, answer(minted, memo(text), till=5))
    assert await desk.nets() == {accounts.SUSPENSE: 5, "chain:till": -5}


async def test_what_does_not_add_up_is_told_and_credits_nobody(desk: Desk) -> None:
    """Also when there is nothing to book: an instruction that moved money, an unchanged balance."""
    await booked(desk, answer(deposit(desk.user_code, 5)))
    assert await desk.nets() == {}
    assert await desk.incidents() == [
        "movements do not add up",
        "unknown instruction of our program",
    ]
    assert await desk.halts() == ()
