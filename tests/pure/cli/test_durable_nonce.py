"""A transaction under a durable nonce, carried out by the chain's own system program."""

import base64

import aiohttp
import pytest
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, create_nonce_account, transfer
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from cli.transaction.proposal import Line, Proposal
from cli.transaction.simulate import try_out
from cli.transaction.unsigned import Encoding, Nonce, make_unsigned
from settlement.chain.answers import Account
from settlement.money import Lamports
from tests.pure.cli.bonds import DEPLOYMENT
from tests.pure.cli.test_carry_out import FakeNode

AMOUNT = 10_000_000


@pytest.fixture
def svm() -> LiteSVM:
    return LiteSVM()


def opened(svm: LiteSVM, payer: Keypair, nonce: Keypair, authority: Pubkey) -> Account:
    """A nonce account, made by the system program."""
    svm.airdrop(payer.pubkey(), 1_000_000_000)
    made = create_nonce_account(payer.pubkey(), nonce.pubkey(), authority, AMOUNT)
    recent = svm.latest_blockhash()
    message = Message.new_with_blockhash(list(made), payer.pubkey(), recent)
    transaction = Transaction.new_unsigned(message)
    transaction.sign([payer, nonce], recent)
    assert isinstance(svm.send_transaction(transaction), TransactionMetadata)
    found = svm.get_account(nonce.pubkey())
    assert found is not None
    return Account(
        owner=found.owner, lamports=Lamports(found.lamports), data=found.data, executable=False
    )


async def test_it_lands_long_after_and_once(svm: LiteSVM) -> None:
    payer, nonce, authority = Keypair(), Keypair(), Keypair()
    to = Pubkey.new_unique()
    move = TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=AMOUNT)
    proposal = Proposal(
        name="move",
        title="Move",
        lines=(Line(label="moves", text="SOL"),),
        instructions=(transfer(move),),
        payer=payer.pubkey(),
    )
    async with aiohttp.ClientSession() as session:
        node = FakeNode(session)
        node.nonce = opened(svm, payer, nonce, authority.pubkey())
        trial = await try_out(node, proposal, DEPLOYMENT.program_id)
        durable = Nonce(account=nonce.pubkey(), authority=authority.pubkey())
        made = await make_unsigned(node, proposal, trial, Encoding.BASE64, durable)
    assert made.last_valid_height is None
    transaction = Transaction.from_bytes(base64.b64decode(made.transaction))
    for _ in range(3):
        svm.expire_blockhash()
    transaction.sign([payer, authority], transaction.message.recent_blockhash)
    assert isinstance(svm.send_transaction(transaction), TransactionMetadata)
    assert svm.get_balance(to) == AMOUNT
    svm.expire_blockhash()
    assert isinstance(svm.send_transaction(transaction), FailedTransactionMetadata)
    assert svm.get_balance(to) == AMOUNT
