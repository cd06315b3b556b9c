"""A backend that lags says what the truth said then, method by method; a calm one says the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from localnet.adversary.cluster_faults import Congestion, Fork, Skip
from localnet.adversary.faults import ViewFault
from localnet.settings import DEFAULT_MINT
from localnet.tokens import TOKEN_PROGRAM, associated_address
from tests.chain.localnet.calls import create_token_account, send_sol, token_transfer
from tests.chain.localnet.manual import Manual, manual

LAG = 7
Call = tuple[str, tuple[object, ...]]


def calls(addresses: Sequence[Pubkey], signatures: Sequence[str]) -> list[Call]:
    """Questions about finalized things, whose answers depend on nothing but the slot."""
    final, both = {"commitment": "finalized"}, {"commitment": "finalized", "encoding": "base64"}
    asked: list[Call] = [
        ("getSlot", (final,)),
        ("getBlockHeight", (final,)),
        ("getTransactionCount", (final,)),
        ("getLatestBlockhash", (final,)),
        ("getEpochInfo", (final,)),
        ("getBlocks", (0, None, final)),
        ("getTokenSupply", (str(DEFAULT_MINT), final)),
        ("getMultipleAccounts", ([str(one) for one in addresses], both)),
    ]
    for address in addresses:
        asked.append(("getAccountInfo", (str(address), both)))
        asked.append(("getBalance", (str(address), final)))
        asked.append(("getSignaturesForAddress", (str(address), final)))
    for signature in signatures:
        asked.append(("getTransaction", (signature, final)))
    return asked


async def answers(it: Manual, backend: str, asked: Sequence[Call]) -> list[object]:
    told: list[object] = []
    for method, params in asked:
        reply = await it.reply(method, *params, backend=backend)
        answer: dict[str, Any] = msgspec.json.decode(reply.body)
        told.append((method, answer.get("result"), answer.get("error")))
    return told


async def live(it: Manual, step: int, other: Pubkey, stranger: Pubkey) -> list[str]:
    """What happens in one slot; the signatures."""
    user = it.wallet("user")
    match step % 4:
        case 0:
            made = [send_sol(user, stranger, 1_000_000 + step)]
        case 1 if step == 1:
            made = [create_token_account(user.pubkey(), other, DEFAULT_MINT)]
        case 2:
            made = [token_transfer(DEFAULT_MINT, user.pubkey(), other, 1 + step)]
        case _:
            return []
    return [str(await it.land(*made))]


async def test_late_is_what_was_true_then(tmp_path: Path) -> None:
    with manual(tmp_path, ViewFault(kind="lag", backend="b", slots=LAG)) as it:
        other, stranger = Keypair().pubkey(), Keypair().pubkey()
        user = it.wallet("user").pubkey()
        tokens = [associated_address(owner, DEFAULT_MINT) for owner in (user, other)]
        addresses = [user, other, stranger, DEFAULT_MINT, *tokens]
        signatures: list[str] = []
        said: list[list[object]] = []
        for step in range(30):
            signatures += await live(it, step, other, stranger)
            asked = calls(addresses, signatures[:3])
            said.append(await answers(it, "a", asked))
            if step >= LAG:
                earlier = calls(
                    addresses, signatures[: len(said[step - LAG]) - len(calls(addresses, ()))]
                )
                assert await answers(it, "b", earlier) == said[step - LAG], step
            await it.chain.end_slots()
        assert len({repr(one) for one in said}) == 30


async def test_a_view_of_everything_is_the_truth(tmp_path: Path) -> None:
    """A backend with a trait that concerns none of these questions answers like the calm one."""
    cluster_faults = (
        Fork(at_slot=6, depth_slots=3, relands_percent=50, seed=1),
        Skip(at_slot=12, slots=3),
        Congestion(at_slot=16, slots=4, delay_slots=3),
    )
    with manual(tmp_path, ViewFault(kind="old-cursors", backend="b"), *cluster_faults) as it:
        other, stranger = Keypair().pubkey(), Keypair().pubkey()
        user = it.wallet("user").pubkey()
        addresses = [user, other, stranger, DEFAULT_MINT, associated_address(user, DEFAULT_MINT)]
        signatures: list[str] = []
        for step in range(30):
            if step not in range(11, 22):  # what is sent then does not land at once
                signatures += await live(it, step, other, stranger)
            asked = calls(addresses, signatures)
            owner = {"encoding": "base64", "commitment": "processed"}
            asked += [
                ("getSignatureStatuses", (signatures, {"searchTransactionHistory": True})),
                ("getTokenAccountsByOwner", (str(user), {"mint": str(DEFAULT_MINT)}, owner)),
                ("getProgramAccounts", (str(TOKEN_PROGRAM), owner)),
                ("getSlot", ({"commitment": "processed"},)),
                ("getBlock", (5, {"maxSupportedTransactionVersion": 1})),
                ("getGenesisHash", ()),
                ("getFirstAvailableBlock", ()),
                ("getHealth", ()),
            ]
            assert await answers(it, "a", asked) == await answers(it, "b", asked), step
            await it.chain.end_slots()
