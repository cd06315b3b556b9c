"""A multisig in every part: a derived address of a foreign program, which pays for nothing, has no
curve point and need not even be there, is admitted wherever a signature is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from solders.account import Account
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata

from settlement.chain import program
from settlement.chain.program import (
    BondState,
    InitialParameters,
    InitialRoles,
    PauseBit,
    ProgramInstruction,
    Role,
)
from settlement.money import MicroUsdc
from tests.program.bonds.life import DAY, DISPUTE, REPLY, evidence
from tests.program.calls.foreign import Foreign, deploy_foreign
from tests.program.case import CODE, REFERENCE, USER_CODE
from tests.program.world import (
    BOND_AMOUNT,
    COOLDOWN_SECONDS,
    USDC,
    World,
    new_world,
    set_upgrade_authority,
)

ROLES = ["admin", "proposer", "arbiter", "guardian", "payer"]


@dataclass(kw_only=True)
class Board:
    """A deployment in which one part is played by the multisig; its bond belongs to `owner`."""

    world: World
    foreign: Foreign
    owner: Keypair

    @property
    def key(self) -> Pubkey:
        """The multisig's first address."""
        return self.foreign.signer(0)

    @property
    def bond(self) -> Pubkey:
        return self.world.deployment.bond(CODE, self.owner.pubkey())

    def build(self, instruction: ProgramInstruction) -> Instruction:
        return program.build(self.world.deployment, instruction)

    def resolve(
        self, *calls: Instruction, signing: int = 1, signers: tuple[Keypair, ...] = ()
    ) -> TransactionMetadata:
        """The multisig makes these calls, signing for its own addresses."""
        forwarded = self.foreign.forward(*calls, signing=signing)
        return self.world.send(forwarded, signers=list(signers))

    def refuse(self, *calls: Instruction, signing: int = 1) -> str:
        return self.world.refuse(self.foreign.forward(*calls, signing=signing))

    def propose(self, proposer: Pubkey) -> Instruction:
        return self.build(
            program.ProposeSeizure(
                proposer=proposer, bond=self.bond, code=CODE, evidence_hash=evidence(0), reason=1
            )
        )


def board(part: str = "nobody") -> Board:
    """The multisig holds this role from the start."""
    world = new_world()
    foreign = deploy_foreign(world)
    roles = {role: getattr(world.roles, role) for role in ROLES}
    roles |= {part: foreign.signer(0)} if part in ROLES else {}
    initialize = program.initialize(
        world.deployment,
        upgrade_authority=world.upgrade_authority.pubkey(),
        funder=world.funder.pubkey(),
        roles=InitialRoles(**roles),
        parameters=InitialParameters(),
    )
    world.send(initialize, signers=[world.upgrade_authority, world.funder])
    world.fill_till(1_000 * USDC)
    owner = world.wallet()
    world.post_bond(CODE, owner.pubkey())
    return Board(world=world, foreign=foreign, owner=owner)


def give_it_data(it: Board) -> None:
    """As the account of a multisig is: owned by its program, with its members in it."""
    it.world.svm.set_account(it.key, Account(10_000_000, b"members", it.foreign.program_id))


def contest_it(it: Board) -> None:
    it.world.send(it.propose(it.world.proposer.pubkey()), signers=[it.world.proposer])
    contest = program.Contest(
        beneficiary=it.owner.pubkey(), bond=it.bond, code=CODE, reply_hash=REPLY
    )
    it.world.send(it.build(contest), signers=[it.owner])


def pay(it: Board) -> Instruction:
    return program.pay(
        it.world.deployment,
        payer=it.key,
        sequence=7,
        amount_microusdc=MicroUsdc(5),
        code=USER_CODE,
        reference=REFERENCE,
        destination=it.world.ata(it.owner.pubkey()),
    )


def stray(it: Board) -> Instruction:
    world = it.world
    lost = world.open_account(world.deployment.config)
    world.mint_to(lost, 9)
    return it.build(
        program.RecoverStray(
            admin=it.key,
            authority=world.deployment.config,
            stray=lost,
            destination=world.deployment.till_vault,
            stray_mint=world.deployment.mint,
        )
    )


def approval(it: Board) -> Instruction:
    return it.build(
        program.ApprovePay(
            admin=it.key,
            sequence=7,
            amount_microusdc=MicroUsdc(5),
            destination=it.world.ata(it.owner.pubkey()),
            reference=REFERENCE,
        )
    )


def verdict(it: Board, kind: type[program.Uphold] | type[program.Dismiss]) -> Instruction:
    contest_it(it)
    return it.build(kind(arbiter=it.key, bond=it.bond, code=CODE))


ACTS: Mapping[str, list[Callable[[Board], Instruction]]] = {
    "admin": [
        approval,
        stray,
        lambda it: program.skip(it.world.deployment, signer=it.key, first=0, mask=1),
        lambda it: it.build(program.SetParams(admin=it.key, parameters=InitialParameters())),
        lambda it: it.build(
            program.GrantRole(admin=it.key, role=Role.PAYER, holder=Keypair().pubkey())
        ),
        lambda it: it.build(program.RevokeRole(signer=it.key, role=Role.ARBITER)),
        lambda it: it.build(program.NominateAdmin(signer=it.key, nominee=Keypair().pubkey())),
        lambda it: it.build(program.Pause(signer=it.key, bit=PauseBit.RELEASES)),
    ],
    "proposer": [
        lambda it: it.propose(it.key),
        lambda it: it.build(program.Retire(signer=it.key, bond=it.bond, code=CODE)),
    ],
    "arbiter": [
        lambda it: verdict(it, program.Uphold),
        lambda it: verdict(it, program.Dismiss),
    ],
    "guardian": [
        lambda it: it.build(program.Pause(signer=it.key, bit=PauseBit.PAYOUTS)),
        lambda it: it.build(program.RevokeRole(signer=it.key, role=Role.PAYER)),
    ],
    "payer": [
        pay,
        lambda it: program.skip(it.world.deployment, signer=it.key, first=0, mask=1),
    ],
}
EACH_ACT = [(part, place) for part, acts in ACTS.items() for place in range(len(acts))]


@pytest.mark.parametrize(("part", "place"), EACH_ACT)
@pytest.mark.parametrize("has_data", [False, True])
def test_a_multisig_in_a_role(part: str, place: int, *, has_data: bool) -> None:
    it = board(part)
    if has_data:
        give_it_data(it)
    act = ACTS[part][place](it)
    before = it.world.svm.get_account(it.key)
    it.resolve(act)
    assert it.world.svm.get_account(it.key) == before  # it paid nothing


@pytest.mark.parametrize(("part", "place"), EACH_ACT)
def test_another_address_of_the_same_multisig_is_nobody(part: str, place: int) -> None:
    it = board(part)
    act, other = ACTS[part][place](it), it.foreign.signer(1)
    first = act.accounts[0]
    assert first.pubkey == it.key
    changed = [type(first)(other, is_signer=True, is_writable=first.is_writable)]
    spoiled = Instruction(act.program_id, act.data, [*changed, *act.accounts[1:]])
    assert it.refuse(spoiled, signing=2) == "Unauthorized"


@pytest.mark.parametrize(("part", "place"), EACH_ACT)
def test_another_copy_of_its_program_signs_for_nobody(part: str, place: int) -> None:
    it = board(part)
    act = ACTS[part][place](it)
    imposter = deploy_foreign(it.world)
    first = act.accounts[0]
    changed = [type(first)(imposter.signer(0), is_signer=True, is_writable=first.is_writable)]
    spoiled = Instruction(act.program_id, act.data, [*changed, *act.accounts[1:]])
    assert it.world.refuse(imposter.forward(spoiled, signing=1)) == "Unauthorized"


# --- holding a bond


def multisigs_bond() -> tuple[Board, Pubkey]:
    """A bond of the multisig, and its address."""
    it = board()
    it.world.post_bond(CODE, it.key)
    it.world.open_account(it.key)
    return it, it.world.deployment.bond(CODE, it.key)


def test_it_retires_cancels_contests_and_hands_over() -> None:
    it, bond = multisigs_bond()
    retire = program.Retire(signer=it.key, bond=bond, code=CODE)
    cancel = program.CancelRetire(beneficiary=it.key, bond=bond, code=CODE)
    it.resolve(it.build(retire), it.build(cancel))
    propose = program.ProposeSeizure(
        proposer=it.world.proposer.pubkey(),
        bond=bond,
        code=CODE,
        evidence_hash=evidence(0),
        reason=0,
    )
    it.world.send(it.build(propose), signers=[it.world.proposer])
    contest = program.Contest(beneficiary=it.key, bond=bond, code=CODE, reply_hash=REPLY)
    it.resolve(it.build(contest))
    dismiss = program.Dismiss(arbiter=it.world.arbiter.pubkey(), bond=bond, code=CODE)
    it.world.send(it.build(dismiss), signers=[it.world.arbiter])
    hand_over = program.SetBeneficiary(
        beneficiary=it.key, new_beneficiary=it.foreign.signer(1), bond=bond, code=CODE
    )
    it.resolve(it.build(hand_over), signing=2)
    assert it.world.bond(CODE, it.key).beneficiary == it.foreign.signer(1)
    assert it.refuse(it.build(retire)) == "Unauthorized"


@pytest.mark.parametrize("signed", [False, True])
def test_its_bond_is_released_to_it(*, signed: bool) -> None:
    it, bond = multisigs_bond()
    it.resolve(it.build(program.Retire(signer=it.key, bond=bond, code=CODE)))
    it.world.advance(COOLDOWN_SECONDS)
    chosen = it.world.ata(it.owner.pubkey()) if signed else it.world.ata(it.key)
    release = program.release(
        it.world.deployment,
        code=CODE,
        beneficiary=it.key,
        rent_payer=it.world.funder.pubkey(),
        destination=chosen,
        signed=signed,
    )
    it.resolve(release, signing=1 if signed else 0)
    assert it.world.balance(chosen) == BOND_AMOUNT
    assert it.world.bond(CODE, it.key).state is BondState.RELEASED


def test_nobody_else_takes_its_bond_elsewhere() -> None:
    it, bond = multisigs_bond()
    it.resolve(it.build(program.Retire(signer=it.key, bond=bond, code=CODE)))
    it.world.advance(COOLDOWN_SECONDS)
    release = program.release(
        it.world.deployment,
        code=CODE,
        beneficiary=it.key,
        rent_payer=it.world.funder.pubkey(),
        destination=it.world.ata(it.owner.pubkey()),
    )
    assert it.refuse(release, signing=0) == "WrongTokenAccount"


# --- paying


def test_it_deposits_and_posts_from_its_own_token_account() -> None:
    it = board()
    account = it.world.open_account(it.key)
    it.world.mint_to(account, BOND_AMOUNT + 7)
    deposit = program.deposit_usdc(
        it.world.deployment, depositor=it.key, code=USER_CODE, amount_microusdc=MicroUsdc(7)
    )
    till = it.world.till
    it.resolve(deposit)
    assert it.world.till == till + 7
    posting = program.post_bond(
        it.world.deployment,
        depositor=it.key,
        funder=it.world.funder.pubkey(),
        code=CODE,
        beneficiary=it.key,
    )
    it.resolve(posting, signers=(it.world.funder,))
    assert it.world.bond(CODE, it.key).beneficiary == it.key
    assert it.world.balance(account) == 0


def test_it_funds_an_account_and_gets_the_rent_back() -> None:
    it = board()
    it.world.svm.airdrop(it.key, 1_000_000_000)
    depositor = it.world.wallet(BOND_AMOUNT)
    posting = program.post_bond(
        it.world.deployment,
        depositor=depositor.pubkey(),
        funder=it.key,
        code=CODE,
        beneficiary=depositor.pubkey(),
    )
    it.resolve(posting, signers=(depositor,))
    bond = it.world.deployment.bond(CODE, depositor.pubkey())
    before = it.world.svm.get_balance(it.key)
    retire = program.Retire(signer=depositor.pubkey(), bond=bond, code=CODE)
    it.world.send(it.build(retire), signers=[depositor])
    it.world.advance(COOLDOWN_SECONDS)
    it.world.send(
        program.release(
            it.world.deployment, code=CODE, beneficiary=depositor.pubkey(), rent_payer=it.key
        )
    )
    after = it.world.svm.get_balance(it.key)
    assert before is not None
    assert after is not None
    assert after - before == (376 - 24) * 6_960


# --- above the admin


def test_it_becomes_admin_and_the_upgrade_authority_may_be_one() -> None:
    it = board()
    set_upgrade_authority(it.world.svm, it.world.deployment, it.foreign.signer(1))
    nominate = program.NominateAdmin(signer=it.foreign.signer(1), nominee=it.key)
    it.resolve(it.build(nominate), signing=2)
    accept = it.build(program.AcceptAdmin(nominee=it.key))
    assert it.refuse(accept) == "NominationTooEarly"
    it.world.advance(14 * DAY)
    it.resolve(accept)
    assert it.world.config().admin == it.key


def test_a_whole_seizure_by_a_multisig_in_one_call_waits_like_any_other() -> None:
    it = board("proposer")
    execute = program.ExecuteSeizure(bond=it.bond, rent_payer=it.world.funder.pubkey(), code=CODE)
    assert it.refuse(it.propose(it.key), it.build(execute)) == "WindowNotOver"
    it.resolve(it.propose(it.key))
    it.world.advance(DISPUTE)
    it.resolve(it.build(execute), signing=0)
    assert it.world.bond(CODE, it.owner.pubkey()).state is BondState.SEIZED
