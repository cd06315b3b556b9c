"""What a provider tells of a transaction is what its signers signed, or it is refused."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, TransactionConfig
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from indexer.raw import Unreadable
from indexer.signed import Fabricated, check_signed
from localnet.encode import transaction_json, version_of

Json = dict[str, Any]
PAYER, SECOND = Keypair.from_seed(bytes([1] * 32)), Keypair.from_seed(bytes([2] * 32))
BLOCKHASH: Final = Hash(bytes([3] * 32))
OTHER: Final = Pubkey(bytes([4] * 32))
TABLE: Final = AddressLookupTableAccount(Pubkey(bytes([5] * 32)), [OTHER, Pubkey(bytes([6] * 32))])


def instructions() -> list[Instruction]:
    accounts = [
        AccountMeta(PAYER.pubkey(), is_signer=True, is_writable=True),
        AccountMeta(SECOND.pubkey(), is_signer=True, is_writable=False),
        AccountMeta(OTHER, is_signer=False, is_writable=True),
    ]
    return [
        Instruction(Pubkey(bytes([7] * 32)), bytes([3]) + (500).to_bytes(8, "little"), accounts),
        Instruction(Pubkey(bytes([8] * 32)), b"", []),
    ]


def told(message: Message | MessageV0 | MessageV1) -> tuple[str, Json]:
    """A transaction's signature, and what an honest node tells of it."""
    transaction = VersionedTransaction(message, [PAYER, SECOND])
    version = version_of(transaction)
    return str(transaction.signatures[0]), {
        "slot": 9,
        "version": "legacy" if version is None else version,
        "transaction": transaction_json(transaction, bytes(transaction), "json", [[], []]),
        "meta": {},
    }


SHAPES: Final[dict[str, Message | MessageV0 | MessageV1]] = {
    "legacy": Message.new_with_blockhash(instructions(), PAYER.pubkey(), BLOCKHASH),
    "v0": MessageV0.try_compile(PAYER.pubkey(), instructions(), [], BLOCKHASH),
    "v0 with a lookup table": MessageV0.try_compile(
        PAYER.pubkey(), instructions(), [TABLE], BLOCKHASH
    ),
    "v1": MessageV1.try_compile(PAYER.pubkey(), instructions(), BLOCKHASH),
    "v1 with a config": MessageV1.try_compile(
        PAYER.pubkey(), instructions(), BLOCKHASH, TransactionConfig(1, 2, 32_768, 40_960)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_signed_is_believed(shape: str) -> None:
    signature, answer = told(SHAPES[shape])
    check_signed(answer, signature=signature)


def another_amount(message: Json) -> None:
    message["instructions"][0]["data"] = message["instructions"][0]["data"][:-1] + "2"


def another_account(message: Json) -> None:
    message["accountKeys"][-1] = str(Pubkey(bytes([9] * 32)))


def accounts_exchanged(message: Json) -> None:
    message["instructions"][0]["accounts"].reverse()


def an_instruction_more(message: Json) -> None:
    message["instructions"].append(message["instructions"][0])


def another_blockhash(message: Json) -> None:
    message["recentBlockhash"] = str(Hash(bytes([1] * 32)))


def fewer_signers(message: Json) -> None:
    message["header"]["numRequiredSignatures"] = 1


LIES: Final[tuple[Callable[[Json], None], ...]] = (
    another_amount,
    another_account,
    accounts_exchanged,
    an_instruction_more,
    another_blockhash,
    fewer_signers,
)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_nobody_signed_is_refused(shape: str, lie: Callable[[Json], None]) -> None:
    signature, answer = told(SHAPES[shape])
    lie(answer["transaction"]["message"])
    with pytest.raises(Fabricated):
        check_signed(answer, signature=signature)


def test_lookups_and_config_are_signed_too() -> None:
    signature, answer = told(SHAPES["v0 with a lookup table"])
    answer["transaction"]["message"]["addressTableLookups"][0]["writableIndexes"] = [1]
    with pytest.raises(Fabricated):
        check_signed(answer, signature=signature)
    signature, answer = told(SHAPES["v1 with a config"])
    answer["transaction"]["message"]["transactionConfig"]["heapSize"] = 1_024
    with pytest.raises(Fabricated):
        check_signed(answer, signature=signature)


def test_another_transaction_is_no_answer() -> None:
    _, answer = told(SHAPES["legacy"])
    signature, _ = told(SHAPES["v0"])
    with pytest.raises(Fabricated, match="another transaction"):
        check_signed(answer, signature=signature)


def test_the_second_signature_counts_too() -> None:
    signature, answer = told(SHAPES["legacy"])
    answer["transaction"]["signatures"][1] = signature
    with pytest.raises(Fabricated):
        check_signed(answer, signature=signature)


BROKEN: Final[tuple[Json, ...]] = (
    {"version": 2},
    {"version": None},
    {"transaction": {"signatures": [], "message": {}}},
    {"transaction": None},
)


@pytest.mark.parametrize("broken", BROKEN)
def test_what_cannot_be_built_again_is_unreadable(broken: Json) -> None:
    signature, answer = told(SHAPES["v0"])
    with pytest.raises(Unreadable):
        check_signed(answer | broken, signature=signature)
    with pytest.raises(Unreadable):
        check_signed(broken, signature=signature)
    with pytest.raises(Unreadable):
        check_signed(None, signature=signature)


def test_a_field_of_the_config_that_we_do_not_know_is_unreadable_and_no_lie() -> None:
    signature, answer = told(SHAPES["v1 with a config"])
    answer["transaction"]["message"]["transactionConfig"]["newKnob"] = 1
    with pytest.raises(Unreadable) as unreadable:
        check_signed(answer, signature=signature)
    assert not isinstance(unreadable.value, Fabricated)
