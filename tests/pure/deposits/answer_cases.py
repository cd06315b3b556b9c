"""Is the answer whole, and does it agree with itself? (chain.md 4.6 to 4.8)"""

from typing import Any

from solders.pubkey import Pubkey

from settlement.chain.program import TOKEN_PROGRAM
from tests.pure.deposits.case import (
    CODE,
    CREDIT,
    FAILED,
    SUSPENSE,
    UNREADABLE,
    Change,
    case,
    coded,
    drop,
    every,
    plain,
    put,
    spoiled,
    u64,
)
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    DEPLOYMENT,
    TILL,
    Answer,
    Call,
    answer,
    deposit,
    key,
)

INNER = "meta.innerInstructions.0.instructions.0"
TOP = "transaction.message.instructions.0"
LOADED = "meta.loadedAddresses"


def from_table(*, failed: bool = False) -> Answer:
    """A transfer into a till that stands in a lookup table."""
    return Answer(
        calls=[Call(TOKEN_PROGRAM, [ALICE_ATA, TILL, ALICE], bytes([3]) + u64(5))],
        balances=[] if failed else [(TILL, DEPLOYMENT.mint, 0, 5)],
        failed=failed,
        keys=[ALICE, TOKEN_PROGRAM, ALICE_ATA, TILL],
        loaded_writable=[TILL],
    )


def each(made: Answer, *changes: Change) -> tuple[Any, ...]:
    """Copies of an answer, each with one of these changes."""
    return tuple(spoiled(made, change) for change in changes)


def version(number: object) -> Answer:
    """A coded deposit of this version."""
    return answer(deposit(CODE, 5), till=5, version=number)


CASES = (
    case("D85", "the vault stands in a lookup table", from_table(), leads_to=SUSPENSE),
    case(
        "D86",
        "keys from lookup tables are missing, too many, or in a version without tables",
        *each(from_table(), put(LOADED, None), drop(LOADED), put(f"{LOADED}.writable", [])),
        *every(from_table(), f"{LOADED}.readonly", [str(key("one too many"))]),
        *every(from_table(), "version", "legacy", 1),
        *every(version(1), f"{LOADED}.writable", [str(key("one too many"))]),
        leads_to=UNREADABLE,
    ),
    case(
        "D117",
        "it failed because its lookup tables could not be read, or named an account twice",
        *each(from_table(failed=True), put(LOADED, None), put(f"{LOADED}.writable", [])),
        spoiled(from_table(failed=True), put(f"{LOADED}.writable.0", str(ALICE))),
        leads_to=FAILED,
    ),
    case("D87", "legacy and version 1", version("legacy"), version(1), leads_to=CREDIT),
    case(
        "D88",
        "a version this decoder does not know",
        *every(coded(), "version", 2, -1, "0", "new", None, 0.0, True, 2**64),
        spoiled(coded(), drop("version")),
        leads_to=UNREADABLE,
    ),
    case(
        "D90",
        "no block time, or one that is no time of this chain",
        *every(coded(), "blockTime", None, -1, 0, 1_500_000_000, 2**62, "2026", 1.8e9),
        spoiled(coded(), drop("blockTime")),
        leads_to=UNREADABLE,
    ),
    case(
        "D92",
        "no slot, or one that is no slot",
        *every(coded(), "slot", None, -1, "100", 1.0, 2**63, 2**64),
        spoiled(coded(), drop("slot")),
        leads_to=UNREADABLE,
    ),
    case(
        "D94",
        "the place in the block is missing or lies: it only orders",
        *every(coded(), "transactionIndex", None, 0, 7),
        coded(),
        leads_to=CREDIT,
    ),
    case(
        "D95",
        "a signature is listed and its transaction is null",
        None,
        {},
        [],
        "transaction",
        leads_to=UNREADABLE,
    ),
    case(
        "D96",
        "no meta, or half of one",
        *each(
            coded(),
            put("meta", None),
            drop("meta"),
            put("meta", []),
            drop("meta.err"),
            put("meta.preTokenBalances", None),
            drop("meta.preTokenBalances"),
            put("meta.postTokenBalances", None),
            drop("meta.postTokenBalances"),
        ),
        leads_to=UNREADABLE,
    ),
    case(
        "D98",
        "no inner instructions",
        *each(coded(), put("meta.innerInstructions", None), drop("meta.innerInstructions")),
        leads_to=UNREADABLE,
    ),
    case(
        "D102",
        "the balance falls and no instruction says why",
        answer(till=-6),
        leads_to="quarantine: till -6",
    ),
    case(
        "D103",
        "the balance rises and no instruction says why, or not by that much",
        answer(till=6),
        answer(plain(), till=6),
        spoiled(answer(plain(), till=6), put("meta.innerInstructions", [])),
        leads_to="quarantine: till +6",
    ),
    case(
        "D104",
        "an instruction moved money and the balance did not change",
        answer(plain()),
        leads_to="quarantine: till +0",
    ),
    case(
        "D109",
        "a coded deposit whose inner transfer is not there, and an unchanged balance",
        spoiled(answer(deposit(CODE, 5)), put("meta.innerInstructions", [])),
        leads_to="unrecognized",
    ),
    case(
        "D115",
        "a coded deposit, and the balance rises by more: nobody is credited",
        answer(deposit(CODE, 5), till=6),
        spoiled(answer(deposit(CODE, 5), till=6), put("meta.innerInstructions", [])),
        leads_to=["quarantine: till +6", "unrecognized"],
    ),
    case(
        "D110",
        "stack heights that no execution has",
        *every(coded(), f"{INNER}.stackHeight", None, 0, 1, 3, -1, "2", 2.0, 2**64),
        *every(coded(), f"{TOP}.stackHeight", 2, 0, -1),
        spoiled(coded(), drop(f"{INNER}.stackHeight")),
        leads_to=UNREADABLE,
    ),
    case(
        "D111",
        "data that is not base58, or longer than any call's",
        *every(coded(), f"{INNER}.data", "0OIl", "é", None, 7, ["x", "base64"], "1" * 20_000),
        *every(coded(), f"{TOP}.data", "a b", "AQ=="),
        leads_to=UNREADABLE,
    ),
    case(
        "D112",
        "another encoding than the one asked for",
        *every(coded(), "transaction", ["AQ==", "base64"], "AQ==", None),
        *every(coded(), "transaction.message.accountKeys", [{"pubkey": str(ALICE)}], None),
        *every(coded(), TOP, {"parsed": {}, "program": "spl-token", "programId": str(ALICE)}),
        leads_to=UNREADABLE,
    ),
    case(
        "D113",
        "an account key that is none",
        *every(coded(), "transaction.message.accountKeys.1", "", "not a key", "1" * 31, None),
        *every(coded(), "transaction.message.accountKeys.1", str(Pubkey.default()) + "1"),
        leads_to=UNREADABLE,
    ),
    case(
        "D116",
        "half a surrogate, which JSON may carry and no text may",
        *every(coded(), "version", "legacy\ud800"),
        *every(coded(), "transaction.message.accountKeys.1", "\ud800"),
        *every(coded(), f"{INNER}.data", "\udfff"),
        leads_to=UNREADABLE,
    ),
    case(
        "D114",
        "a balance of an account that is not there",
        *every(coded(), "meta.preTokenBalances.0.accountIndex", 99, -1, 2**64, None, "1"),
        leads_to=UNREADABLE,
    ),
)
