"""`recover_stray`: what was sent to an account of ours by mistake, and only that."""

from dataclasses import dataclass

import pytest
from solders.account import Account
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from tests.program.case import ready
from tests.program.world import BOND_AMOUNT, World, with_account

ADMIN, AUTHORITY, STRAY, DESTINATION, CONFIG, STRAY_MINT, TOKEN_PROGRAM = range(7)
AUTHORITIES = ["config", "payouts", "till_authority", "escrow"]
OWNER_AT = 32
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")


@dataclass(kw_only=True)
class Lost:
    """Tokens that strayed to an account of ours, and where they may go."""

    world: World
    authority: Pubkey
    stray: Pubkey
    destination: Pubkey
    mint: Pubkey

    @property
    def instruction(self) -> Instruction:
        return program.build(
            self.world.deployment,
            program.RecoverStray(
                admin=self.world.admin.pubkey(),
                authority=self.authority,
                stray=self.stray,
                destination=self.destination,
                stray_mint=self.mint,
            ),
        )

    def send(self, instruction: Instruction | None = None) -> None:
        self.world.send(instruction or self.instruction, signers=[self.world.admin])

    def refuse(self, instruction: Instruction | None = None) -> str:
        return self.world.refuse(instruction or self.instruction, signers=[self.world.admin])

    def replaced(self, place: int, key: Pubkey) -> str:
        return self.refuse(with_account(self.instruction, place, pubkey=key))


def token_account(world: World, owner: Pubkey, mint: Pubkey, amount: int) -> Pubkey:
    """A token account of theirs at any address, as anybody can make one."""
    template = world.svm.get_account(world.open_account(Keypair().pubkey(), mint))
    assert template is not None
    data = template.data[:OWNER_AT] + bytes(owner) + amount.to_bytes(8, "little")
    address = Keypair().pubkey()
    world.set_account(address, data + template.data[len(data) :], template.owner)
    return address


def owner_called(world: World, name: str) -> Pubkey:
    key = getattr(world.deployment, name)
    assert isinstance(key, Pubkey)
    return key


def lost_usdc(name: str = "config", amount: int = 77) -> Lost:
    world = ready()
    owner = owner_called(world, name)
    return Lost(
        world=world,
        authority=owner,
        stray=token_account(world, owner, world.deployment.mint, amount),
        destination=world.deployment.till_vault,
        mint=world.deployment.mint,
    )


def lost_foreign(name: str = "till_authority", amount: int = 77, decimals: int = 9) -> Lost:
    world = ready()
    owner, mint = owner_called(world, name), world.new_mint(decimals)
    return Lost(
        world=world,
        authority=owner,
        stray=token_account(world, owner, mint, amount),
        destination=world.open_account(Keypair().pubkey(), mint),
        mint=mint,
    )


# --- what it does


@pytest.mark.parametrize("name", AUTHORITIES)
def test_usdc_of_any_of_ours_goes_to_the_till(name: str) -> None:
    lost = lost_usdc(name)
    lost.send()
    assert (lost.world.till, lost.world.balance(lost.stray)) == (77, 0)
    assert lost.refuse() == "NothingToSweep"


@pytest.mark.parametrize("name", AUTHORITIES)
@pytest.mark.parametrize("decimals", [0, 6, 9])
def test_a_foreign_mint_goes_where_the_admin_says(name: str, decimals: int) -> None:
    lost = lost_foreign(name, decimals=decimals)
    lost.send()
    assert (lost.world.balance(lost.destination), lost.world.balance(lost.stray)) == (77, 0)


@pytest.mark.parametrize("name", ["config", "payouts"])
def test_the_canonical_account_of_one_that_has_no_vault(name: str) -> None:
    lost = lost_usdc(name)
    lost.stray = lost.world.open_account(lost.authority)
    lost.world.mint_to(lost.stray, 5)
    lost.send()
    assert lost.world.till == 5


def test_all_of_it_up_to_the_largest_amount() -> None:
    lost = lost_foreign(amount=2**64 - 1)
    lost.send()
    assert lost.world.balance(lost.destination) == 2**64 - 1


def test_no_pause_stops_it() -> None:
    lost = lost_usdc()
    for pause in ("deposits", "payouts", "seizures", "releases"):
        lost.world.pause(pause, lost.world.now + 60)
    lost.send()


# --- never a vault, never somebody else's


def test_never_a_vault() -> None:
    for name, vault in (("escrow", "bond_vault"), ("till_authority", "till_vault")):
        lost = lost_usdc(name)
        world = lost.world
        world.post_bond(b"Enroll01", Keypair().pubkey())
        world.fill_till(BOND_AMOUNT)
        real = owner_called(world, vault)
        if vault == "till_vault":  # then destination and source are one
            assert lost.replaced(STRAY, real) == "DuplicateAccount"
            lost.destination = world.ata(world.wallet().pubkey())
        assert lost.replaced(STRAY, real) == "ForbiddenAddress"
        assert world.held == world.till == BOND_AMOUNT


def test_not_what_belongs_to_others() -> None:
    lost = lost_usdc()
    world = lost.world
    rich = world.wallet(100)
    assert lost.replaced(STRAY, world.ata(rich.pubkey())) == "WrongTokenAccount"
    assert lost.replaced(AUTHORITY, rich.pubkey()) == "WrongAddress"
    lost.stray, lost.authority = world.ata(rich.pubkey()), rich.pubkey()
    assert lost.refuse() == "WrongAddress"
    lost.authority = world.admin.pubkey()
    assert lost.refuse() == "WrongAddress"


@pytest.mark.parametrize("name", AUTHORITIES)
def test_the_authority_must_be_the_owner(name: str) -> None:
    lost = lost_usdc("config" if name != "config" else "escrow")
    assert lost.replaced(AUTHORITY, owner_called(lost.world, name)) == "WrongTokenAccount"


def test_a_delegation_to_one_of_ours_is_not_ours() -> None:
    lost = lost_usdc()
    world = lost.world
    rich = world.ata(world.wallet(100).pubkey())
    delegated = (1).to_bytes(4, "little") + bytes(lost.authority)
    world.patch(rich, 72, delegated)
    world.patch(rich, 121, (100).to_bytes(8, "little"))
    assert lost.replaced(STRAY, rich) == "WrongTokenAccount"


def test_a_bond_cannot_sign_for_what_was_sent_to_it() -> None:
    lost = lost_usdc()
    world, owner = lost.world, Keypair().pubkey()
    world.post_bond(b"Enroll01", owner)
    bond = world.deployment.bond(b"Enroll01", owner)
    lost.stray = token_account(world, bond, world.deployment.mint, 5)
    assert lost.replaced(AUTHORITY, bond) == "WrongAddress"


# --- where it may go


def test_usdc_goes_to_the_till_and_nowhere_else() -> None:
    lost = lost_usdc()
    world = lost.world
    assert lost.replaced(DESTINATION, world.ata(world.wallet().pubkey())) == "WrongAddress"
    assert lost.replaced(DESTINATION, world.deployment.bond_vault) == "WrongAddress"
    other = token_account(world, world.deployment.till_authority, world.deployment.mint, 0)
    assert lost.replaced(DESTINATION, other) == "WrongAddress"


@pytest.mark.parametrize("name", ["till_authority", "escrow"])
def test_a_foreign_mint_does_not_stay_with_us(name: str) -> None:
    lost = lost_foreign()
    ours = token_account(lost.world, owner_called(lost.world, name), lost.mint, 0)
    assert lost.replaced(DESTINATION, ours) == "ForbiddenAddress"


def test_a_destination_of_another_mint_or_kind() -> None:
    lost = lost_foreign()
    world = lost.world
    assert lost.replaced(DESTINATION, world.deployment.till_vault) == "WrongMint"
    third = world.open_account(Keypair().pubkey(), world.new_mint())
    assert lost.replaced(DESTINATION, third) == "WrongMint"
    assert lost.replaced(DESTINATION, Keypair().pubkey()) == "WrongTokenAccount"
    assert lost.replaced(DESTINATION, lost.mint) == "WrongTokenAccount"
    assert lost.replaced(DESTINATION, lost.stray) == "DuplicateAccount"


# --- mints and programs


def test_the_mint_must_be_that_of_what_strayed() -> None:
    lost = lost_foreign()
    world = lost.world
    assert lost.replaced(STRAY_MINT, world.new_mint()) == "WrongMint"
    assert lost.replaced(STRAY_MINT, world.deployment.mint) == "WrongMint"
    assert lost.replaced(STRAY_MINT, lost.stray) == "WrongMint"
    assert lost.replaced(STRAY_MINT, Keypair().pubkey()) == "WrongMint"


def test_naming_another_mint_does_not_free_usdc() -> None:
    lost = lost_usdc()
    other = lost.world.new_mint()
    lost.destination = lost.world.open_account(Keypair().pubkey(), other)
    assert lost.replaced(STRAY_MINT, other) == "WrongMint"


def test_what_belongs_to_the_newer_token_program() -> None:
    lost = lost_foreign()
    world = lost.world
    for key in (lost.stray, lost.destination):
        account = world.svm.get_account(key)
        assert account is not None
        newer = Account(account.lamports, account.data, TOKEN_2022)
        world.svm.set_account(key, newer)
        assert lost.refuse() == "WrongTokenAccount"
        world.svm.set_account(key, account)
    newer_mint = world.new_mint(owner=TOKEN_2022)
    assert lost.replaced(STRAY_MINT, newer_mint) == "WrongMint"
    assert lost.replaced(TOKEN_PROGRAM, TOKEN_2022) == "WrongProgram"


def test_nothing_to_recover() -> None:
    assert lost_usdc(amount=0).refuse() == "NothingToSweep"
    assert lost_foreign(amount=0).refuse() == "NothingToSweep"


@pytest.mark.parametrize("place", [STRAY, DESTINATION])
def test_a_frozen_account_fails_cleanly_and_thawed_it_works(place: int) -> None:
    lost = lost_foreign()
    key = lost.instruction.accounts[place].pubkey
    before = lost.world.svm.get_account(key)
    assert before is not None
    lost.world.patch(key, 108, b"\x02")
    assert lost.refuse() == "FrozenTokenAccount"
    lost.world.svm.set_account(key, before)
    lost.send()


# --- by whom


def test_only_the_admin() -> None:
    lost = lost_usdc()
    world = lost.world
    roles = (world.payer, world.proposer, world.arbiter, world.guardian, world.upgrade_authority)
    for other in (*roles, world.funder, Keypair()):
        spoiled = with_account(lost.instruction, ADMIN, pubkey=other.pubkey())
        assert world.refuse(spoiled, signers=[other]) == "Unauthorized"
    unsigned = with_account(lost.instruction, ADMIN, is_signer=False)
    assert world.refuse(unsigned) == "MissingSignature"
