"""The pure side of payouts: states, intents, messages, and the key that signs."""

import json
from itertools import product
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.transaction import Transaction

from settlement.chain.messages import Budget, Step, UnknownMessage, build, read_budget
from settlement.chain.program import Deployment, Pay, Skip, decode_instruction
from settlement.chain.transport import RpcRefused
from settlement.keys.file import FileKey, KeyFileRefused
from settlement.keys.protocol import signed
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc
from settlement.payouts.intent import (
    Action,
    Intent,
    destination_account,
    instruction,
    recipient,
    reference_of,
)
from settlement.payouts.refusals import refusal_text
from settlement.payouts.states import (
    FINAL,
    TRANSITIONS,
    PayoutEvent,
    PayoutKind,
    PayoutState,
    WrongPayoutState,
    after,
)

DEPLOYMENT = Deployment(program_id=Keypair().pubkey(), mint=Keypair().pubkey())
KEY = FileKey(Keypair())


def an_intent(kind: PayoutKind = PayoutKind.PAY, sequence: int = 7) -> Intent:
    payout_id = UUID(int=1)
    return Intent(
        payout_id=payout_id,
        kind=kind,
        provider_id=UUID(int=2),
        account=AccountName("host:x"),
        amount_microusdc=MicroUsdc(10_000_000),
        destination=Keypair().pubkey(),
        code=b"Operator",
        reference=reference_of(payout_id),
        state=PayoutState.NUMBERED,
        sequence=sequence,
    )


@pytest.mark.parametrize(("state", "event"), list(product(PayoutState, PayoutEvent)))
def test_what_is_not_in_the_table_raises(state: PayoutState, event: PayoutEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(WrongPayoutState):
            after(state, event)


def test_the_shape_of_the_table() -> None:
    """Ends are ends, every state is reached, and from every open one some event leads to an end."""
    assert not [state for state, _ in TRANSITIONS if state in FINAL]
    reached = {PayoutState.AWAITING_APPROVAL, PayoutState.REQUESTED, *TRANSITIONS.values()}
    assert reached == set(PayoutState)
    ends = {state for (state, _), then in TRANSITIONS.items() if then in FINAL}
    assert ends == set(PayoutState) - FINAL
    # Money that may have left is never given back without the chain's word.
    for (_, event), then in TRANSITIONS.items():
        if then in (PayoutState.PAID, PayoutState.SKIPPED):
            assert event.value == then.value


def test_references_differ_and_never_change() -> None:
    assert reference_of(UUID(int=1)).hex() == reference_of(UUID(int=1)).hex()
    assert len({reference_of(UUID(int=n)) for n in range(100)}) == 100
    assert len(reference_of(UUID(int=1))) == 16


BUDGETS = st.builds(
    Budget,
    compute_unit_limit=st.integers(0, 2**32 - 1),
    compute_unit_price_microlamports=st.integers(0, 2**64 - 1),
)


@given(
    budget=BUDGETS,
    sequence=st.integers(0, 2**64 - 1),
    opens=st.booleans(),
    fresh=st.binary(min_size=32, max_size=32),
)
def test_a_message_says_its_budget_and_what_it_does(
    budget: Budget, sequence: int, opens: bool, fresh: bytes
) -> None:
    intent = an_intent(sequence=sequence)
    pay = instruction(intent, Action.EXECUTE, deployment=DEPLOYMENT, payer=KEY.address)
    who = recipient(intent, Action.EXECUTE, DEPLOYMENT) if opens else None
    made = build(
        payer=KEY.address,
        steps=[Step(instruction=pay, opens=who)],
        budget=budget,
        blockhash=Hash(fresh),
    )
    assert read_budget(bytes(made)) == (budget, Hash(fresh))
    assert len(made.instructions) == 3 + opens
    last = made.instructions[-1]
    keys = made.account_keys
    told = decode_instruction(bytes(last.data), [keys[at] for at in bytes(last.accounts)])
    assert isinstance(told, Pay)
    assert (told.sequence, told.amount_microusdc) == (sequence, intent.amount_microusdc)
    assert told.destination == destination_account(intent, DEPLOYMENT)
    assert made.signer_keys() == [KEY.address]


def test_the_priority_fee_is_rounded_up() -> None:
    def fee(limit: int, price: int) -> int:
        budget = Budget(compute_unit_limit=limit, compute_unit_price_microlamports=price)
        return budget.priority_fee_lamports

    assert (fee(20_000, 1_000), fee(20_000, 1), fee(20_000, 0), fee(1, 1)) == (20, 1, 0, 1)


@given(noise=st.binary(max_size=400))
def test_noise_is_no_message(noise: bytes) -> None:
    with pytest.raises(UnknownMessage):
        read_budget(noise)


def test_a_skip_burns_one_number() -> None:
    intent = an_intent(sequence=9)
    made = instruction(intent, Action.SKIP, deployment=DEPLOYMENT, payer=KEY.address)
    told = decode_instruction(bytes(made.data), [meta.pubkey for meta in made.accounts])
    assert isinstance(told, Skip)
    assert told.sequences == (9,)
    assert recipient(intent, Action.SKIP, DEPLOYMENT) is None


def test_a_bond_is_funded_at_its_own_address() -> None:
    intent = an_intent(PayoutKind.FUND_BOND)
    expected = DEPLOYMENT.bond(intent.code, intent.destination)
    assert destination_account(intent, DEPLOYMENT) == expected
    assert recipient(intent, Action.EXECUTE, DEPLOYMENT) is None


async def test_signing_the_same_again_gives_the_same() -> None:
    intent = an_intent()
    pay = instruction(intent, Action.EXECUTE, deployment=DEPLOYMENT, payer=KEY.address)
    made = build(
        payer=KEY.address,
        steps=[Step(instruction=pay)],
        budget=Budget(compute_unit_limit=1, compute_unit_price_microlamports=1),
        blockhash=Hash.default(),
    )
    signature, wire = await signed(KEY, made)
    assert await signed(KEY, made) == (signature, wire)
    transaction = Transaction.from_bytes(wire)
    transaction.verify()
    assert str(transaction.signatures[0]) == signature
    with pytest.raises(AssertionError):
        await signed(FileKey(Keypair()), made)


def keyfile(path: Path, content: str, mode: int = 0o600) -> Path:
    file = path / "payer.json"
    file.write_text(content)
    file.chmod(mode)
    return file


def test_a_key_is_read_and_never_shown(tmp_path: Path) -> None:
    pair = Keypair()
    key = FileKey.read(keyfile(tmp_path, json.dumps(list(bytes(pair)))))
    assert key.address == pair.pubkey()
    assert str(key) == repr(key) == f"FileKey({pair.pubkey()})"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = keyfile(tmp_path, json.dumps(list(bytes(Keypair()))), mode)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        FileKey.read(file)


SECRET = bytes(Keypair())
NOT_KEYS = {
    "nothing": "",
    "not JSON": "secret",
    "a text": json.dumps("secret"),
    "too short": json.dumps(list(SECRET)[:63]),
    "too long": json.dumps([*SECRET, 1]),
    "fractions": json.dumps([*list(SECRET)[:63], 1.5]),
    "too large numbers": json.dumps([*list(SECRET)[:63], 256]),
    "halves that do not belong together": json.dumps([*list(SECRET)[:32], *([7] * 32)]),
}


@pytest.mark.parametrize("content", NOT_KEYS.values(), ids=NOT_KEYS.keys())
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    with pytest.raises(KeyFileRefused) as failed:
        FileKey.read(keyfile(tmp_path, content))
    assert "secret" not in str(failed.value)
    assert str(list(SECRET)[:8])[1:-1] not in str(failed.value)


def test_a_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileRefused):
        FileKey.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"err": {"InstructionError": [2, {"Custom": 6034}]}}, "AlreadyPaid (6034)"),
        ({"err": {"InstructionError": [2, {"Custom": 1}]}}, "Custom (1)"),
        ({"err": {"InstructionError": [2, "InvalidArgument"]}}, "-32002: failed {"),
        ({"err": "BlockhashNotFound"}, "-32002: failed BlockhashNotFound"),
        ({"err": {"InstructionError": "?"}}, "-32002: failed {"),
        ({}, "-32002: failed"),
        (None, "-32002: failed"),
        ([], "-32002: failed"),
    ],
)
def test_what_a_node_refused_is_told(data: object, told: str) -> None:
    error = RpcRefused(method="sendTransaction", error_code=-32002, text="failed", data=data)
    assert refusal_text(error).startswith(told)
