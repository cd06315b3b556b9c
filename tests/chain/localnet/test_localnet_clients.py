"""solana-py as it comes from PyPI against the embedded chain: its parsers judge the shapes."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.models import DataSliceOpts, MemcmpOpts, TokenAccountOpts, TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.account import Account
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.rpc.responses import (
    AccountNotification,
    LogsNotification,
    RootNotification,
    SignatureNotification,
    SlotNotification,
)
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_status import TransactionConfirmationStatus
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import (
    create_idempotent_associated_token_account,
    get_associated_token_address,
    transfer_checked,
)
from spl.token.models import TransferCheckedParams

from localnet.embedded import RunningChain

SOL = 1_000_000_000
USDC = 1_000_000


@pytest.fixture
async def client(localnet: RunningChain) -> AsyncGenerator[AsyncClient]:
    async with AsyncClient(localnet.rpc_url) as client:
        yield client


async def pay_usdc(
    client: AsyncClient, localnet: RunningChain, to: Pubkey, amount: int
) -> Signature:
    """Send USDC from the user's wallet as an application would, opening the account if needed."""
    user = localnet.keys["user"]
    mint = localnet.mint
    destination = get_associated_token_address(to, mint)
    instructions = [
        create_idempotent_associated_token_account(user.pubkey(), to, mint),
        transfer_checked(
            TransferCheckedParams(
                program_id=TOKEN_PROGRAM_ID,
                source=get_associated_token_address(user.pubkey(), mint),
                mint=mint,
                dest=destination,
                owner=user.pubkey(),
                amount=amount,
                decimals=6,
                signers=[],
            )
        ),
    ]
    latest = (await client.get_latest_blockhash(Finalized)).value
    message = MessageV0.try_compile(user.pubkey(), instructions, [], latest.blockhash)
    assert (await client.get_fee_for_message(message)).value == 5_000
    transaction = VersionedTransaction(message, [user])
    assert (await client.simulate_transaction(transaction)).value.err is None
    signature = (await client.send_transaction(transaction)).value
    confirmed = await client.confirm_transaction(
        signature, Finalized, 0.02, latest.last_valid_block_height
    )
    status = confirmed.value[0]
    assert status is not None
    assert status.confirmation_status == TransactionConfirmationStatus.Finalized
    assert status.err is None
    return signature


async def test_an_airdrop_is_seen_and_gets_final(
    localnet: RunningChain, client: AsyncClient
) -> None:
    someone = Keypair().pubkey()
    signature = (await client.request_airdrop(someone, SOL)).value
    await localnet.until(signature, "confirmed")
    assert (await client.get_balance(someone, Confirmed)).value == SOL
    await localnet.until_finalized(signature)
    assert (await client.get_balance(someone, Finalized)).value == SOL
    history = (await client.get_signatures_for_address(someone)).value
    assert [one.signature for one in history] == [signature]


async def test_a_token_transfer_moves_and_is_reported(
    localnet: RunningChain, client: AsyncClient
) -> None:
    receiver = Keypair().pubkey()
    signature = await pay_usdc(client, localnet, receiver, 25 * USDC)
    account = get_associated_token_address(receiver, localnet.mint)
    balance = (await client.get_token_account_balance(account)).value
    assert (balance.amount, balance.ui_amount_string) == (str(25 * USDC), "25")
    assert (await client.get_token_supply(localnet.mint)).value.decimals == 6

    answer = (
        await client.get_transaction(signature, "json", max_supported_transaction_version=0)
    ).value
    assert answer is not None
    meta = answer.transaction.meta
    assert meta is not None
    assert meta.err is None
    before, after = meta.pre_token_balances or [], meta.post_token_balances or []
    assert len(before) == 1  # the receiver's account did not exist
    moved = {one.account_index: int(one.ui_token_amount.amount) for one in after}
    for one in before:
        moved[one.account_index] -= int(one.ui_token_amount.amount)
    assert sorted(moved.values()) == [-25 * USDC, 25 * USDC]
    assert sum(meta.pre_balances) - sum(meta.post_balances) == meta.fee == 5_000
    assert (meta.log_messages or [""])[0].endswith("invoke [1]")


async def test_all_encodings_of_a_transaction_parse(
    localnet: RunningChain, client: AsyncClient
) -> None:
    signature = await pay_usdc(client, localnet, Keypair().pubkey(), 1)
    for encoding in ("json", "jsonParsed", "base64", "base58"):
        answer = await client.get_transaction(
            signature, encoding, max_supported_transaction_version=0
        )
        assert answer.value is not None, encoding
    slot = answer.value.slot if answer.value else 0
    for encoding in ("json", "jsonParsed", "base64"):
        block = (await client.get_block(slot, encoding, max_supported_transaction_version=0)).value
        assert block is not None
        assert block.parent_slot < slot
        assert block.transactions is not None
        assert len(block.transactions) == 1


async def test_token_accounts_are_found_by_owner_and_by_filter(
    localnet: RunningChain, client: AsyncClient
) -> None:
    receiver = Keypair().pubkey()
    await pay_usdc(client, localnet, receiver, 7 * USDC)
    mine = get_associated_token_address(receiver, localnet.mint)
    by_mint = TokenAccountOpts(mint=localnet.mint)
    by_program = TokenAccountOpts(program_id=TOKEN_PROGRAM_ID)
    for wanted in (by_mint, by_program):
        found = (await client.get_token_accounts_by_owner(receiver, wanted)).value
        assert [one.pubkey for one in found] == [mine]
        parsed = (await client.get_token_accounts_by_owner_json_parsed(receiver, wanted)).value
        info = cast("dict[str, Any]", parsed[0].account.data.parsed)["info"]
        assert info["tokenAmount"]["uiAmountString"] == "7"
        assert info["owner"] == str(receiver)
    everybody = await client.get_program_accounts(
        TOKEN_PROGRAM_ID,
        encoding="base64",
        filters=[165, MemcmpOpts(offset=32, bytes=str(receiver))],
    )
    assert [one.pubkey for one in everybody.value] == [mine]
    nobody = await client.get_program_accounts(TOKEN_PROGRAM_ID, filters=[166])
    assert nobody.value == []


async def test_account_reads_take_encodings_and_slices(
    localnet: RunningChain, client: AsyncClient
) -> None:
    mint = localnet.mint
    whole = (await client.get_account_info(mint)).value
    assert isinstance(whole, Account)
    assert whole.owner == TOKEN_PROGRAM_ID
    assert len(whole.data) == 82
    squeezed = (await client.get_account_info(mint, encoding="base64+zstd")).value
    assert squeezed is not None
    assert squeezed.data == whole.data
    part = (
        await client.get_account_info(
            mint, encoding="base58", data_slice=DataSliceOpts(offset=44, length=1)
        )
    ).value
    assert part is not None
    assert bytes(part.data) == b"\x06"
    parsed = (await client.get_account_info_json_parsed(mint)).value
    assert parsed is not None
    assert "mint" in str(parsed.data)
    nothing = Keypair().pubkey()
    several = (await client.get_multiple_accounts([mint, nothing])).value
    assert several[0] == whole
    assert several[1] is None


async def test_chain_facts_parse(localnet: RunningChain, client: AsyncClient) -> None:
    assert await client.is_connected()
    assert (await client.get_version()).value.solana_core == "4.0.0"
    assert bytes((await client.get_genesis_hash()).value) == localnet.cluster.timeline.genesis_hash
    assert (await client.get_first_available_block()).value == 0
    assert (await client.get_epoch_info()).value.slots_in_epoch == 432_000
    assert (await client.get_minimum_balance_for_rent_exemption(165)).value == 2_039_280
    assert len((await client.get_recent_prioritization_fees()).value) > 0
    finalized, processed = (
        (await client.get_slot(Finalized)).value,
        (await client.get_slot(Processed)).value,
    )
    assert finalized < processed
    slots = (await client.get_blocks(0, finalized)).value
    assert slots[0] == 0
    assert slots[-1] <= finalized
    assert (await client.get_block_height()).value <= (await client.get_slot()).value + 1


async def test_subscriptions_tell_what_happens(localnet: RunningChain, client: AsyncClient) -> None:
    someone = Keypair().pubkey()
    async with SolanaWsClient(localnet.ws_url) as socket:
        account = await socket.account_subscribe(
            pubkey=someone, commitment=Confirmed, encoding="base64"
        )
        logs = await socket.logs_subscribe(
            filter_=RpcTransactionLogsFilterMentions(someone), commitment=Confirmed
        )
        slots = await socket.slot_subscribe()
        roots = await socket.root_subscribe()
        signature = (await client.request_airdrop(someone, SOL)).value
        await socket.signature_subscribe(signature=signature, commitment=Finalized)
        seen: dict[type, object] = {}
        while len(seen) < 5:
            notification = await socket.recv()
            seen[type(notification)] = notification
        for subscription in (account, logs, slots, roots):
            await socket.unsubscribe(subscription)
    told = seen[AccountNotification]
    assert isinstance(told, AccountNotification)
    assert told.result.value.lamports == SOL
    told = seen[LogsNotification]
    assert isinstance(told, LogsNotification)
    assert told.result.value.signature == signature
    assert told.result.value.err is None
    told = seen[SignatureNotification]
    assert isinstance(told, SignatureNotification)
    told = seen[SlotNotification]
    assert isinstance(told, SlotNotification)
    assert told.result.root < told.result.parent < told.result.slot
    assert RootNotification in seen


async def test_a_failed_transaction_lands_and_costs_its_fee(
    localnet: RunningChain, client: AsyncClient
) -> None:
    poor, receiver = localnet.keys["operator"], Keypair().pubkey()
    mint = localnet.mint
    too_much = transfer_checked(
        TransferCheckedParams(
            program_id=TOKEN_PROGRAM_ID,
            source=get_associated_token_address(poor.pubkey(), mint),
            mint=mint,
            dest=get_associated_token_address(localnet.keys["user"].pubkey(), mint),
            owner=poor.pubkey(),
            amount=10**15,
            decimals=6,
            signers=[],
        )
    )
    latest = (await client.get_latest_blockhash(Finalized)).value
    message = Message.new_with_blockhash([too_much], poor.pubkey(), latest.blockhash)
    transaction = VersionedTransaction(message, [poor])
    balance = (await client.get_balance(poor.pubkey())).value
    signature = (
        await client.send_raw_transaction(bytes(transaction), TxOpts(skip_preflight=True))
    ).value
    await localnet.until_finalized(signature)
    answer = (await client.get_transaction(signature, "json")).value
    assert answer is not None
    assert answer.transaction.meta is not None
    assert "Custom" in repr(answer.transaction.meta.err)
    assert (await client.get_balance(poor.pubkey())).value == balance - 5_000
    status = (await client.get_signature_statuses([signature])).value[0]
    assert status is not None
    assert status.err is not None
    history = (await client.get_signatures_for_address(poor.pubkey())).value
    assert history[0].err is not None
    assert receiver != poor.pubkey()
