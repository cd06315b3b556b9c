"""Forks: what was processed or confirmed is undone, finalized is what it was."""

import random
from pathlib import Path
from typing import Any

from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.adversary.cluster_faults import Fork
from localnet.tokens import TOKEN_PROGRAM, associated_address
from tests.chain.localnet.by_hand import ByHand, chain_by_hand, signatures
from tests.chain.localnet.calls import (
    create_token_account,
    encoded,
    send_sol,
    signed,
    token_transfer,
)

SOL = 1_000_000_000
CONFIRMED = {"commitment": "confirmed"}
PROCESSED = {"commitment": "processed"}


async def settled_chain(chain: ByHand) -> None:
    """Some blocks, so that a fork has where to go."""
    await chain.end_slots(20)


async def balance(chain: ByHand, address: Pubkey, level: str = "processed") -> int:
    return await chain.rpc.value("getBalance", str(address), {"commitment": level})


async def status(chain: ByHand, signature: Signature) -> dict[str, Any] | None:
    return (await chain.rpc.value("getSignatureStatuses", [str(signature)]))[0]


async def test_a_fork_undoes_what_was_confirmed(tmp_path: Path) -> None:
    """Money, status, listing, block and blockhash: gone, and the blocks are still a chain."""
    with chain_by_hand(tmp_path) as chain:
        await settled_chain(chain)
        rpc, user, someone = chain.rpc, chain.keys["user"], Keypair().pubkey()
        before = await balance(chain, user.pubkey())
        signature = await rpc.execute([send_sol(user, someone)], user)
        slot = chain.entry(signature).slot
        await chain.end_slots(3)
        told = await status(chain, signature)
        assert told is not None
        assert told["confirmationStatus"] == "confirmed"
        assert await balance(chain, someone, "confirmed") == SOL
        dropped = await rpc.call("getBlock", slot, CONFIRMED)
        chain.does(Fork(at_slot=0, depth_slots=4, relands_percent=0))
        await chain.end_slots(1)

        assert await status(chain, signature) is None
        assert await rpc.call("getTransaction", str(signature), CONFIRMED) is None
        assert await rpc.call("getSignaturesForAddress", str(someone), CONFIRMED) == []
        cursor = await rpc.error(
            "getSignaturesForAddress", str(user.pubkey()), {"until": str(signature)}
        )
        assert cursor.code == -32020
        for level in ("processed", "confirmed", "finalized"):
            assert await balance(chain, someone, level) == 0
            assert await balance(chain, user.pubkey(), level) == before
        await chain.end_slots(12)
        assert (await rpc.error("getBlock", slot, CONFIRMED)).code == -32007
        assert slot not in await rpc.call("getBlocks", 0)
        assert not await rpc.value("isBlockhashValid", dropped["blockhash"], PROCESSED)
        for lost in range(slot, slot + 4):  # also that of the block that never was complete
            blockhash = Hash.from_bytes(chain.cluster.timeline.blockhash(lost))
            assert not await rpc.value("isBlockhashValid", str(blockhash), PROCESSED)
        parent = await rpc.call("getBlock", slot - 1)
        child = await rpc.call("getBlock", slot + 4)
        assert parent["blockhash"] == dropped["previousBlockhash"]
        assert child["parentSlot"] == slot - 1
        assert child["previousBlockhash"] == parent["blockhash"]
        assert child["blockHeight"] == parent["blockHeight"] + 1
        assert child["blockHeight"] == dropped["blockHeight"]
        assert child["blockTime"] >= parent["blockTime"]
        assert chain.cluster.counters.undone == 1


async def test_a_dropped_transaction_lands_again_in_another_slot(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await settled_chain(chain)
        rpc, user, someone = chain.rpc, chain.keys["user"], Keypair().pubkey()
        signature = await rpc.execute([send_sol(user, someone)], user)
        first = chain.entry(signature).slot
        await chain.end_slots(2)
        chain.does(Fork(at_slot=0, depth_slots=3, within_slots=4, seed=5))
        await chain.end_slots(1)
        levels: list[str | None] = []
        for _ in range(20):
            told = await status(chain, signature)
            levels.append(told["confirmationStatus"] if told else None)
            await chain.end_slots(1)
        assert levels[0] is None
        seen = [level for level in levels if level]
        assert seen == sorted(seen, key=["processed", "confirmed", "finalized"].index)
        assert seen[-1] == "finalized"
        assert chain.entry(signature).slot > first + 2
        listed = await rpc.call("getSignaturesForAddress", str(someone))
        assert signatures(listed) == [str(signature)]
        assert listed[0]["slot"] == chain.entry(signature).slot
        assert await balance(chain, someone, "finalized") == SOL
        answer = await rpc.call("getTransaction", str(signature))
        assert answer["meta"]["postBalances"][1] == SOL


async def test_a_fork_in_the_same_slots_makes_other_blocks_of_them(tmp_path: Path) -> None:
    """Same slots and heights, other hashes and contents; what landed second may now be first."""
    with chain_by_hand(tmp_path) as chain:
        await settled_chain(chain)
        rpc, user = chain.rpc, chain.keys["user"]
        blockhash = await rpc.blockhash("finalized")
        people = [Keypair().pubkey() for _ in range(2)]
        transfers = [signed([send_sol(user, one)], blockhash, user) for one in people]
        sent = [await rpc.send(one) for one in transfers]
        first = chain.entry(sent[0]).slot
        await chain.end_slots(3)
        slots = range(first, first + 3)
        before = [await rpc.call("getBlock", slot, CONFIRMED) for slot in slots[:2]]
        young = await rpc.blockhash("processed")
        finalized = chain.cluster.tip.finalized
        seed = reordering_seed()
        chain.does(
            Fork(
                at_slot=0,
                depth_slots=4,
                reorders=True,
                within_slots=2,
                reuses_slots=True,
                seed=seed,
            )
        )
        await chain.end_slots(1)
        assert chain.cluster.slot == first + 4
        assert chain.cluster.tip.finalized in (finalized, finalized + 1)
        entries = [chain.entry(one) for one in sent]
        places = [(entry.slot, entry.index) for entry in entries]
        assert places[1] < places[0]
        assert {slot for slot, _ in places} <= set(slots)
        assert not await rpc.value("isBlockhashValid", str(young), PROCESSED)
        assert await rpc.value("isBlockhashValid", str(await rpc.blockhash("confirmed")), PROCESSED)
        await chain.until_finalized(*sent)
        await chain.end_slots(4)
        after = [await rpc.call("getBlock", slot) for slot in slots]
        for old, new in zip(before, after, strict=False):
            assert new["blockhash"] != old["blockhash"]
            assert new["blockHeight"] == old["blockHeight"]
            assert new["parentSlot"] == old["parentSlot"]
        assert after[0]["previousBlockhash"] == before[0]["previousBlockhash"]
        assert after[1]["previousBlockhash"] == after[0]["blockhash"]
        assert after[2]["previousBlockhash"] == after[1]["blockhash"]
        for one in people:
            assert await balance(chain, one, "finalized") == SOL
    with chain_by_hand(tmp_path) as chain:
        assert [await chain.rpc.call("getBlock", slot) for slot in slots] == after


async def test_without_its_parent_a_transaction_ends_another_way(tmp_path: Path) -> None:
    """One gives money, the other spends it: in another order the spending fails, and stays so."""
    with chain_by_hand(tmp_path) as chain:
        await settled_chain(chain)
        rpc, user, middle = chain.rpc, chain.keys["user"], Keypair()
        other = Keypair().pubkey()
        await chain.until_finalized(await rpc.execute([send_sol(user, middle.pubkey())], user))
        blockhash = await rpc.blockhash("finalized")
        given = await rpc.send(signed([send_sol(user, middle.pubkey(), 5 * SOL)], blockhash, user))
        spent = await rpc.send(signed([send_sol(middle, other, 3 * SOL)], blockhash, middle))
        assert chain.entry(spent).err is None
        chain.does(
            Fork(at_slot=0, depth_slots=1, reorders=True, within_slots=1, seed=reordering_seed())
        )
        await chain.end_slots(2)
        assert chain.entry(spent).index < chain.entry(given).index
        assert chain.entry(spent).err == {"InstructionError": [0, {"Custom": 1}]}
        await chain.until_finalized(given, spent)
        assert await balance(chain, other, "finalized") == 0
        assert await balance(chain, middle.pubkey(), "finalized") == 6 * SOL - 5_000


def reordering_seed() -> int:
    """A seed that swaps two transactions, both of which land again."""
    for seed in range(100):
        chance = random.Random(seed)
        kept = [one for one in (0, 1) if chance.randrange(100) < 100]
        chance.shuffle(kept)
        if kept == [1, 0]:
            return seed
    raise AssertionError


async def test_what_never_lands_again_can_be_sent_again_or_expires(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await settled_chain(chain)
        rpc, user = chain.rpc, chain.keys["user"]
        old = signed([send_sol(user, Keypair().pubkey())], await rpc.blockhash("finalized"), user)
        await rpc.send(old)
        await chain.end_slots(1)
        young = signed([send_sol(user, Keypair().pubkey())], await rpc.blockhash("processed"), user)
        await rpc.send(young)
        chain.does(Fork(at_slot=0, depth_slots=2, relands_percent=100))
        await chain.end_slots(10)
        assert chain.entry(old.signatures[0]).slot > 0
        # The block that it refers to is on the dead fork: no block will ever take it.
        assert await status(chain, young.signatures[0]) is None
        failed = await rpc.error(
            "sendTransaction",
            encoded(young),
            {"encoding": "base64", "preflightCommitment": "processed"},
        )
        assert failed.data["err"] == "BlockhashNotFound"
        third = signed([send_sol(user, Keypair().pubkey())], await rpc.blockhash("finalized"), user)
        await rpc.send(third)
        chain.does(Fork(at_slot=0, depth_slots=1, relands_percent=0))
        await chain.end_slots(5)
        assert await status(chain, third.signatures[0]) is None
        assert await rpc.send(third) == third.signatures[0]
        await chain.until_finalized(third.signatures[0])


async def test_a_fork_stops_above_what_is_finalized(tmp_path: Path) -> None:
    with chain_by_hand(tmp_path) as chain:
        await settled_chain(chain)
        rpc, user, someone = chain.rpc, chain.keys["user"], Keypair().pubkey()
        sent: list[str] = []
        for amount in range(1, 16):
            sent.append(str(await rpc.execute([send_sol(user, someone, SOL // 10 + amount)], user)))
            await chain.end_slots(1)
        finalized = chain.cluster.tip.finalized
        listed = await rpc.call("getSignaturesForAddress", str(someone))
        assert 0 < len(listed) < len(sent)
        money = await balance(chain, someone, "finalized")
        chain.does(Fork(at_slot=0, depth_slots=1_000, relands_percent=0))
        await chain.end_slots(1)
        assert chain.cluster.tip.finalized == finalized
        assert await rpc.call("getSignaturesForAddress", str(someone)) == listed
        assert await balance(chain, someone, "finalized") == money
        assert await balance(chain, someone, "processed") == money
        await chain.end_slots(10)
        assert await rpc.call("getSignaturesForAddress", str(someone)) == listed


async def test_every_account_is_again_what_it_was(tmp_path: Path) -> None:
    """New, changed and emptied accounts, and one of the engine's own that was given money."""
    with chain_by_hand(tmp_path) as chain:
        await settled_chain(chain)
        rpc, user, mint, owner = chain.rpc, chain.keys["user"], chain.mint, Keypair()
        await chain.until_finalized(await rpc.execute([send_sol(user, owner.pubkey())], user))
        new = associated_address(owner.pubkey(), mint)
        watched = [
            *(key.pubkey() for key in chain.keys.values()),
            *(associated_address(key.pubkey(), mint) for key in chain.keys.values()),
            owner.pubkey(),
            new,
            TOKEN_PROGRAM,
        ]
        engine = chain.cluster.engine
        before = [engine.account(address) for address in watched]
        await rpc.execute([create_token_account(user.pubkey(), owner.pubkey(), mint)], user)
        await rpc.execute([token_transfer(mint, user.pubkey(), owner.pubkey(), 7_000_000)], user)
        await chain.end_slots(1)
        await rpc.execute([send_sol(owner, user.pubkey(), SOL - 5_000)], owner)
        await rpc.execute([send_sol(user, TOKEN_PROGRAM)], user)
        after = [engine.account(address) for address in watched]
        changed = [address for address, a, b in zip(watched, before, after, strict=True) if a != b]
        assert {new, owner.pubkey(), user.pubkey(), TOKEN_PROGRAM} <= set(changed)
        chain.does(Fork(at_slot=0, depth_slots=2, relands_percent=0))
        await chain.end_slots(1)
        assert [engine.account(address) for address in watched] == before
        assert [chain.cluster.account(one, chain.cluster.slot) for one in watched] == before
        # And they can be made again.
        again = await rpc.execute([create_token_account(user.pubkey(), owner.pubkey(), mint)], user)
        assert chain.entry(again).err is None
        account = engine.account(new)
        assert isinstance(account, Account)
        assert account.owner == TOKEN_PROGRAM
