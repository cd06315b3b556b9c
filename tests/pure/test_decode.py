"""The decoder over hand-built answers: nothing is missed, invented or guessed."""

from typing import Any

import pytest

from indexer.decode import Movement, Transaction, decode
from indexer.raw import Unreadable
from indexer.token import MovementKind
from settlement.chain.movement import Vault
from settlement.chain.program import TOKEN_PROGRAM
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    SIGNATURE,
    START,
    TILL,
    WATCH,
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

CODE = bytes.fromhex("bcb1d3eaddb99251")


def decoded(made: Answer) -> Transaction:
    return decode(made.json(), signature=made.signature, watch=WATCH)


def seen(transaction: Transaction) -> list[tuple[int, int, int, int]]:
    return [
        (one.key.outer, one.key.inner, one.key.sub, one.amount_microusdc)
        for one in transaction.movements
    ]


def only(transaction: Transaction) -> Movement:
    assert len(transaction.movements) == 1
    return transaction.movements[0]


def test_a_transfer_in() -> None:
    found = decoded(answer(transfer(ALICE_ATA, TILL, 5), till=5))
    move = only(found)
    assert (move.to_vault, move.from_vault, move.source) == (Vault.TILL, None, ALICE_ATA)
    assert move.amount_microusdc == 5
    assert found.explained
    assert found.moment.slot == 100
    assert found.moment.block_time.tzinfo is not None
    assert move.key.reference == f"chain:test:{SIGNATURE}:0:-1:0"


def test_two_equal_transfers_are_two_movements() -> None:
    found = decoded(answer(transfer(ALICE_ATA, TILL, 5), transfer(ALICE_ATA, TILL, 5), till=10))
    assert seen(found) == [(0, -1, 0, 5), (1, -1, 0, 5)]


def test_a_checked_transfer_with_reference_keys() -> None:
    one = transfer(ALICE_ATA, TILL, 5, checked=True, extra=[key("reference"), key("another")])
    assert seen(decoded(answer(one, till=5))) == [(0, -1, 0, 5)]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_transfer_made_by_another_program_at_any_depth(depth: int) -> None:
    inner = transfer(ALICE_ATA, TILL, 5)
    for level in range(depth):
        inner = Call(key(f"router {level}"), [ALICE], b"route", [memo("x"), inner])
    found = decoded(answer(memo("first"), inner, till=5))
    assert [(one.key.outer, one.amount_microusdc) for one in found.movements] == [(1, 5)]
    assert only(found).key.inner == 2 * depth - 1
    assert found.explained


def test_the_parts_of_a_batch_are_told_apart() -> None:
    one = batch(
        transfer(ALICE_ATA, TILL, 5),
        transfer(key("else"), key("where"), 9),
        transfer(ALICE_ATA, TILL, 5, checked=True),
        trailing=[key("left over")],
    )
    assert seen(decoded(answer(one, till=10))) == [(0, -1, 0, 5), (0, -1, 2, 5)]


def test_a_batch_called_by_a_program() -> None:
    router = Call(key("router"), [], b"", [batch(transfer(ALICE_ATA, TILL, 5))])
    assert seen(decoded(answer(router, till=5))) == [(0, 0, 0, 5)]


@pytest.mark.parametrize("tail", [b"\x03", b"\x03\x09\x03", b"\x09\x00"])
def test_a_batch_that_is_cut_off_counts_up_to_the_cut_and_the_rest_is_quarantined(
    tail: bytes,
) -> None:
    whole = batch(transfer(ALICE_ATA, TILL, 5))
    cut = Call(TOKEN_PROGRAM, whole.accounts, whole.data + tail)
    assert seen(decoded(answer(cut, till=5))) == [(0, -1, 0, 5)]
    found = decoded(answer(cut, till=8))
    assert not found.explained
    assert only(found).change(Vault.TILL) == 8


def test_a_mixed_batch_must_add_up() -> None:
    burn = Call(TOKEN_PROGRAM, [TILL, DEPLOYMENT.mint, ALICE], bytes([8]) + _u64(3))
    one = batch(transfer(ALICE_ATA, TILL, 10), burn, transfer(TILL, ALICE_ATA, 4))
    found = decoded(answer(one, till=3))
    assert found.explained
    assert [move.change(Vault.TILL) for move in found.movements] == [10, -3, -4]
    assert [move.kind for move in found.movements] == ["transfer", "burn", "transfer"]


@pytest.mark.parametrize("opcode", [7, 14])
def test_money_minted_into_the_vault(opcode: int) -> None:
    data = bytes([opcode]) + _u64(5) + (b"\x06" if opcode == 14 else b"")
    one = Call(TOKEN_PROGRAM, [DEPLOYMENT.mint, TILL, ALICE], data)
    move = only(decoded(answer(one, till=5)))
    assert (move.kind, move.source, move.to_vault) == (MovementKind.MINT, None, Vault.TILL)


def test_a_checked_burn() -> None:
    one = Call(TOKEN_PROGRAM, [BOND, DEPLOYMENT.mint, ALICE], bytes([15]) + _u64(5) + b"\x06")
    assert only(decoded(answer(one, bond=-5))).change(Vault.BOND) == -5


def test_a_vault_paying_itself_moves_nothing() -> None:
    found = decoded(answer(transfer(TILL, TILL, 5)))
    assert found.movements == ()
    assert found.explained


def test_a_transfer_of_nothing_is_no_movement() -> None:
    assert decoded(answer(transfer(ALICE_ATA, TILL, 0))).movements == ()


def test_between_our_vaults_both_change() -> None:
    move = only(decoded(answer(transfer(TILL, BOND, 5), till=-5, bond=5)))
    assert (move.change(Vault.TILL), move.change(Vault.BOND)) == (-5, 5)


def test_a_look_alike_program_moves_nothing() -> None:
    found = decoded(answer(transfer(ALICE_ATA, TILL, 5, by=key("imitation"))))
    assert found.movements == ()
    assert found.explained


def test_another_mint_in_another_account_of_ours_is_not_ours() -> None:
    stray = key("till's account of another mint")
    made = answer(transfer(ALICE_ATA, stray, 5), balances=[(stray, key("other mint"), 0, 5)])
    found = decoded(made)
    assert found.movements == ()
    assert found.gained == frozenset()


def test_a_failed_transaction_moves_nothing() -> None:
    found = decoded(answer(transfer(ALICE_ATA, TILL, 5), failed=True))
    assert found.failed
    assert found.movements == ()
    assert found.instructions == ()


def test_a_vault_made_in_the_same_transaction_started_at_nothing() -> None:
    made = Answer(calls=[transfer(ALICE_ATA, TILL, 5)], balances=[(TILL, DEPLOYMENT.mint, None, 5)])
    assert decoded(made).explained


def test_a_key_from_a_lookup_table() -> None:
    made = Answer(
        calls=[Call(TOKEN_PROGRAM, [ALICE_ATA, TILL, ALICE], bytes([3]) + _u64(5))],
        balances=[(TILL, DEPLOYMENT.mint, 0, 5)],
        keys=[ALICE, TOKEN_PROGRAM, ALICE_ATA, TILL],
        loaded_writable=[TILL],
    )
    assert seen(decoded(made)) == [(0, -1, 0, 5)]
    broken = made.json()
    broken["meta"]["loadedAddresses"] = None
    with pytest.raises(Unreadable, match="lookup tables"):
        decode(broken, signature=SIGNATURE, watch=WATCH)


@pytest.mark.parametrize("version", ["legacy", 0, 1])
def test_the_versions_that_are_known(version: object) -> None:
    assert decoded(answer(transfer(ALICE_ATA, TILL, 5), till=5, version=version)).movements


@pytest.mark.parametrize("change", [3, -3, 2**64 - 1 - START - 5])
def test_a_balance_nobody_moved_is_quarantined_whole(change: int) -> None:
    found = decoded(answer(deposit(CODE, 5), till=5 + change, bond=2))
    assert not found.explained
    changes = {move.to_vault or move.from_vault: move for move in found.movements}
    assert changes[Vault.TILL].change(Vault.TILL) == 5 + change
    assert changes[Vault.BOND].change(Vault.BOND) == 2
    assert {move.kind for move in found.movements} == {MovementKind.UNEXPLAINED}
    assert len({move.key for move in found.movements}) == 2


def test_a_movement_the_balances_deny_is_not_believed() -> None:
    found = decoded(answer(transfer(ALICE_ATA, TILL, 5)))
    assert found.doubted == {Vault.TILL}
    assert found.movements == ()


@pytest.mark.parametrize(("before", "after"), [(None, None), (None, 8), (8, None)])
def test_a_difference_needs_both_balances(before: int | None, after: int | None) -> None:
    made = Answer(
        calls=[transfer(ALICE_ATA, TILL, 5)], balances=[(TILL, DEPLOYMENT.mint, before, after)]
    )
    with pytest.raises(Unreadable, match="balances are not all there"):
        decoded(made)


def test_the_largest_amount_a_token_can_have() -> None:
    made = Answer(
        calls=[transfer(ALICE_ATA, TILL, 2**64 - 1)],
        balances=[(TILL, DEPLOYMENT.mint, 0, 2**64 - 1)],
    )
    assert only(decoded(made)).amount_microusdc == 2**64 - 1


@pytest.mark.parametrize("opcode", [0, 1, 9, 38, 45, 100, 254])
def test_other_token_instructions_move_no_tokens(opcode: int) -> None:
    one = Call(TOKEN_PROGRAM, [TILL, ALICE_ATA, ALICE, BOND], bytes([opcode]) + _u64(5) + b"\x06")
    found = decoded(answer(one))
    assert found.movements == ()
    assert found.explained


@pytest.mark.parametrize(
    "broken",
    [
        Call(TOKEN_PROGRAM, [ALICE_ATA, TILL, ALICE], b""),
        Call(TOKEN_PROGRAM, [ALICE_ATA, TILL, ALICE], bytes([3, 5, 0, 0])),
        Call(TOKEN_PROGRAM, [ALICE_ATA, TILL], bytes([3, 5, 0, 0, 0, 0, 0, 0, 0])),
        Call(TOKEN_PROGRAM, [ALICE_ATA, TILL, ALICE], bytes([12, 5, 0, 0, 0, 0, 0, 0, 0, 6])),
    ],
)
def test_what_is_too_short_to_be_a_transfer_is_none(broken: Call) -> None:
    assert decoded(answer(broken)).movements == ()
    assert not decoded(answer(broken, till=5)).explained


def _set(made: Any, path: str, value: object) -> None:  # noqa: ANN401 raw JSON
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for name in parents:
        made = made[name]
    made[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("meta", None),
        ("meta.innerInstructions", None),
        ("meta.innerInstructions.0.instructions.0.stackHeight", None),
        ("meta.innerInstructions.0.instructions.0.stackHeight", 1),
        ("meta.innerInstructions.0.instructions.0.stackHeight", 3),
        ("meta.innerInstructions.0.instructions.0.programIdIndex", 99),
        ("meta.innerInstructions.0.instructions.0.accounts", [99]),
        ("meta.innerInstructions.0.instructions.0.data", "not base58: 0OIl"),
        ("meta.innerInstructions.0.index", 1),
        ("meta.innerInstructions.0.index", -1),
        ("meta.preTokenBalances", None),
        ("meta.postTokenBalances", None),
        ("meta.preTokenBalances.0.accountIndex", 99),
        ("meta.preTokenBalances.0.mint", "another mint"),
        ("meta.preTokenBalances.0.uiTokenAmount.amount", "-1"),
        ("meta.preTokenBalances.0.uiTokenAmount.amount", "1.0"),
        ("meta.preTokenBalances.0.uiTokenAmount.amount", 1),
        ("meta.preTokenBalances.0.uiTokenAmount.amount", str(2**64)),
        ("meta.status", {"Err": "something"}),
        ("meta.err", {"InstructionError": [0, "Custom"]}),
        ("meta.loadedAddresses.writable", ["one too many"]),
        ("version", 2),
        ("version", -1),
        ("version", "new"),
        ("version", None),
        ("slot", "100"),
        ("slot", -1),
        ("blockTime", None),
        ("blockTime", 2**62),
        ("transaction", ["AQ==", "base64"]),
        ("transaction.signatures", [signature(1)]),
        ("transaction.signatures", []),
        ("transaction.message.accountKeys.1", "not a key"),
        ("transaction.message.accountKeys", [{"pubkey": str(ALICE), "signer": True}]),
        ("transaction.message.instructions.0.data", {"parsed": "json"}),
    ],
)
def test_half_an_answer_is_unreadable(path: str, value: object) -> None:
    made = answer(deposit(CODE, 5), till=5).json()
    _set(made, path, value)
    with pytest.raises(Unreadable):
        decode(made, signature=SIGNATURE, watch=WATCH)


def test_what_cannot_be_read_is_told_shortly() -> None:
    made = answer(deposit(CODE, 5), till=5).json()
    _set(made, "version", "x" * 1_000_000)
    with pytest.raises(Unreadable) as told:
        decode(made, signature=SIGNATURE, watch=WATCH)
    assert len(str(told.value)) < 500


@pytest.mark.parametrize(
    "path", ["meta", "version", "slot", "meta.err", "meta.innerInstructions", "meta.status"]
)
def test_a_missing_field_is_unreadable_unless_it_is_only_a_second_opinion(path: str) -> None:
    made = answer(deposit(CODE, 5), till=5).json()
    parent, _, last = path.rpartition(".")
    del (made[parent] if parent else made)[last]
    if path == "meta.status":
        assert decode(made, signature=SIGNATURE, watch=WATCH).movements
        return
    with pytest.raises(Unreadable):
        decode(made, signature=SIGNATURE, watch=WATCH)


def test_a_failed_transaction_that_moved_money_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="failed"):
        decoded(answer(transfer(ALICE_ATA, TILL, 5), till=5, failed=True))


def test_doubled_groups_and_doubled_balances_are_unreadable() -> None:
    made = answer(deposit(CODE, 5), till=5).json()
    made["meta"]["innerInstructions"] *= 2
    with pytest.raises(Unreadable):
        decode(made, signature=SIGNATURE, watch=WATCH)
    made = answer(deposit(CODE, 5), till=5).json()
    made["meta"]["postTokenBalances"] *= 2
    with pytest.raises(Unreadable, match="twice"):
        decode(made, signature=SIGNATURE, watch=WATCH)


def test_children_are_found_by_stack_height() -> None:
    grandchild = transfer(ALICE_ATA, TILL, 1)
    child = Call(key("child"), [], b"", [grandchild])
    tree = Call(key("parent"), [], b"", [child, transfer(ALICE_ATA, TILL, 2)])
    found = decoded(answer(tree, transfer(ALICE_ATA, TILL, 3), till=6))
    assert [one.inner for one in found.called_by(0)] == [0, 2]
    assert [one.inner for one in found.called_by(1)] == [1]
    assert list(found.called_by(2)) == []


def test_children_of_a_sibling_are_not_ours() -> None:
    one, two = (Call(key(name), [], b"", [transfer(ALICE_ATA, TILL, 1)]) for name in ("a", "b"))
    found = decoded(answer(Call(key("parent"), [], b"", [one, two]), till=2))
    assert [child.inner for child in found.called_by(1)] == [1]
    assert [child.inner for child in found.called_by(3)] == [3]


def test_a_part_of_a_batch_with_too_few_accounts_left_moves_nothing() -> None:
    whole = batch(transfer(ALICE_ATA, TILL, 5))
    greedy = bytes([255, 9]) + whole.data[2:]
    assert decoded(answer(Call(TOKEN_PROGRAM, whole.accounts, greedy))).movements == ()


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")
