"""Which fault meets which call: by counts, slots and loaded dice; a replay gives the same."""

import tomllib
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from solders.keypair import Keypair

from localnet.adversary.faults import CallFault, Fault, Script
from localnet.adversary.fleet import Happened, UnknownBackend
from localnet.adversary.schedule import script_of_seed
from localnet.adversary.script import parse_script, script_text
from tests.chain.localnet.calls import encoded, send_sol, signed
from tests.chain.localnet.manual import FINALIZED_LAG, Manual, manual


async def statuses(it: Manual, count: int, method: str = "getSlot") -> list[int]:
    return [(await it.reply(method)).status for _ in range(count)]


async def test_the_third_and_fourth_call(tmp_path: Path) -> None:
    fault = CallFault(kind="http-error", method="getSlot", from_call=3, until_call=5)
    with manual(tmp_path, fault) as it:
        assert await statuses(it, 2, "getBlockHeight") == [200, 200]
        assert await statuses(it, 6) == [200, 200, 503, 503, 200, 200]


async def test_only_in_its_slots_and_only_its_backend(tmp_path: Path) -> None:
    fault = CallFault(kind="http-429", backend="b", from_slot=1, until_slot=3)
    with manual(tmp_path, fault) as it:
        told: list[tuple[int, int]] = []
        for _ in range(4):
            a = (await it.reply("getSlot", backend="a")).status
            told.append((a, (await it.reply("getSlot", backend="b")).status))
            await it.chain.end_slots()
        assert told == [(200, 200), (200, 429), (200, 429), (200, 200)]


async def test_the_first_in_the_script_happens_and_all_count(tmp_path: Path) -> None:
    faults = (
        CallFault(kind="http-error", status=500, until_call=2),
        CallFault(kind="http-error", status=502, until_call=3),
    )
    with manual(tmp_path, *faults) as it:
        assert await statuses(it, 3) == [500, 502, 200]


async def test_probability_is_a_share_of_calls(tmp_path: Path) -> None:
    with manual(tmp_path, CallFault(kind="http-429", probability=0.25)) as it:
        met = Counter(await statuses(it, 400))
        assert 60 < met[429] < 140
        met_at = [one.call for one in it.chain.fleet.happened]
        assert len(met_at) == met[429]


async def test_a_fault_taken_out_changes_nothing_for_the_others(tmp_path: Path) -> None:
    rare = CallFault(kind="empty", probability=0.2)
    often = CallFault(kind="http-429", method="getBlockHeight", probability=0.5)

    async def met(path: Path, *faults: Fault) -> list[int]:
        with manual(path, *faults) as it:
            for _ in range(60):
                await it.reply("getSlot")
                await it.reply("getBlockHeight")
            happened = it.chain.fleet.happened
            return [one.call for one in happened if one.method == "getSlot"]

    with_it = await met(tmp_path / "1", often, rare)
    assert with_it == await met(tmp_path / "2", rare)
    assert len(with_it) > 3


async def test_equal_faults_throw_different_dice(tmp_path: Path) -> None:
    one = CallFault(kind="http-429", probability=0.3)
    with manual(tmp_path / "1", one) as it:
        single = Counter(await statuses(it, 300))[429]
    with manual(tmp_path / "2", one, one) as it:
        double = Counter(await statuses(it, 300))[429]
    assert double > single


async def test_routing_has_no_affinity_and_is_repeatable(tmp_path: Path) -> None:
    marked = CallFault(kind="empty", probability=1.0)

    async def routed(path: Path, seed: int, routing: str = "random") -> list[str]:
        names = ("a", "b", "c")
        script = parse_script({"fleet": {"routing": routing}})
        with manual(path, marked, backends=names, seed=seed, routing=script.routing) as it:
            await statuses(it, 60)
            return [one.backend for one in it.chain.fleet.happened]

    first = await routed(tmp_path / "1", 5)
    assert first == await routed(tmp_path / "2", 5)
    assert first != await routed(tmp_path / "3", 6)
    assert min(Counter(first)[name] for name in "abc") > 8
    turns = await routed(tmp_path / "4", 5, "round-robin")
    assert turns[:6] in (["b", "c", "a"] * 2, ["a", "b", "c"] * 2)


async def test_a_named_backend_answers_alone(tmp_path: Path) -> None:
    with manual(tmp_path, CallFault(kind="empty")) as it:
        for _ in range(5):
            await it.reply("getSlot", backend="b")
        assert {one.backend for one in it.chain.fleet.happened} == {"b"}
        with pytest.raises(UnknownBackend):
            await it.reply("getSlot", backend="z")


async def test_a_lost_answer_may_hide_a_sent_transaction(tmp_path: Path) -> None:
    faults = (
        CallFault(kind="timeout", method="sendTransaction", until_call=2),
        CallFault(kind="timeout", method="sendTransaction", from_call=2, executed=False),
    )
    with manual(tmp_path, *faults) as it:
        user, to = it.wallet("user"), Keypair().pubkey()
        for lamports in (1_000_000, 2_000_000):
            instruction = send_sol(user, to, lamports)
            transaction = signed([instruction], it.chain.blockhash(), user)
            config = {"encoding": "base64", "skipPreflight": True}
            reply = await it.reply("sendTransaction", encoded(transaction), config)
            assert reply.ending == "silence"
        assert it.chain.oracle.lamports(to, it.chain.cluster.slot) == 1_000_000


async def test_a_stale_answer_is_one_that_was_true(tmp_path: Path) -> None:
    fault = CallFault(kind="stale", method="getSignaturesForAddress", from_call=2, until_call=4)
    with manual(tmp_path, fault) as it:
        to = Keypair().pubkey()
        assert await it.listed(to, minContextSlot=1) == []
        sent = await it.final(send_sol(it.wallet("user"), to))
        newest = it.chain.cluster.tip.finalized
        assert await it.listed(to, minContextSlot=newest) == []
        assert await it.listed(to, limit=5) == [str(sent)]  # never asked so before: nothing stale
        assert await it.listed(to, minContextSlot=newest) == [str(sent)]


async def play(path: Path, script: Script) -> tuple[list[Happened], list[bytes]]:
    """The same 200 calls in 40 slots; which faults they met, and what they got but for what
    differs between chains."""
    with manual(path, *script.faults, backends=script.backends, seed=script.seed) as it:
        user, to = it.wallet("user"), Keypair().pubkey()
        endings: list[bytes] = []
        for step in range(40):
            it.chain.execute(
                signed([send_sol(user, to, 1_000_000 + step)], it.chain.blockhash(), user)
            )
            for method in ("getSlot", "getBlockHeight", "getHealth"):
                reply = await it.reply(method)
                endings.append(reply.ending.encode() + reply.body)
            for method in ("getSignaturesForAddress", "getAccountInfo"):
                await it.reply(method, str(to))
            await it.chain.end_slots()
        return list(it.chain.fleet.happened), endings


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_replay_of_a_seed_and_of_its_script_is_the_same(tmp_path: Path, seed: int) -> None:
    script = script_of_seed(seed, slots=40)
    happened, answers = await play(tmp_path / "1", script)
    assert len(happened) > 5
    assert (happened, answers) == await play(tmp_path / "2", script)
    again = parse_script(tomllib.loads(script_text(script)))
    assert (happened, answers) == await play(tmp_path / "3", again)
    other = script_of_seed(seed + 1_000, slots=40)
    assert happened != (await play(tmp_path / "4", other))[0]


async def test_a_script_reaches_the_cluster_itself(tmp_path: Path) -> None:
    text = '[[fault]]\nkind = "fork"\nat_slot = 3\ndepth_slots = 3\nrelands_percent = 0\n'
    script = parse_script(tomllib.loads(text))
    with manual(tmp_path, *script.faults) as it:
        await it.chain.end_slots(2)
        sent = await it.land(send_sol(it.wallet("user"), Keypair().pubkey()))
        await it.chain.end_slots(1)
        (status,) = (await it.call("getSignatureStatuses", [str(sent)]))["value"]
        assert status["confirmationStatus"] == "processed"
        await it.chain.end_slots(FINALIZED_LAG)
        assert (await it.call("getSignatureStatuses", [str(sent)]))["value"] == [None]


async def test_a_batch_is_one_call(tmp_path: Path) -> None:
    with manual(tmp_path, CallFault(kind="empty", method="getSlot", until_call=2)) as it:
        asked = [{"jsonrpc": "2.0", "id": n, "method": "getSlot"} for n in (1, 2)]
        batch = msgspec.json.encode(asked)
        assert (await it.chain.fleet.post(batch)).body == b""
        assert len(msgspec.json.decode((await it.chain.fleet.post(batch)).body)) == 2
