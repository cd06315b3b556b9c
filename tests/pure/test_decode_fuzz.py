"""Damaged answers: the decoder refuses them or what it says adds up; nothing else ever happens."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.attribution import events_of
from indexer.decode import decode
from indexer.events import BondPosted, Deposit, Outflow, Paid, Quarantined
from indexer.raw import Unreadable
from settlement.chain.movement import Vault
from tests.pure.transactions import (
    ALICE_ATA,
    BOND,
    SIGNATURE,
    TILL,
    WATCH,
    Json,
    answer,
    batch,
    checked,
    deposit,
    memo,
    transfer,
)

CODE = bytes.fromhex("bcb1d3eaddb99251")
WHOLE = (
    answer(deposit(CODE, 5), memo(CODE.hex()), transfer(ALICE_ATA, TILL, 7), till=12),
    answer(batch(transfer(ALICE_ATA, TILL, 5), transfer(TILL, ALICE_ATA, 2)), till=3),
    answer(checked(TILL, BOND, 50), deposit(CODE, 1), till=-49, bond=50),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 raw JSON
    """Every place in a JSON value but its root."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(node, dict):
        pairs = list(node.items())  # pyright: ignore[reportUnknownArgumentType] raw JSON
    elif isinstance(node, list):
        pairs = list(enumerate(node))  # pyright: ignore[reportUnknownArgumentType] raw JSON
    return [path for name, child in pairs for path in [(*here, name), *paths(child, (*here, name))]]


def change_of(event: object, vault: Vault) -> int:
    """What an event of these histories did to a vault."""
    match event:
        case Deposit() if event.vault is vault:
            return event.amount_microusdc
        case Outflow() if event.vault is vault:
            return -event.amount_microusdc
        case Quarantined() if event.vault is vault:
            return event.delta_microusdc
        case BondPosted() if vault is Vault.BOND:
            return event.amount_microusdc
        case Paid() if vault is Vault.TILL:
            return -event.amount_microusdc
        case _:
            return 0


def balances(made: Json, when: str) -> dict[str, int]:
    keys = made["transaction"]["message"]["accountKeys"]
    return {
        keys[entry["accountIndex"]]: int(entry["uiTokenAmount"]["amount"])
        for entry in made["meta"][when]
        if entry["mint"] == str(WATCH.deployment.mint)
    }


@given(data=st.data(), whole=st.sampled_from(WHOLE), hits=st.integers(0, 3))
@settings(deadline=None)
def test_damage_is_refused_or_adds_up(data: st.DataObject, whole: Any, hits: int) -> None:  # noqa: ANN401
    made = copy.deepcopy(whole.json())
    for _ in range(hits):
        *parents, last = data.draw(st.sampled_from(paths(made)))
        place: Any = made
        for name in parents:
            place = place[name]
        if data.draw(st.booleans()):
            place[last] = data.draw(json_values)
        else:
            del place[last]
    try:
        found = decode(made, signature=SIGNATURE, watch=WATCH)
    except Unreadable:
        return
    events = events_of(found, WATCH)
    before, after = (balances(made, when) for when in ("preTokenBalances", "postTokenBalances"))
    for vault in Vault:
        address = str(WATCH.address(vault))
        change = after.get(address, 0) - before.get(address, 0)
        assert sum(move.change(vault) for move in found.movements) == change
        assert sum(change_of(event, vault) for event in events) == change


@given(data=st.binary(max_size=80), count=st.integers(0, 8))
def test_any_bytes_given_to_the_token_program(data: bytes, count: int) -> None:
    one = transfer(ALICE_ATA, TILL, 5)
    one.data, one.accounts = (
        data,
        [ALICE_ATA, TILL, BOND, TILL, ALICE_ATA, TILL, BOND, TILL][:count],
    )
    found = decode(answer(one).json(), signature=SIGNATURE, watch=WATCH)
    assert sum(move.change(Vault.TILL) for move in found.movements) == 0
    assert sum(move.change(Vault.BOND) for move in found.movements) == 0
