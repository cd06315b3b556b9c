"""What the rest of the bond program means: seizures, hand-overs, sweeps, strays, and who rules."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, get_args

import pytest
from solders.pubkey import Pubkey

from indexer.attribution import SECOND_HALF, events_of
from indexer.decode import decode
from indexer.events import (
    BondHandedOver,
    BondRetireCancelled,
    BondRetired,
    BondSeized,
    Deposit,
    Event,
    Governed,
    Outflow,
    SeizureStepped,
    Skipped,
    StrayRecovered,
    SurplusSwept,
    Unrecognized,
)
from settlement.bonds.rules import SeizureStep
from settlement.chain import program
from settlement.chain.abi import SHAPES
from settlement.chain.instructions import instruction_name
from settlement.chain.movement import Vault
from settlement.money import MicroUsdc
from tests.pure.samples import CODE, EVIDENCE, executed, sample
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    TILL,
    WATCH,
    Answer,
    Call,
    answer,
    checked,
    key,
    memo,
    transfer,
)

HOST: Final = key("host")
ADDRESS: Final = DEPLOYMENT.bond(CODE, HOST)
STRAY: Final = key("stray")
OTHER_MINT: Final = key("other mint")
MONEY: Final = (
    program.DepositUsdc
    | program.Pay
    | program.PostBond
    | program.FundBond
    | program.Release
    | program.ExecuteSeizure
    | program.SweepSurplus
    | program.RecoverStray
)


def events(made: Answer) -> list[Event]:
    transaction = decode(made.json(), signature=made.signature, watch=WATCH)
    return list(events_of(transaction, WATCH))


def only(instruction: program.ProgramInstruction) -> Event:
    """The one event of an instruction that moves nothing."""
    (found,) = events(answer(executed(instruction)))
    assert (found.key.outer, found.key.inner, found.key.sub) == (0, -1, 0)
    return found


def seize(*children: Call, bond: Pubkey = ADDRESS) -> Call:
    built = program.ExecuteSeizure(bond=bond, rent_payer=ALICE, code=CODE)
    return executed(built, *(children or (checked(BOND, TILL, 50),)))


def recover(*children: Call, mint: Pubkey = DEPLOYMENT.mint, destination: Pubkey = TILL) -> Call:
    built = program.RecoverStray(
        admin=ALICE,
        authority=DEPLOYMENT.till_authority,
        stray=STRAY,
        destination=destination,
        stray_mint=mint,
    )
    return executed(built, *children)


def sweep(*children: Call) -> Call:
    return executed(program.SweepSurplus(), *(children or (checked(BOND, TILL, 7),)))


@pytest.mark.parametrize("kind", get_args(program.ProgramInstruction))
def test_no_instruction_of_the_program_is_unknown(kind: type[program.ProgramInstruction]) -> None:
    instruction = sample(kind)
    if kind is program.RecoverStray:  # named `stray_mint`: not ours, so no movement of ours
        assert isinstance(only(instruction), Governed)
        return
    found = only(instruction)
    told = found.problem if isinstance(found, Unrecognized) else None
    told_if_money = f"{kind.__name__} without the transfer it makes"
    assert told == (told_if_money if isinstance(instruction, MONEY) else None)


def test_a_seizure_is_one_event_and_its_key_is_the_movements() -> None:
    (found,) = events(answer(seize(), bond=-50, till=50))
    assert found == BondSeized(
        key=found.key, address=ADDRESS, code=CODE, amount_microusdc=MicroUsdc(50)
    )
    assert (found.key.outer, found.key.inner) == (0, 0)


def test_a_seizure_and_a_sweep_through_other_programs_are_themselves() -> None:
    router = Call(key("router"), [], b"", [Call(key("multisig"), [], b"", [seize()]), sweep()])
    found = events(answer(router, bond=-57, till=57))
    assert [type(one) for one in found] == [BondSeized, SurplusSwept]


def test_two_equal_seizures_claim_their_own_transfers() -> None:
    other = DEPLOYMENT.bond(CODE, ALICE)
    found = events(answer(seize(), seize(bond=other), bond=-100, till=100))
    assert [(one.address, one.key.outer) for one in found if isinstance(one, BondSeized)] == [
        (ADDRESS, 0),
        (other, 1),
    ]


@pytest.mark.parametrize(
    "children",
    [
        [checked(TILL, BOND, 50)],
        [checked(BOND, ALICE_ATA, 50)],
        [checked(ALICE_ATA, TILL, 50)],
        [Call(key("nested"), [], b"", [checked(BOND, TILL, 50)])],
        [checked(BOND, TILL, 25), checked(BOND, TILL, 25)],
    ],
)
@pytest.mark.parametrize("instruction", [program.ExecuteSeizure, program.SweepSurplus])
def test_without_its_own_transfer_a_seizure_or_sweep_claims_nothing(
    instruction: type[program.ProgramInstruction], children: Sequence[Call]
) -> None:
    made = executed(sample(instruction), *children)
    moves = [move for child in children for move in (child, *child.calls) if len(move.data) == 10]
    change = {vault: sum(_change(move, vault) for move in moves) for vault in (TILL, BOND)}
    found = events(answer(made, till=change[TILL], bond=change[BOND]))
    first, *rest = found
    assert isinstance(first, Unrecognized)
    assert {type(one) for one in rest} <= {Outflow, Deposit}
    assert rest


def _change(move: Call, vault: Pubkey) -> int:
    amount = int.from_bytes(move.data[1:9], "little")
    return amount * ((move.accounts[2] == vault) - (move.accounts[0] == vault))


def test_a_sweep_is_one_event() -> None:
    (found,) = events(answer(sweep(), bond=-7, till=7))
    assert found == SurplusSwept(key=found.key, amount_microusdc=MicroUsdc(7))


def test_a_stray_recovered_is_an_inflow_that_no_memo_names() -> None:
    made = answer(recover(checked(STRAY, TILL, 5)), memo("bcb1d3eaddb99251"), till=5)
    (found,) = events(made)
    assert found == StrayRecovered(
        key=found.key,
        amount_microusdc=MicroUsdc(5),
        stray=STRAY,
        authority=DEPLOYMENT.till_authority,
        admin=ALICE,
    )


def test_a_stray_recovered_from_elsewhere_is_not_what_the_instruction_says() -> None:
    found = events(answer(recover(checked(ALICE_ATA, TILL, 5)), till=5))
    assert [type(one) for one in found] == [Unrecognized, Deposit]


def test_another_mints_stray_is_noted_and_moves_nothing_of_ours() -> None:
    moved = recover(transfer(STRAY, key("theirs"), 5), mint=OTHER_MINT, destination=key("theirs"))
    (found,) = events(answer(moved))
    assert isinstance(found, Governed)
    assert (found.what, found.signer) == ("recover_stray", ALICE)
    assert isinstance(found.given, program.RecoverStray)
    assert (found.given.stray_mint, found.given.destination) == (OTHER_MINT, key("theirs"))


def test_an_instruction_that_moves_nothing_claims_nothing() -> None:
    lapse = executed(program.Lapse(bond=ADDRESS, code=CODE), checked(BOND, TILL, 50))
    found = events(answer(lapse, bond=-50, till=50))
    stepped, outflow, inflow = found
    assert isinstance(stepped, SeizureStepped)
    assert isinstance(outflow, Outflow)
    assert isinstance(inflow, Deposit)
    assert (outflow.vault, inflow.vault) == (Vault.BOND, Vault.TILL)
    assert inflow.key == replace(outflow.key, sub=outflow.key.sub + SECOND_HALF)


def test_a_cooldown_stopped_and_a_bond_handed_over() -> None:
    cancelled = only(program.CancelRetire(beneficiary=HOST, bond=ADDRESS, code=CODE))
    assert cancelled == BondRetireCancelled(
        key=cancelled.key, address=ADDRESS, code=CODE, beneficiary=HOST
    )
    handed = only(
        program.SetBeneficiary(beneficiary=HOST, new_beneficiary=ALICE, bond=ADDRESS, code=CODE)
    )
    assert handed == BondHandedOver(
        key=handed.key, address=ADDRESS, code=CODE, beneficiary=HOST, new_beneficiary=ALICE
    )


STEPS = (
    (program.ProposeSeizure, SeizureStep.PROPOSED, "proposer"),
    (program.WithdrawProposal, SeizureStep.WITHDRAWN, "proposer"),
    (program.Contest, SeizureStep.CONTESTED, "beneficiary"),
    (program.Uphold, SeizureStep.UPHELD, "arbiter"),
    (program.Dismiss, SeizureStep.DISMISSED, "arbiter"),
    (program.Lapse, SeizureStep.LAPSED, None),
)


@pytest.mark.parametrize(("kind", "step", "signer"), STEPS)
def test_each_step_of_a_seizure(
    kind: type[program.ProgramInstruction], step: SeizureStep, signer: str | None
) -> None:
    found = only(sample(kind))
    assert found == SeizureStepped(
        key=found.key,
        step=step,
        address=key("bond"),
        code=CODE,
        signer=None if signer is None else key(signer),
        evidence_hash=EVIDENCE if step is SeizureStep.PROPOSED else None,
        reason=513 if step is SeizureStep.PROPOSED else None,
        reply_hash=EVIDENCE if step is SeizureStep.CONTESTED else None,
    )


RULINGS = (
    (program.Initialize, "upgrade_authority"),
    (program.ApprovePay, "admin"),
    (program.SetParams, "admin"),
    (program.ApplyParams, None),
    (program.CancelParams, "signer"),
    (program.GrantRole, "admin"),
    (program.ApplyRole, None),
    (program.CancelRole, "signer"),
    (program.RevokeRole, "signer"),
    (program.NominateAdmin, "signer"),
    (program.AcceptAdmin, "nominee"),
    (program.CancelNomination, "admin"),
    (program.Pause, "signer"),
    (program.Unpause, "admin"),
)


@pytest.mark.parametrize(("kind", "signer"), RULINGS)
def test_what_owners_do_says_what_and_who(
    kind: type[program.ProgramInstruction], signer: str | None
) -> None:
    instruction = sample(kind)
    found = only(instruction)
    assert isinstance(found, Governed)
    assert found.what == instruction_name(kind)
    assert found.signer == (None if signer is None else key(signer))
    assert found.given == instruction
    # The one who is named is the one who has to sign.
    signing = [name for name, flags in SHAPES[found.what].accounts if "s" in flags]
    assert signing[:1] == ([] if signer is None else [signer])


def test_every_ruling_is_tried() -> None:
    silent = {kind for kind, _ in RULINGS} | {kind for kind, _, _ in STEPS}
    silent |= {program.Retire, program.CancelRetire, program.SetBeneficiary, program.Skip}
    assert silent == set(get_args(program.ProgramInstruction)) - set(get_args(MONEY))


def test_several_in_one_transaction_stand_in_the_order_of_execution() -> None:
    kinds = (program.Retire, program.CancelRetire, program.Pause, program.Lapse, program.Skip)
    found = events(answer(*(executed(sample(kind)) for kind in kinds)))
    assert [one.key.outer for one in found] == [0, 1, 2, 3, 4]
    wanted = [BondRetired, BondRetireCancelled, Governed, SeizureStepped, Skipped]
    assert [type(one) for one in found] == wanted


@pytest.mark.parametrize("kind", get_args(program.ProgramInstruction))
def test_none_of_it_is_guessed_from_data_of_the_wrong_length(
    kind: type[program.ProgramInstruction],
) -> None:
    whole = executed(sample(kind))
    for data in (whole.data[:-1], whole.data + b"\0"):
        (found,) = events(answer(replace(whole, data=data)))
        assert isinstance(found, Unrecognized)
    (found,) = events(answer(replace(whole, accounts=whole.accounts[:-1])))
    assert isinstance(found, Unrecognized)


def test_a_role_or_a_pause_bit_without_a_name_is_not_guessed() -> None:
    for kind in (program.GrantRole, program.RevokeRole, program.Pause, program.Unpause):
        whole = executed(sample(kind))
        for value in (0, 5) if "role" in SHAPES[instruction_name(kind)].arguments_text else (4,):
            data = whole.data[:8] + bytes([value]) + whole.data[9:]
            (found,) = events(answer(replace(whole, data=data)))
            assert isinstance(found, Unrecognized)


def test_a_failed_transaction_means_nothing() -> None:
    assert events(answer(seize(), executed(sample(program.Pause)), failed=True)) == []
