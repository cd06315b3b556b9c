"""The whole bond program on the embedded chain: whatever it does, books and vaults are equal."""

from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from settlement.bonds import lifecycle, seizure
from settlement.bonds.lifecycle import Standing
from settlement.bonds.rules import Seizure, SeizureState, SeizureTimes
from settlement.chain import program
from settlement.chain.movement import Vault
from settlement.chain.rpc import open_rpc
from settlement.clock import SystemClock
from settlement.db.pool import reading
from settlement.errors import snake_case
from settlement.ledger import accounts
from settlement.money import MicroUsdc
from settlement.payouts.halt import halted
from settlement.reconcile.compare import Reconciliation, Verdict, compare
from tests.chain.indexer.conftest import CLUSTER, World, following, plain_transfer
from tests.chain.localnet.calls import create_token_account

DAY: Final = 86_400
BOND: Final = 50_000_000
EVIDENCE: Final = b"e" * 32
MINT_SIZE: Final = 82


class Life:
    """One bond of the operator, and whoever may do something to it."""

    def __init__(self, world: World, provider_id: UUID, code: bytes) -> None:
        self.world = world
        self.provider_id = provider_id
        self.code = code
        self.operator = world.wallet("operator")
        self.address = world.deployment.bond(code, self.operator.pubkey())

    async def do(self, who: str, *instructions: program.ProgramInstruction) -> None:
        """Instructions that this wallet signs and pays for."""
        built = [program.build(self.world.deployment, one) for one in instructions]
        await self.world.send(*built, signers=[self.world.wallet(who)])

    async def post(self) -> None:
        wallet = self.operator.pubkey()
        built = program.post_bond(
            self.world.deployment,
            depositor=wallet,
            funder=wallet,
            code=self.code,
            beneficiary=wallet,
        )
        await self.world.send(built, signers=[self.operator])

    async def propose(self, evidence: bytes = EVIDENCE) -> None:
        proposer = self.world.wallet("proposer").pubkey()
        made = program.ProposeSeizure(
            proposer=proposer,
            bond=self.address,
            code=self.code,
            evidence_hash=evidence,
            reason=7,
        )
        await self.do("proposer", made)

    async def contest(self) -> None:
        wallet = self.operator.pubkey()
        made = program.Contest(
            beneficiary=wallet, bond=self.address, code=self.code, reply_hash=bytes(32)
        )
        await self.do("operator", made)

    async def execute(self) -> None:
        made = program.ExecuteSeizure(
            bond=self.address, rent_payer=self.operator.pubkey(), code=self.code
        )
        await self.do("user", made)

    async def wait(self, days: int) -> None:
        """Chain time passes."""
        await self.world.rpc.call("localnet_advanceClock", days * DAY + 1)

    async def account(self) -> program.Bond:
        """What the chain says of the bond."""
        found = await self.world.rpc.value(
            "getAccountInfo", str(self.address), {"encoding": "base64", "commitment": "processed"}
        )
        bond = program.decode_account(b64decode(found["data"][0]))
        assert isinstance(bond, program.Bond)
        return bond

    async def standing(self) -> Standing:
        async with reading(self.world.pool) as conn:
            return (await lifecycle.standing(conn, self.provider_id)).state

    async def seizure(self) -> Seizure | None:
        async with reading(self.world.pool) as conn:
            return await seizure.open_seizure(conn, str(self.address))


@pytest.fixture
async def life(world: World) -> Life:
    """An enrolled operator who has not posted a bond yet."""
    return Life(world, *await world.operator())


async def compared(world: World) -> Reconciliation:
    """The real comparison, against the chain's vaults at one finalized slot."""
    async with open_rpc([world.chain.rpc_url]) as rpc:
        return await compare(
            world.pool,
            rpc,
            cluster=CLUSTER,
            deployment=world.deployment,
            clock=SystemClock(),
        )


async def equal(world: World) -> None:
    """Everything is read, books and vaults are equal, nothing waits for a person."""
    await world.settled()
    found = await compared(world)
    assert found.verdict is Verdict.EQUAL
    assert await world.rows("select * from indexer.incident") == []
    async with reading(world.pool) as conn:
        assert await halted(conn) == ()


async def test_a_seizure_that_nobody_contests(life: Life) -> None:
    world = life.world
    async with following(world.settings()):
        await life.post()
        await life.propose()
        await equal(world)
        bond = await life.account()
        moments = (bond.proposed_at, bond.execute_after, bond.decide_by, bond.dies_at)
        proposed_at, *times = (datetime.fromtimestamp(one, UTC) for one in moments)
        assert await life.seizure() == Seizure(
            state=SeizureState.PROPOSED,
            proposed_at=proposed_at,
            evidence_hash=EVIDENCE,
            reason=7,
            times=SeizureTimes(execute_after=times[0], decide_by=times[1], dies_at=times[2]),
        )
        assert await life.standing() is Standing.POSTED
        await life.wait(7)
        await life.execute()
        await world.credited(accounts.REFUND_POOL, BOND)
        await equal(world)
    assert await life.standing() is Standing.SEIZED
    assert await life.seizure() is None
    assert await world.balance(accounts.bond(life.provider_id)) == 0
    assert await world.balance(accounts.chain_vault(Vault.TILL)) == BOND
    assert await world.balance(accounts.chain_vault(Vault.BOND)) == 0


async def test_a_seizure_with_every_step_there_is(life: Life) -> None:
    world = life.world
    arbiter, proposer = (world.wallet(name).pubkey() for name in ("arbiter", "proposer"))
    bond, code = life.address, life.code
    async with following(world.settings()):
        await life.post()
        await life.propose(b"1" * 32)
        await life.do("proposer", program.WithdrawProposal(proposer=proposer, bond=bond, code=code))
        await life.propose(b"2" * 32)
        await life.contest()
        await life.do("arbiter", program.Dismiss(arbiter=arbiter, bond=bond, code=code))
        await life.propose(b"3" * 32)
        await life.wait(21)
        await life.do("user", program.Lapse(bond=bond, code=code))
        await equal(world)
        assert await life.seizure() is None
        await life.propose(b"4" * 32)
        await life.contest()
        await life.do("arbiter", program.Uphold(arbiter=arbiter, bond=bond, code=code))
        await equal(world)
        upheld, account = await life.seizure(), await life.account()
        assert upheld is not None
        assert upheld.times is not None
        assert (upheld.state, upheld.evidence_hash) == (SeizureState.UPHELD, b"4" * 32)
        assert upheld.times.dies_at == datetime.fromtimestamp(account.dies_at, UTC)
        await life.wait(7)
        await life.execute()
        await equal(world)
    assert await world.balance(accounts.REFUND_POOL) == BOND
    rows = await world.rows("select step, signer from settlement.seizure_step order by step_id")
    operator = life.operator.pubkey()
    assert [(row["step"], row["signer"]) for row in rows] == [
        ("proposed", str(proposer)),
        ("withdrawn", str(proposer)),
        ("proposed", str(proposer)),
        ("contested", str(operator)),
        ("dismissed", str(arbiter)),
        ("proposed", str(proposer)),
        ("lapsed", None),
        ("proposed", str(proposer)),
        ("contested", str(operator)),
        ("upheld", str(arbiter)),
        ("executed", None),
    ]


async def test_what_was_seized_before_anybody_looked(life: Life) -> None:
    await life.post()
    await life.propose()
    await life.wait(7)
    await life.execute()
    async with following(life.world.settings()):
        await equal(life.world)
    assert await life.world.balance(accounts.REFUND_POOL) == BOND
    assert await life.standing() is Standing.SEIZED


async def test_a_bond_out_of_its_cooldown_and_handed_to_somebody_else(life: Life) -> None:
    world = life.world
    wallet, user = life.operator.pubkey(), world.wallet("user")
    bond, code = life.address, life.code

    async def hand_over(old: Pubkey, new: Pubkey) -> None:
        made = program.SetBeneficiary(beneficiary=old, new_beneficiary=new, bond=bond, code=code)
        built = program.build(world.deployment, made)
        await world.send(built, signers=[life.operator, user])

    retire = program.Retire(signer=wallet, bond=bond, code=code)
    async with following(world.settings()):
        await life.post()
        await life.do("operator", retire)
        await life.do("operator", program.CancelRetire(beneficiary=wallet, bond=bond, code=code))
        await equal(world)
        assert await life.standing() is Standing.POSTED
        await hand_over(wallet, user.pubkey())
        await equal(world)
        assert await life.standing() is Standing.NONE
        assert await world.balance(accounts.bond_unenrolled(str(bond))) == BOND
        await hand_over(user.pubkey(), wallet)
        await equal(world)
        assert await life.standing() is Standing.POSTED
        assert await world.balance(accounts.bond(life.provider_id)) == BOND
        await life.do("operator", retire)
        await hand_over(wallet, user.pubkey())
        await life.wait(90)
        back = program.Release(
            bond=bond,
            beneficiary=user.pubkey(),
            destination=world.ata("user"),
            rent_payer=wallet,
            code=code,
        )
        await life.do("proposer", back)
        await equal(world)
    assert await life.standing() is Standing.NONE
    assert await world.balance(accounts.bond_unenrolled(str(bond))) == 0
    assert await world.balance(accounts.chain_vault(Vault.BOND)) == 0


async def test_what_was_sent_to_the_bond_vault_by_mistake_is_swept(life: Life) -> None:
    world = life.world
    user = world.wallet("user").pubkey()
    async with following(world.settings()):
        await life.post()
        await world.send(plain_transfer(world.ata("user"), world.deployment.bond_vault, user, 7))
        await life.do("user", program.SweepSurplus())
        await equal(world)
    assert await world.balance(accounts.SUSPENSE) == 7
    assert await world.balance(accounts.chain_vault(Vault.TILL)) == 7
    assert await world.balance(accounts.chain_vault(Vault.BOND)) == BOND


async def test_what_lay_in_other_accounts_of_ours_is_recovered(life: Life) -> None:
    world = life.world
    user, admin = world.wallet("user"), world.wallet("admin").pubkey()
    mint, config = world.deployment.mint, world.deployment.config
    stray = program.associated_token_address(config, mint)
    foreign, foreign_mint = await foreign_stray(world, world.deployment.till_authority)
    theirs = program.associated_token_address(user.pubkey(), foreign_mint)
    async with following(world.settings()):
        await world.send(
            create_token_account(user.pubkey(), config, mint),
            plain_transfer(world.ata("user"), stray, user.pubkey(), 11),
            create_token_account(user.pubkey(), user.pubkey(), foreign_mint),
        )
        await equal(world)
        assert await world.balance(accounts.SUSPENSE) == 0, "it lies in no vault yet"
        ours = program.RecoverStray(
            admin=admin,
            authority=config,
            stray=stray,
            destination=world.deployment.till_vault,
            stray_mint=mint,
        )
        other = program.RecoverStray(
            admin=admin,
            authority=world.deployment.till_authority,
            stray=foreign,
            destination=theirs,
            stray_mint=foreign_mint,
        )
        await life.do("admin", ours, other)
        await equal(world)
    assert await world.balance(accounts.SUSPENSE) == 11
    assert await world.balance(accounts.chain_vault(Vault.TILL)) == 11
    rows = await world.rows(
        "select kind, facts->>'admin' as admin from indexer.event"
        " where kind in ('stray_recovered', 'governed') and facts->>'what' is distinct from"
        " 'initialize' order by outer_index"
    )
    assert [row["kind"] for row in rows] == ["stray_recovered", "governed"]
    assert rows[0]["admin"] == str(admin)


async def foreign_stray(world: World, owner: Pubkey) -> tuple[Pubkey, Pubkey]:
    """Tokens of another mint in an account of this owner; the account and the mint."""
    issuer, mint = world.wallet("mint-authority"), Keypair()
    rent = await world.rpc.call("getMinimumBalanceForRentExemption", MINT_SIZE)
    stray = program.associated_token_address(owner, mint.pubkey())
    writable = AccountMeta(mint.pubkey(), is_signer=False, is_writable=True)
    to = AccountMeta(stray, is_signer=False, is_writable=True)
    by = AccountMeta(issuer.pubkey(), is_signer=True, is_writable=False)
    made = create_account(
        CreateAccountParams(
            from_pubkey=issuer.pubkey(),
            to_pubkey=mint.pubkey(),
            lamports=rent,
            space=MINT_SIZE,
            owner=program.TOKEN_PROGRAM,
        )
    )
    started = bytes([20, 6]) + bytes(issuer.pubkey()) + b"\0"
    minted = bytes([7]) + (5).to_bytes(8, "little")
    await world.send(
        made,
        Instruction(program.TOKEN_PROGRAM, started, [writable]),
        create_token_account(issuer.pubkey(), owner, mint.pubkey()),
        Instruction(program.TOKEN_PROGRAM, minted, [writable, to, by]),
        signers=[issuer, mint],
    )
    return stray, mint.pubkey()


async def test_what_the_owners_do_is_kept_and_books_nothing(life: Life) -> None:
    world = life.world
    admin, guardian, nominee = (
        world.wallet(name).pubkey() for name in ("admin", "guardian", "user")
    )
    by_admin: Sequence[program.ProgramInstruction] = (
        program.SetParams(
            admin=admin, parameters=program.InitialParameters(cooldown_seconds=80 * DAY)
        ),
        program.SetParams(
            admin=admin, parameters=program.InitialParameters(cooldown_seconds=90 * DAY)
        ),
        program.CancelParams(signer=admin),
        program.RevokeRole(signer=admin, role=program.Role.PROPOSER),
        program.GrantRole(admin=admin, role=program.Role.PROPOSER, holder=nominee),
        program.CancelRole(signer=admin),
        program.NominateAdmin(signer=admin, nominee=nominee),
        program.CancelNomination(admin=admin),
        program.ApprovePay(
            admin=admin,
            sequence=5,
            amount_microusdc=MicroUsdc(9),
            destination=world.ata("user"),
            reference=bytes(16),
        ),
        program.Pause(signer=admin, bit=program.PauseBit.RELEASES),
        program.Unpause(admin=admin, bit=program.PauseBit.RELEASES),
    )
    async with following(world.settings()):
        for one in by_admin:
            await life.do("admin", one)
        await life.do("guardian", program.Pause(signer=guardian, bit=program.PauseBit.SEIZURES))
        await equal(world)
    rows = await world.rows(
        "select e.facts->>'what' as what, e.facts->>'signer' as signer, e.event_at"
        " from indexer.event e join indexer.signature s using (cluster, signature)"
        " where e.kind = 'governed' order by s.slot, s.place"
    )
    told = [(row["what"], row["signer"]) for row in rows]
    authority = str(world.wallet("upgrade-authority").pubkey())
    names = [snake_case(type(one).__name__) for one in by_admin]
    assert told == [
        ("initialize", authority),
        *((name, str(admin)) for name in names),
        ("pause", str(guardian)),
    ]
    assert all(row["event_at"] is not None for row in rows)
    assert await world.rows("select * from settlement.txn") == []
