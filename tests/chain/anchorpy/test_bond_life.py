"""A bond's whole life through anchorpy alone, on a real chain; we only read beside it.

After every step each account reads the same on both sides, and every refusal has the same name.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from localnet.embedded import RunningChain
from settlement.chain import program
from settlement.chain.program import Deployment, InitialParameters, InitialRoles
from settlement.chain.rpc import RpcClient, open_rpc
from settlement.money import MicroUsdc
from tests.chain.anchorpy.outsider import Answer, Outsider
from tests.chain.localnet.calls import Rpc

pytestmark = [pytest.mark.foreign, pytest.mark.long, pytest.mark.timeout(300)]

CODE = b"Operator"
ROLES = ("admin", "proposer", "arbiter", "guardian", "payer")
DAY = 86_400
POLICY = InitialParameters()
EVIDENCE, OTHER_EVIDENCE, REPLY = (bytes([each]) * 32 for each in (1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class Life:
    """One bond of the operator's, and who acts on it."""

    outsider: Outsider
    rpc: RpcClient
    raw: Rpc
    code: bytes = CODE

    @property
    def deployment(self) -> Deployment:
        return self.outsider.deployment

    @property
    def bond(self) -> Pubkey:
        return self.deployment.bond(self.code, self.key("operator"))

    def key(self, name: str) -> Pubkey:
        return self.outsider.chain.keys[name].pubkey()

    async def do(self, wanted: program.ProgramInstruction, *names: str) -> Answer:
        """One step, and then all accounts compared."""
        answer = await self.outsider.send(wanted, *names)
        deployment = self.deployment
        await self.outsider.agree(
            self.rpc, self.bond, deployment.config, deployment.escrow, deployment.payouts
        )
        return answer

    async def refused(self, wanted: program.ProgramInstruction, *names: str) -> str:
        return await self.outsider.refusal(wanted, *names)

    async def pass_time(self, seconds: int) -> None:
        await self.raw.call("localnet_advanceClock", seconds)

    async def read(self) -> program.Bond:
        found = (await self.rpc.account(self.bond)).account
        assert found is not None
        bond = program.decode_account(found.data)
        assert isinstance(bond, program.Bond)
        return bond

    async def post(self) -> None:
        await self.do(self.posting(), "operator")

    def posting(self) -> program.PostBond:
        operator = self.key("operator")
        source = program.associated_token_address(operator, self.deployment.mint)
        return program.PostBond(
            depositor=operator,
            funder=operator,
            depositor_ata=source,
            bond=self.bond,
            code=self.code,
            beneficiary=operator,
        )

    def proposal(self, evidence: bytes, proposer: str = "proposer") -> program.ProposeSeizure:
        return program.ProposeSeizure(
            proposer=self.key(proposer),
            bond=self.bond,
            code=self.code,
            evidence_hash=evidence,
            reason=7,
        )

    def retiring(self, signer: str = "operator") -> program.Retire:
        return program.Retire(signer=self.key(signer), bond=self.bond, code=self.code)

    def contest(self) -> program.Contest:
        return program.Contest(
            beneficiary=self.key("operator"), bond=self.bond, code=self.code, reply_hash=REPLY
        )

    def release(self) -> program.Release:
        operator = self.key("operator")
        return program.Release(
            bond=self.bond,
            beneficiary=operator,
            destination=program.associated_token_address(operator, self.deployment.mint),
            rent_payer=operator,
            code=self.code,
        )

    def execution(self) -> program.ExecuteSeizure:
        return program.ExecuteSeizure(
            bond=self.bond, rent_payer=self.key("operator"), code=self.code
        )


@pytest.fixture
async def life(localnet: RunningChain, rpc: Rpc, tmp_path: Path) -> AsyncGenerator[Life]:
    """The program set up and a bond posted, both through anchorpy."""
    assert localnet.program_id is not None
    deployment = Deployment(localnet.program_id, localnet.mint)
    outsider = Outsider(chain=localnet, keys=tmp_path / "keys", deployment=deployment)
    authority = localnet.keys["upgrade-authority"].pubkey()
    roles = InitialRoles(**{name: localnet.keys[name].pubkey() for name in ROLES})
    await outsider.send(
        program.Initialize(
            upgrade_authority=authority, funder=authority, roles=roles, parameters=POLICY
        ),
        "upgrade-authority",
    )
    async with open_rpc([localnet.rpc_url]) as ours:
        one = Life(outsider=outsider, rpc=ours, raw=rpc)
        await one.post()
        yield one


async def test_posted_retired_thought_again_retired_and_released(life: Life) -> None:
    operator, bond = life.key("operator"), life.bond
    assert await life.refused(life.retiring("user"), "user") == "Unauthorized"
    again = program.CancelRetire(beneficiary=operator, bond=bond, code=life.code)
    assert await life.refused(again, "operator") == "WrongState"
    await life.do(life.retiring(), "operator")
    await life.do(again, "operator")
    assert (await life.read()).state is program.BondState.POSTED
    await life.do(life.retiring(), "operator")
    await life.pass_time(POLICY.cooldown_seconds - 60)
    assert await life.refused(life.release(), "operator") == "CooldownNotOver"
    await life.pass_time(61)
    assert await life.refused(life.proposal(EVIDENCE), "proposer") == "SeizureTooLate"
    await life.do(life.release(), "user")
    assert (await life.read()).state is program.BondState.RELEASED
    assert await life.refused(life.posting(), "operator") == "Tombstoned"


async def test_a_seizure_contested_upheld_and_executed(life: Life) -> None:
    arbiter = life.key("arbiter")
    uphold = program.Uphold(arbiter=arbiter, bond=life.bond, code=life.code)
    assert await life.refused(uphold, "arbiter") == "NoSeizure"
    await life.do(life.proposal(EVIDENCE), "proposer")
    assert await life.refused(uphold, "arbiter") == "NotContested"
    await life.do(life.contest(), "operator")
    assert await life.refused(life.contest(), "operator") == "AlreadyContested"
    await life.do(program.Dismiss(arbiter=arbiter, bond=life.bond, code=life.code), "arbiter")
    assert await life.refused(life.proposal(EVIDENCE), "proposer") == "EvidenceReused"
    await life.do(life.proposal(OTHER_EVIDENCE), "proposer")
    await life.do(life.contest(), "operator")
    assert await life.refused(life.execution(), "user") == "WrongState"
    await life.do(uphold, "arbiter")
    assert await life.refused(life.execution(), "user") == "WindowNotOver"
    await life.pass_time(POLICY.dispute_seconds)
    await life.do(life.execution(), "user")
    assert (await life.read()).state is program.BondState.SEIZED
    assert (await life.rpc.token_balance(life.deployment.till_vault)).account.amount == 50_000_000


async def test_a_seizure_withdrawn_and_one_that_lapses(life: Life) -> None:
    proposer = life.key("proposer")
    withdraw = program.WithdrawProposal(proposer=proposer, bond=life.bond, code=life.code)
    lapse = program.Lapse(bond=life.bond, code=life.code)
    assert await life.refused(life.proposal(EVIDENCE, "user"), "user") == "Unauthorized"
    await life.do(life.proposal(EVIDENCE), "proposer")
    await life.do(withdraw, "proposer")
    await life.do(life.proposal(OTHER_EVIDENCE), "proposer")
    await life.do(life.retiring(), "operator")
    assert await life.refused(lapse, "user") == "WindowNotOver"
    await life.pass_time(POLICY.dispute_seconds)
    assert await life.refused(life.contest(), "operator") == "WindowOver"
    await life.pass_time(POLICY.execution_seconds)
    assert await life.refused(life.execution(), "user") == "SeizureExpired"
    await life.do(lapse, "user")
    assert (await life.read()).seizure_state is program.SeizureState.NONE


async def test_handed_over_by_both(life: Life) -> None:
    handed = program.SetBeneficiary(
        beneficiary=life.key("operator"),
        new_beneficiary=life.key("user"),
        bond=life.bond,
        code=life.code,
    )
    await life.do(handed, "operator", "user")
    assert (await life.read()).beneficiary == life.key("user")
    assert await life.refused(life.retiring(), "operator") == "Unauthorized"


async def test_the_tills_side(life: Life) -> None:
    """A deposit, a bond funded by the till, a payment, numbers burned, an approval, a pause."""
    deployment, payer, admin = life.deployment, life.key("payer"), life.key("admin")
    source = program.associated_token_address(life.key("user"), deployment.mint)
    amount = MicroUsdc(120_000_000)
    deposit = program.DepositUsdc(
        depositor=life.key("user"), depositor_ata=source, code=b"abcd1234", amount_microusdc=amount
    )
    await life.do(deposit, "user")
    beneficiary = life.key("user")
    funded = program.FundBond(
        payer=payer,
        funder=payer,
        bond=deployment.bond(b"SecondOp", beneficiary),
        sequence=0,
        code=b"SecondOp",
        beneficiary=beneficiary,
    )
    await life.do(funded, "payer")
    payment = program.Pay(
        payer=payer,
        destination=source,
        sequence=70,
        amount_microusdc=MicroUsdc(1_000_000),
        code=b"abcd1234",
        reference=bytes(range(16)),
    )
    await life.do(payment, "payer")
    assert await life.refused(payment, "payer") == "AlreadyPaid"
    await life.do(program.Skip(signer=payer, first=1, mask=0b1011), "payer")
    approval = program.ApprovePay(
        admin=admin,
        sequence=71,
        amount_microusdc=amount,
        destination=source,
        reference=bytes(16),
    )
    await life.do(approval, "admin")
    await life.do(program.Pause(signer=admin, bit=program.PauseBit.DEPOSITS), "admin")
    assert await life.refused(deposit, "user") == "Paused"
    await life.do(program.NominateAdmin(signer=admin, nominee=life.key("mint-authority")), "admin")
