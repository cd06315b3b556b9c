"""Backends see one truth late, in part or in their own order; each difference alone."""

from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.adversary.faults import ViewFault
from localnet.settings import DEFAULT_MINT
from localnet.tokens import associated_address
from tests.chain.localnet.calls import create_token_account, send_sol, signed, token_transfer
from tests.chain.localnet.manual import FINALIZED_LAG, Manual, manual

FINALIZED = {"commitment": "finalized"}


async def pay(it: Manual, to: Pubkey, *amounts: int) -> list[str]:
    """Payments, each in a slot of its own and all finalized."""
    signatures: list[str] = []
    for amount in amounts:
        signatures.append(str(await it.land(send_sol(it.wallet("user"), to, amount))))
        await it.chain.end_slots()
    await it.chain.end_slots(FINALIZED_LAG)
    return signatures


@pytest.fixture
def someone() -> Pubkey:
    return Keypair().pubkey()


async def test_calm_backends_agree(tmp_path: Path, someone: Pubkey) -> None:
    with manual(tmp_path) as it:
        sent = await pay(it, someone, 1_000_000, 2_000_000)
        for backend in ("a", "b", None):
            assert await it.listed(someone, backend=backend) == sent[::-1]
            slot = await it.call("getSlot", FINALIZED, backend=backend)
            assert slot == it.chain.cluster.tip.finalized


async def test_a_backend_that_lags_is_behind_with_everything(
    tmp_path: Path, someone: Pubkey
) -> None:
    with manual(tmp_path, ViewFault(kind="lag", backend="b", slots=6)) as it:
        first, second = await pay(it, someone, 1_000_000, 2_000_000)
        newest = it.chain.cluster.tip.finalized
        assert await it.call("getSlot", FINALIZED, backend="a") == newest
        assert await it.call("getSlot", FINALIZED, backend="b") == newest - 6
        assert await it.refusal("getSlot", {"minContextSlot": newest}, backend="b") == -32016
        await it.chain.end_slots(3)
        assert await it.listed(someone, backend="b") == []
        await it.chain.end_slots()
        assert await it.listed(someone, backend="b") == [first]
        assert (await it.call("getTransaction", first, backend="b"))["slot"] > 0
        assert await it.call("getTransaction", second, backend="b") is None
        balance = await it.call("getBalance", str(someone), FINALIZED, backend="b")
        assert balance["value"] == 1_000_000
        assert balance["context"]["slot"] == it.chain.cluster.tip.finalized - 6
        latest = await it.call("getLatestBlockhash", FINALIZED, backend="b")
        assert latest["context"]["slot"] == it.chain.cluster.tip.finalized - 6
        (status,) = (await it.call("getSignatureStatuses", [second], backend="b"))["value"]
        assert status["confirmationStatus"] == "confirmed"


async def test_old_accounts_are_what_they_were(tmp_path: Path) -> None:
    """A token account before it was there, after it was, after it moved; the payer from genesis."""
    with manual(tmp_path, ViewFault(kind="lag", backend="b", slots=40)) as it:
        user, other = it.wallet("user"), Keypair().pubkey()
        mint = DEFAULT_MINT
        mine, theirs = associated_address(user.pubkey(), mint), associated_address(other, mint)
        await it.chain.end_slots(50)
        await it.final(create_token_account(user.pubkey(), other, mint))
        await it.final(token_transfer(mint, user.pubkey(), other, 700))
        await it.final(token_transfer(mint, user.pubkey(), other, 50))

        async def seen(address: Pubkey) -> int | None:
            answer = await it.call("getAccountInfo", str(address), _PARSED, backend="b")
            if answer["value"] is None:
                return None
            info = answer["value"]["data"]["parsed"]["info"]
            return int(info["tokenAmount"]["amount"])

        told: list[tuple[int | None, int | None]] = []
        for _ in range(60):
            pair = (await seen(mine), await seen(theirs))
            told += [] if told and told[-1] == pair else [pair]
            await it.chain.end_slots()
        whole = 100_000_000_000
        assert told == [
            (whole, None),
            (whole, 0),
            (whole - 700, 700),
            (whole - 750, 750),
        ]


_PARSED = {"encoding": "jsonParsed", "commitment": "finalized"}


async def test_an_index_that_lags_proves_nothing(tmp_path: Path, someone: Pubkey) -> None:
    """The bank is there, so `minContextSlot` is fulfilled, and yet the newest are not listed."""
    with manual(tmp_path, ViewFault(kind="index-lag", backend="b", slots=5)) as it:
        (sent,) = await pay(it, someone, 1_000_000)
        newest = it.chain.cluster.tip.finalized
        assert await it.listed(someone, backend="a", minContextSlot=newest) == [sent]
        assert await it.listed(someone, backend="b", minContextSlot=newest) == []
        assert (await it.call("getTransaction", sent, backend="b"))["slot"] > 0
        await it.chain.end_slots(5)
        assert await it.listed(someone, backend="b") == [sent]


async def test_transactions_that_come_late(tmp_path: Path, someone: Pubkey) -> None:
    with manual(tmp_path, ViewFault(kind="transaction-lag", backend="b", slots=5)) as it:
        (sent,) = await pay(it, someone, 1_000_000)
        assert await it.listed(someone, backend="b") == [sent]
        assert await it.call("getTransaction", sent, backend="b") is None
        assert await it.call("getTransaction", sent, backend="a") is not None
        await it.chain.end_slots(5)
        assert await it.call("getTransaction", sent, backend="b") is not None


async def test_a_pruned_backend(tmp_path: Path, someone: Pubkey) -> None:
    with manual(tmp_path, ViewFault(kind="pruned", backend="b", below_slot=20)) as it:
        old, *_, new = await pay(it, someone, *range(1_000_000, 1_000_020))
        assert len(await it.listed(someone, backend="a")) == 20
        kept = await it.listed(someone, backend="b")
        assert kept[0] == new
        assert old not in kept
        slots = [(await it.call("getTransaction", one, backend="b"))["slot"] for one in kept]
        assert min(slots) == 20
        assert await it.call("getTransaction", old, backend="b") is None
        assert await it.refusal("getBlock", 19, backend="b") == -32001
        assert (await it.call("getBlock", 20, backend="b"))["blockHeight"] == 20
        assert await it.call("getFirstAvailableBlock", backend="b") == 20
        assert await it.call("getFirstAvailableBlock", backend="a") == 0
        assert await it.call("getBlocks", 10, 22, backend="b") == [20, 21, 22]
        assert await it.refusal(
            "getSignaturesForAddress", str(someone), {"before": old}, backend="b"
        ) == (-32020)


async def test_lost_signatures_are_lost_from_one_backends_listing(
    tmp_path: Path, someone: Pubkey
) -> None:
    fault = ViewFault(kind="lost-signatures", backend="b", share=0.5)
    with manual(tmp_path, fault) as it:
        sent = await pay(it, someone, *range(1_000_000, 1_000_020))
        listed = await it.listed(someone, backend="b")
        assert 0 < len(listed) < len(sent)
        assert set(listed) < set(sent)
        assert await it.listed(someone, backend="b") == listed
        assert await it.listed(someone, backend="a") == sent[::-1]
        lost = next(one for one in sent if one not in listed)
        assert await it.call("getTransaction", lost, backend="b") is not None


async def test_lost_transactions(tmp_path: Path, someone: Pubkey) -> None:
    with manual(tmp_path, ViewFault(kind="lost-transactions", backend="b", share=1.0)) as it:
        (sent,) = await pay(it, someone, 1_000_000)
        assert await it.listed(someone, backend="b") == [sent]
        assert await it.call("getTransaction", sent, backend="b") is None
        assert await it.call("getTransaction", sent, backend="a") is not None


async def test_an_order_of_its_own_inside_a_slot(tmp_path: Path, someone: Pubkey) -> None:
    """Whole slots keep their order; pages of one backend fit together, of two they do not."""
    with manual(tmp_path, ViewFault(kind="reordered", backend="b")) as it:
        sent: list[list[str]] = []
        for slot in range(3):
            many = [send_sol(it.wallet("user"), someone, 10**6 + slot * 10 + i) for i in range(6)]
            sent.append([str(await it.land(one)) for one in many])
            await it.chain.end_slots()
        await it.chain.end_slots(FINALIZED_LAG)
        listed = await it.listed(someone, backend="b")
        assert listed != await it.listed(someone, backend="a")
        assert [set(listed[i : i + 6]) for i in (0, 6, 12)] == [set(one) for one in sent[::-1]]
        paged: list[str] = []
        while page := await it.listed(
            someone, backend="b", limit=4, **({"before": paged[-1]} if paged else {})
        ):
            paged += page
        assert paged == listed
        assert await it.listed(someone, backend="b", until=listed[3]) == listed[:3]


@pytest.mark.parametrize(("kind", "answers"), [("old-cursors", True), (None, False)])
async def test_what_nodes_make_of_an_unknown_cursor(
    tmp_path: Path, someone: Pubkey, kind: str | None, answers: bool
) -> None:
    faults = [ViewFault(kind="old-cursors")] if kind else []
    with manual(tmp_path, *faults) as it:
        await pay(it, someone, 1_000_000)
        unknown = str(Signature.new_unique())
        for cursor in ("before", "until"):
            if answers:
                assert await it.listed(someone, **{cursor: unknown}) == []
            else:
                how = {cursor: unknown}
                assert await it.refusal("getSignaturesForAddress", str(someone), how) == -32020


async def test_a_min_context_slot_that_is_ignored(tmp_path: Path, someone: Pubkey) -> None:
    faults = (
        ViewFault(kind="lag", slots=5),
        ViewFault(kind="ignores-min-context-slot", backend="b"),
    )
    with manual(tmp_path, *faults) as it:
        await pay(it, someone, 1_000_000)
        how = {"minContextSlot": it.chain.cluster.tip.finalized}
        code = await it.refusal("getSignaturesForAddress", str(someone), how, backend="a")
        assert code == -32016
        assert await it.listed(someone, backend="b", **how) == []


async def test_a_backend_that_cannot_read_new_transactions(tmp_path: Path, someone: Pubkey) -> None:
    with manual(tmp_path, ViewFault(kind="version-ceiling", backend="b", version=0)) as it:
        user = it.wallet("user")
        new = signed([send_sol(user, someone)], it.chain.blockhash(), user, version=1)
        assert it.chain.execute(new) is not None
        await it.chain.end_slots(FINALIZED_LAG)
        asked = (str(new.signatures[0]), {"maxSupportedTransactionVersion": 1})
        assert (await it.call("getTransaction", *asked, backend="a"))["version"] == 1
        assert await it.refusal("getTransaction", *asked, backend="b") == -32015


async def test_a_node_without_history(tmp_path: Path, someone: Pubkey) -> None:
    with manual(tmp_path, ViewFault(kind="no-history", backend="b")) as it:
        (sent,) = await pay(it, someone, 1_000_000)
        assert await it.refusal("getTransaction", sent, backend="b") == -32011
        assert await it.refusal("getSignaturesForAddress", str(someone), backend="b") == -32011
        assert (await it.call("getBalance", str(someone), backend="b"))["value"] == 1_000_000


async def test_a_node_of_another_chain(tmp_path: Path, someone: Pubkey) -> None:
    with manual(tmp_path, ViewFault(kind="foreign-chain", backend="b")) as it:
        (sent,) = await pay(it, someone, 1_000_000)
        ours = await it.call("getGenesisHash", backend="a")
        theirs = await it.call("getGenesisHash", backend="b")
        assert ours != theirs == await it.call("getGenesisHash", backend="b")
        assert await it.listed(someone, backend="b") == []
        assert await it.call("getTransaction", sent, backend="b") is None
        assert (await it.call("getAccountInfo", str(someone), backend="b"))["value"] is None
        assert (await it.call("getSignatureStatuses", [sent], backend="b"))["value"] == [None]
        latest = await it.call("getLatestBlockhash", backend="b")
        valid = await it.call(
            "isBlockhashValid", latest["value"]["blockhash"], FINALIZED, backend="a"
        )
        assert valid["value"] is False


async def test_a_difference_has_its_time(tmp_path: Path, someone: Pubkey) -> None:
    fault = ViewFault(kind="no-history", from_slot=3, until_slot=5)
    with manual(tmp_path, fault) as it:
        codes: list[object] = []
        for _ in range(7):
            try:
                codes.append(await it.listed(someone))
            except Exception as error:
                codes.append(type(error).__name__)
            await it.chain.end_slots()
        assert codes == [[], [], [], "RpcFailed", "RpcFailed", [], []]
