"""Money that arrives: to the user its code names, to a pending bond, or in suspense; and codes."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest
from solders.pubkey import Pubkey

from settlement import deposits
from settlement.chain.movement import Vault
from settlement.db.pool import Pool, Tx, reading, transaction
from settlement.deposits import InvalidWallet, NotEnrolled, VaultDeposit, WalletConflict
from settlement.ledger import accounts, store
from settlement.ledger.operations import Operation
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books


async def enrolled(pool: Pool) -> tuple[UUID, bytes]:
    """A user and their code."""
    user_id = uuid4()
    async with transaction(pool) as tx:
        return user_id, await deposits.enroll_user(tx, user_id)


async def operator(pool: Pool, wallet: str | None = None) -> tuple[UUID, str]:
    """An operator and their code."""
    provider_id = uuid4()
    async with transaction(pool) as tx:
        code = await deposits.enroll_operator(tx, provider_id, wallet or factories.wallet())
    return provider_id, code


def arrived(
    code: bytes | None, amount: int = 25_000_000, vault: Vault = Vault.TILL
) -> VaultDeposit:
    """A deposit seen on chain."""
    return VaultDeposit(
        key=factories.movement(),
        moment=factories.moment(),
        vault=vault,
        amount_microusdc=MicroUsdc(amount),
        code=code,
        source=factories.wallet(),
    )


async def book(books: Books, step: Callable[[Tx], Awaitable[list[Operation]]]) -> list[str]:
    """Run one booking step and apply what it says, in one transaction."""
    async with transaction(books.pool) as tx:
        outcomes = await store.apply(tx, books.writer, await step(tx))
    return [outcome.code.value for outcome in outcomes]


async def book_deposit(books: Books, deposit: VaultDeposit) -> list[str]:
    return await book(books, lambda tx: deposits.book_deposit(tx, deposit))


async def test_a_coded_deposit_is_credited_once(books: Books) -> None:
    user_id, code = await enrolled(books.pool)
    seen = arrived(code)
    assert await book_deposit(books, seen) == ["applied"]
    assert await book_deposit(books, seen) == ["replayed"]
    assert (await books.balance(accounts.user(user_id))).net_microusdc == 25_000_000
    assert (await books.balance(accounts.chain_vault(Vault.TILL))).net_microusdc == -50_000_000


async def test_a_bonds_deposit_waits_until_it_is_escrowed(books: Books) -> None:
    provider_id, code = await operator(books.pool)
    assert await book_deposit(books, arrived(code.encode(), 50_000_000)) == ["applied"]
    assert (await books.balance(accounts.bond_pending(provider_id))).net_microusdc == 50_000_000


@pytest.mark.parametrize("vault", list(Vault))
@pytest.mark.parametrize("code", [None, b"12345678", b"\x00" * 8], ids=["none", "text", "zeros"])
async def test_what_names_nobody_is_kept_in_suspense(
    books: Books, vault: Vault, code: bytes | None
) -> None:
    assert await book_deposit(books, arrived(code, 7, vault)) == ["applied"]
    assert (await books.balance(accounts.SUSPENSE)).net_microusdc == 7


async def test_what_goes_straight_into_the_bond_vault_is_nobodys_deposit(books: Books) -> None:
    _, code = await enrolled(books.pool)
    _, bond_code = await operator(books.pool)
    for named in (code, bond_code.encode()):
        await book_deposit(books, arrived(named, 7, Vault.BOND))
    assert (await books.balance(accounts.SUSPENSE)).net_microusdc == 14


async def test_nothing_moved_is_nothing_booked(books: Books) -> None:
    seen = arrived(None, 0)
    assert await book_deposit(books, seen) == []
    async with transaction(books.pool) as tx:
        nothing = await deposits.book_quarantine(tx, seen.key, seen.moment, Vault.TILL, 0)
        nothing += await deposits.book_outflow(tx, seen.key, seen.moment, Vault.TILL, MicroUsdc(0))
    assert nothing == []


async def test_an_amount_beyond_the_books_is_refused_and_changes_nothing(books: Books) -> None:
    seen = replace(arrived(None), amount_microusdc=MicroUsdc(2**64 - 1))
    assert await book_deposit(books, seen) == ["overflow"]
    assert (await books.balance(accounts.SUSPENSE)).net_microusdc == 0


async def test_quarantine_takes_what_came_in_and_shows_what_went_out(books: Books) -> None:
    for delta in (9, -4):
        seen = arrived(None)
        codes = await book(
            books,
            lambda tx, seen=seen, delta=delta: deposits.book_quarantine(
                tx, seen.key, seen.moment, Vault.TILL, delta
            ),
        )
        assert codes == ["applied"]
    assert (await books.balance(accounts.QUARANTINE)).net_microusdc == 9
    assert (await books.balance(accounts.UNEXPLAINED_OUT)).net_microusdc == -4
    till = await books.balance(accounts.chain_vault(Vault.TILL))
    assert till.net_microusdc == -(25_000_000 + 9 - 4)


async def test_an_unexplained_outflow_is_always_bookable(books: Books) -> None:
    seen = arrived(None)
    for vault in Vault:
        codes = await book(
            books,
            lambda tx, vault=vault: deposits.book_outflow(
                tx,
                factories.movement(),
                seen.moment,
                vault,
                MicroUsdc(10**12),
            ),
        )
        assert codes == ["applied"]
    assert (await books.balance(accounts.UNEXPLAINED_OUT)).net_microusdc == -2 * 10**12


async def test_ever_credited(books: Books) -> None:
    user_id, code = await enrolled(books.pool)
    async with reading(books.pool) as conn:
        assert not await deposits.credited(conn, user_id)
        assert not await deposits.credited(conn, uuid4())
    await book_deposit(books, arrived(code, 1))
    async with reading(books.pool) as conn:
        assert await deposits.credited(conn, user_id)


async def test_enrolling_again_gives_the_same_code(books: Books) -> None:
    user_id, code = await enrolled(books.pool)
    async with transaction(books.pool) as tx:
        assert await deposits.enroll_user(tx, user_id) == code
    wallet = factories.wallet()
    provider_id, bond_code = await operator(books.pool, wallet)
    async with transaction(books.pool) as tx:
        assert await deposits.enroll_operator(tx, provider_id, wallet) == bond_code
        found = await deposits.enrolled_operator(tx, provider_id)
    assert (found.wallet, found.code) == (wallet, bond_code)
    async with transaction(books.pool) as tx:
        with pytest.raises(WalletConflict):
            await deposits.enroll_operator(tx, provider_id, factories.wallet())


async def test_nobody_is_enrolled_under_an_unknown_id(books: Books) -> None:
    async with reading(books.pool) as conn:
        with pytest.raises(NotEnrolled):
            await deposits.enrolled_operator(conn, uuid4())


@pytest.mark.parametrize(
    "wallet",
    [
        "",
        "not base58: 0OIl",
        "1" * 31,
        "1" * 45,
        str(Pubkey.find_program_address([b"till"], Pubkey.default())[0]),
        factories.wallet() + "1",
        " " + factories.wallet(),
        "0x52908400098527886E0F7030069857D2E4169EE7",
    ],
    ids=["empty", "letters", "short", "long", "off-curve", "too-long", "space", "ethereum"],
)
async def test_a_destination_that_is_no_wallet_is_refused(books: Books, wallet: str) -> None:
    async with transaction(books.pool) as tx:
        with pytest.raises(InvalidWallet):
            await deposits.enroll_operator(tx, uuid4(), wallet)
    assert await books.fetchval("select count(*) from settlement.operator") == 0


async def test_a_code_is_reserved_for_ever_and_for_one(books: Books) -> None:
    _, code = await enrolled(books.pool)
    provider_id, bond_code = await operator(books.pool)
    for statement in (
        "delete from settlement.deposit_code",
        "update settlement.deposit_code set code = code",
        "delete from settlement.operator",
        "update settlement.operator set wallet = wallet",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await books.execute(statement)
    insert = "insert into settlement.deposit_code (code, user_id, provider_id) values ($1, $2, $3)"
    for values, constraint in (
        ((code, uuid4(), None), "deposit_code_pkey"),
        ((bond_code.encode(), uuid4(), None), "deposit_code_check1"),
        ((b"\xff1234567", None, provider_id), "deposit_code_check1"),
        ((b"1234567\xff", uuid4(), provider_id), "deposit_code_check"),
        ((b"seven77", uuid4(), None), "deposit_code_code_check"),
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await books.execute(insert, *values)
        assert refused.value.constraint_name == constraint


async def test_finance_and_the_indexer_enroll_nobody(books: Books) -> None:
    for role in ("pod_indexer", "pod_finance", "pod_settlement", "pod_signer"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await books.execute(
                "insert into settlement.operator (provider_id, wallet) values ($1, $2)",
                uuid4(),
                factories.wallet(),
                role=role,
            )


def test_a_users_code_is_never_letters_and_digits_and_a_bonds_always_is() -> None:
    for _ in range(2_000):
        assert not re.fullmatch(rb"[A-Za-z0-9]{8}", deposits.new_user_code())
        assert re.fullmatch(r"[A-Z0-9]{8}", deposits.new_bond_code())


def test_codes_as_the_wire_writes_them() -> None:
    assert deposits.user_code_text(bytes.fromhex("bcb1d3eaddb99251")) == "bcb1d3eaddb99251"
    assert deposits.bond_code_text("7K9X4LM2") == "POD-BOND-7K9X4LM2"
    assert deposits.enrollment_code_text("7K9X4LM2") == "POD-ENROLL-7K9X4LM2"
