"""The road of a transaction up to its signature: where it stops, and what is told by then."""

import base64
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from io import StringIO

import aiohttp
import base58
import pytest
from rich.console import Console
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from cli.transaction.carry_out import (
    ChainSaidNo,
    Declined,
    Manner,
    NotFinal,
    Outcome,
    Status,
    carry_out,
)
from cli.transaction.keys import KeyMissing, WalletKey
from cli.transaction.proposal import Line, Opened, Proposal
from cli.transaction.simulate import NotEnoughSol
from cli.transaction.target import Target
from cli.transaction.unsigned import Encoding, Nonce, NonceUnusable
from settlement.chain.answers import (
    Account,
    AccountAt,
    LatestBlockhash,
    SignatureStatus,
    Simulation,
)
from settlement.chain.program import SYSTEM_PROGRAM
from settlement.chain.rpc import Commitment, RpcClient, RpcRefused
from settlement.money import BlockHeight, Lamports, Slot
from tests.pure.cli.bonds import DEPLOYMENT, config

WALLET, COSIGNER = Keypair(), Keypair()
RENT = Lamports(890_880)
PLENTY = Lamports(1_000_000_000)
PAUSED = {"InstructionError": [1, {"Custom": 6_016}]}


class FakeNode(RpcClient):
    """A node that simulates, prices and takes what it is told to."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(["http://127.0.0.1:1"], session)
        self.simulates: object = None
        self.knows_blockhash = True
        self.lamports = PLENTY
        self.preflight: object = None
        self.fails_on_chain: object = None
        self.lands = True
        self.nonce: Account | None = None
        self.simulated: list[bytes] = []
        self.sent: list[bytes] = []
        self.height = 100

    async def rent_exempt_minimum(self, size_bytes: int) -> Lamports:
        return Lamports(RENT * (size_bytes > 0))

    async def balance(
        self, address: Pubkey, commitment: Commitment = Commitment.CONFIRMED
    ) -> Lamports:
        return self.lamports

    async def latest_blockhash(
        self, commitment: Commitment = Commitment.CONFIRMED, *, min_context_slot: Slot | None = None
    ) -> LatestBlockhash:
        return LatestBlockhash(
            slot=Slot(1), blockhash=Hash(bytes([3]) * 32), last_valid_height=BlockHeight(150)
        )

    async def simulate(self, transaction: bytes) -> Simulation:
        self.simulated.append(transaction)
        return Simulation(slot=Slot(1), error=self.simulates, logs=("it ran",), units=5_000)

    async def fee_for(self, message: bytes) -> Lamports | None:
        signatures = Message.from_bytes(message).header.num_required_signatures
        return Lamports(5_000 * signatures + 7) if self.knows_blockhash else None

    async def account(
        self,
        address: Pubkey,
        *,
        commitment: Commitment = Commitment.FINALIZED,
        min_context_slot: Slot | None = None,
    ) -> AccountAt:
        return AccountAt(slot=Slot(1), account=self.nonce)

    async def block_height(self, commitment: Commitment = Commitment.FINALIZED) -> BlockHeight:
        self.height += 1
        return BlockHeight(self.height)

    async def send(self, transaction: bytes) -> str:
        self.sent.append(transaction)
        if self.preflight is not None:
            data = {"err": self.preflight}
            raise RpcRefused(method="sendTransaction", error_code=-32_002, text="no", data=data)
        return ""

    async def signature_statuses(
        self, signatures: Sequence[str]
    ) -> tuple[SignatureStatus | None, ...]:
        if not self.sent or not self.lands:
            return (None,)
        failed = self.fails_on_chain is not None
        status = SignatureStatus(slot=Slot(9), failed=failed, commitment=Commitment.FINALIZED)
        return (status,)

    async def transaction(
        self, signature: str, *, commitment: Commitment = Commitment.FINALIZED
    ) -> dict[str, object] | None:
        return {"meta": {"err": self.fails_on_chain}}


def proposal(*signers: Keypair) -> Proposal:
    metas = [AccountMeta(key.pubkey(), is_signer=True, is_writable=False) for key in signers]
    return Proposal(
        name="test",
        title="Try something",
        lines=(Line(label="moves", text="nothing"),),
        instructions=(Instruction(DEPLOYMENT.program_id, b"12345678", metas),),
        payer=WALLET.pubkey(),
        irreversible="nothing is",
        opens=(Opened(what="box", size_bytes=10),),
    )


class Run:
    """One run of the road; `told` is what a person saw."""

    def __init__(self) -> None:
        self.told = StringIO()
        self.asked = 0

    async def __call__(
        self,
        node: FakeNode,
        *signers: Keypair,
        manner: Manner | None = None,
        keys: Sequence[Keypair] = (WALLET, COSIGNER),
        answer: bool | None = True,
    ) -> Outcome:
        def ask() -> bool:
            self.asked += 1
            return bool(answer)

        target = Target(rpc=node, deployment=DEPLOYMENT, config=config(), coordinator=None)
        return await carry_out(
            target,
            proposal(*signers),
            [WalletKey(key) for key in keys],
            manner or Manner(),
            console=Console(file=self.told, width=200),
            ask=None if answer is None else ask,
        )


@pytest.fixture
async def node() -> AsyncGenerator[FakeNode]:
    async with aiohttp.ClientSession() as session:
        yield FakeNode(session)


@pytest.fixture
def run() -> Run:
    return Run()


async def test_what_is_confirmed_is_sent(node: FakeNode, run: Run) -> None:
    outcome = await run(node, WALLET, COSIGNER)
    assert (outcome.status, outcome.exit_code, run.asked) == (Status.DONE, 0, 1)
    [sent] = set(node.sent)
    transaction = Transaction.from_bytes(sent)
    transaction.verify()
    assert outcome.report["signature"] == str(transaction.signatures[0])
    assert outcome.report["signers"] == [str(WALLET.pubkey()), str(COSIGNER.pubkey())]
    assert len(transaction.message.instructions) == 2
    limit = bytes(transaction.message.instructions[0].data)
    assert int.from_bytes(limit[1:], "little") == 5_000 + 1_000 + 1_000
    told = run.told.getvalue()
    for words in ("Try something", "moves", "nothing is", "would succeed", "for the new box"):
        assert words in told
    assert told.index("sent as") > told.index("would succeed")


async def test_the_trial_has_no_signature(node: FakeNode, run: Run) -> None:
    await run(node, manner=Manner(dry_run=True), keys=())
    [tried] = node.simulated
    assert bytes(Transaction.from_bytes(tried).signatures[0]) == bytes(64)


@pytest.mark.parametrize("manner", [Manner(), Manner(dry_run=True), Manner(unsigned=True)])
async def test_what_would_fail_is_never_signed(node: FakeNode, run: Run, manner: Manner) -> None:
    node.simulates = PAUSED
    outcome = await run(node, manner=replace(manner, yes=True))
    assert (outcome.status, outcome.exit_code) == (Status.REFUSED, 1)
    assert (node.sent, run.asked) == ([], 0)
    assert "Paused 6016: paused for now" in run.told.getvalue()
    assert "it ran" in run.told.getvalue()


async def test_a_dry_run_stops_before_the_question(node: FakeNode, run: Run) -> None:
    outcome = await run(node, manner=Manner(dry_run=True, yes=True))
    assert (outcome.status, outcome.exit_code) == (Status.DRY_RUN, 0)
    assert (node.sent, run.asked) == ([], 0)


async def test_who_says_no_has_sent_nothing(node: FakeNode, run: Run) -> None:
    with pytest.raises(Declined):
        await run(node, answer=False)
    assert (node.sent, run.asked) == ([], 1)


async def test_nobody_to_ask_means_no(node: FakeNode, run: Run) -> None:
    with pytest.raises(Declined, match="--yes"):
        await run(node, answer=None)
    assert node.sent == []
    assert (await run(node, answer=None, manner=Manner(yes=True))).status is Status.DONE


async def test_a_missing_key_is_named_before_the_question(node: FakeNode, run: Run) -> None:
    with pytest.raises(KeyMissing, match=str(COSIGNER.pubkey())):
        await run(node, COSIGNER, keys=(WALLET,))
    assert (node.sent, run.asked) == ([], 0)


async def test_too_little_sol_is_told_before_the_trial(node: FakeNode, run: Run) -> None:
    node.lamports = Lamports(RENT + 5_000 - 1)
    with pytest.raises(NotEnoughSol, match=r"has=0.000895879, needs=0.000895880"):
        await run(node)
    assert node.simulated == []
    node.lamports = Lamports(RENT + 5_000)
    assert (await run(node)).status is Status.DONE


async def test_a_price_is_paid_and_told(node: FakeNode, run: Run) -> None:
    node.knows_blockhash = False
    outcome = await run(node, manner=Manner(dry_run=True, price_microlamports=1_000_001))
    trial = outcome.report["simulation"]
    assert isinstance(trial, dict)
    assert trial["fee_lamports"] == 5_000 + 7_001  # 7,000 units, rounded up


async def test_a_price_is_in_what_is_signed(node: FakeNode, run: Run) -> None:
    await run(node, manner=Manner(price_microlamports=77))
    sent = Transaction.from_bytes(node.sent[0]).message
    assert bytes(sent.instructions[1].data) == b"\3" + (77).to_bytes(8, "little")


async def test_a_refusal_of_the_real_thing_is_named(node: FakeNode, run: Run) -> None:
    node.preflight = PAUSED
    with pytest.raises(ChainSaidNo, match="Paused"):
        await run(node)
    node.preflight, node.fails_on_chain = None, PAUSED
    with pytest.raises(ChainSaidNo, match="Paused") as refused:
        await run(node)
    assert refused.value.details["signature"]


async def test_unsigned_bytes_need_no_key(node: FakeNode, run: Run) -> None:
    outcome = await run(node, COSIGNER, manner=Manner(unsigned=True), keys=(), answer=None)
    assert (outcome.status, outcome.exit_code) == (Status.UNSIGNED, 0)
    assert outcome.bytes_to_sign is not None
    transaction = Transaction.from_bytes(base64.b64decode(outcome.bytes_to_sign))
    assert transaction.message.signer_keys() == [WALLET.pubkey(), COSIGNER.pubkey()]
    assert all(bytes(signature) == bytes(64) for signature in transaction.signatures)
    assert node.sent == []
    assert "up to block height 150" in run.told.getvalue()


def nonce_account(authority: Pubkey, value: bytes, state: int = 1) -> Account:
    data = (1).to_bytes(4, "little") + state.to_bytes(4, "little") + bytes(authority) + value
    return Account(owner=SYSTEM_PROGRAM, lamports=RENT, data=data + bytes(8), executable=False)


async def test_a_durable_nonce_stands_first_and_does_not_expire(node: FakeNode, run: Run) -> None:
    place, value = Pubkey.new_unique(), bytes([9]) * 32
    node.nonce = nonce_account(COSIGNER.pubkey(), value)
    manner = Manner(unsigned=True, nonce=Nonce(account=place, authority=COSIGNER.pubkey()))
    outcome = await run(node, manner=manner, keys=())
    assert outcome.bytes_to_sign is not None
    message = Transaction.from_bytes(base64.b64decode(outcome.bytes_to_sign)).message
    assert bytes(message.recent_blockhash) == value
    first = message.instructions[0]
    assert message.account_keys[first.program_id_index] == SYSTEM_PROGRAM
    assert bytes(first.data) == (4).to_bytes(4, "little")
    assert message.account_keys[first.accounts[0]] == place
    assert message.signer_keys() == [WALLET.pubkey(), COSIGNER.pubkey()]
    assert "until its nonce is used" in run.told.getvalue()


@pytest.mark.parametrize(
    "account",
    [
        None,
        nonce_account(COSIGNER.pubkey(), bytes(32)),  # the authority is the payer here
        nonce_account(WALLET.pubkey(), bytes(32), state=0),
        replace(nonce_account(WALLET.pubkey(), bytes(32)), owner=DEPLOYMENT.program_id),
        replace(nonce_account(WALLET.pubkey(), bytes(32)), data=bytes(79)),
    ],
)
async def test_what_is_no_nonce_is_refused(
    node: FakeNode, run: Run, account: Account | None
) -> None:
    node.nonce = account
    nonce = Nonce(account=Pubkey.new_unique(), authority=None)
    with pytest.raises(NonceUnusable):
        await run(node, manner=Manner(unsigned=True, nonce=nonce), keys=())


async def test_base58_says_the_same(node: FakeNode, run: Run) -> None:
    plain = await run(node, manner=Manner(unsigned=True), keys=())
    other = await run(node, manner=Manner(unsigned=True, encoding=Encoding.BASE58), keys=())
    assert plain.bytes_to_sign is not None
    assert other.bytes_to_sign is not None
    assert base64.b64decode(plain.bytes_to_sign) == base58.b58decode(other.bytes_to_sign)


async def test_not_seeing_the_end_is_not_a_refusal(node: FakeNode, run: Run) -> None:
    class Gone(FakeNode):
        async def signature_statuses(
            self, signatures: Sequence[str]
        ) -> tuple[SignatureStatus | None, ...]:
            raise RpcRefused(method="getSignatureStatuses", error_code=-32_602, text="no")

    async with aiohttp.ClientSession() as session:
        with pytest.raises(NotFinal, match=r"signature=\w{64}"):
            await run(Gone(session))
