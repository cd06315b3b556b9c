"""Keys that cannot be used, nodes that do not answer, answers that get lost on the way."""

import base64
import json
from pathlib import Path

import pytest
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from cli.transaction.anchorpy import ask_anchorpy
from localnet.embedded import RunningChain
from settlement.chain import program
from settlement.chain.layouts import account_discriminator
from settlement.chain.program import Deployment
from tests.chain.anchorpy.between import Fate, between
from tests.chain.anchorpy.outsider import Answer, Outsider
from tests.chain.localnet.calls import Rpc
from tests.pure.faulty_node import node, raw

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]

LAMPORTS = 1_000_000


@pytest.fixture
def outsider(localnet: RunningChain, tmp_path: Path) -> Outsider:
    assert localnet.program_id is not None
    deployment = Deployment(localnet.program_id, localnet.mint)
    return Outsider(chain=localnet, keys=tmp_path / "keys", deployment=deployment)


async def give(outsider: Outsider, to: Pubkey, **changed: object) -> Answer:
    """Send some SOL from the user to somebody: the simplest transaction there is."""
    payer = outsider.chain.keys["user"].pubkey()
    paid = transfer(TransferParams(from_pubkey=payer, to_pubkey=to, lamports=LAMPORTS))
    return await outsider.transact("send", paid, "user", **changed)


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (None, 0o600, "No such file"),
        ("[1, 2]", 0o600, "not a key"),
        ("{}", 0o600, "not a key"),
        ("99999999999999", 0o600, "not a key"),
        ('""', 0o600, "not a key"),
        ("secret words", 0o600, "not a key"),
        (json.dumps([7] * 64), 0o600, "not a key"),
        (json.dumps([700] * 64), 0o600, "not a key"),
        ("[1, 2]", 0o644, "others may read it: its mode is 0644"),
        ("[1, 2]", 0o620, "others may read it"),
    ],
)
async def test_a_key_file_that_cannot_be_used(
    tmp_path: Path, content: str | None, mode: int, told: str
) -> None:
    path = tmp_path / "id.json"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    payer = str(Pubkey.new_unique())
    skip: Answer = {"program": payer, "data": "", "accounts": []}
    answer = await ask_anchorpy(
        Pubkey.new_unique(),
        {
            "do": "send",
            "rpc": "http://127.0.0.1:1",
            "payer": payer,
            "keys": [str(path)],
            "instructions": [skip],
        },
    )
    assert answer["error"] == "KeyUnusable"
    assert told in str(answer["message"])
    assert "secret" not in str(answer)


async def test_a_signature_nobody_can_make(outsider: Outsider) -> None:
    signer = outsider.chain.keys["payer"].pubkey()
    skip = program.skip(outsider.deployment, signer=signer, first=1, mask=1)
    answer = await outsider.transact("send", skip, "user")
    assert answer["error"] == "KeyMissing"
    assert str(signer) in answer["message"]


@pytest.mark.parametrize("do", ["send", "simulate", "accounts"])
async def test_a_node_that_is_not_there(outsider: Outsider, do: str) -> None:
    config = outsider.deployment.config
    skip = program.skip(outsider.deployment, signer=config, first=1, mask=1)
    answer = (
        await outsider.ask("accounts", addresses=[str(config)], rpc="http://127.0.0.1:1")
        if do == "accounts"
        else await outsider.transact("simulate", skip, "user", rpc="http://127.0.0.1:1")
        if do == "simulate"
        else await give(outsider, config, rpc="http://127.0.0.1:1")
    )
    assert answer["error"] == "Unreachable", answer


@pytest.mark.parametrize(
    "body", ["", "<html>busy</html>", '{"jsonrpc": "2.0", "id": ID}', '{"result": 5}', "[]"]
)
async def test_what_answers_is_no_node(outsider: Outsider, body: str) -> None:
    async with node(raw(body)) as one:
        answer = await give(outsider, Pubkey.new_unique(), rpc=one.url)
    assert answer["error"] == "Unreachable", answer


async def test_a_node_that_is_overloaded(outsider: Outsider) -> None:
    async with node(raw("slow down", status=429)) as one:
        answer = await give(outsider, Pubkey.new_unique(), rpc=one.url)
    assert answer["error"] == "Unreachable"


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.DROPPED])
async def test_an_answer_that_is_lost_pays_once(outsider: Outsider, rpc: Rpc, fate: Fate) -> None:
    """The first sending, then a status, get no answer: the same bytes go out again."""
    receiver = Pubkey.new_unique()

    def rule(method: str, call: int) -> Fate:
        unlucky = {"sendTransaction": {1}, "getSignatureStatuses": {2, 3}}
        return fate if call in unlucky.get(method, set()) else Fate.PASSED

    async with between(outsider.chain.rpc_url, rule) as one:
        answer = await give(outsider, receiver, rpc=one.url)
    assert "error" not in answer, answer
    assert len(one.sent) == 1
    assert await rpc.value("getBalance", str(receiver)) == LAMPORTS


async def test_new_bytes_only_when_the_old_ones_cannot_come_any_more(
    outsider: Outsider, rpc: Rpc
) -> None:
    """The first bytes never reach a leader, however often they are sent; their time runs out."""
    receiver = Pubkey.new_unique()

    def rule(method: str, _call: int) -> Fate:
        first = method == "sendTransaction" and len(one.sent) < 2
        return Fate.DROPPED if first else Fate.PASSED

    async with between(outsider.chain.rpc_url, rule) as one:
        answer = await give(outsider, receiver, rpc=one.url, patience_seconds=60)
    assert "error" not in answer, answer
    assert len(one.sent) == 2
    assert await rpc.value("getBalance", str(receiver)) == LAMPORTS


async def test_confirmed_is_not_final(outsider: Outsider) -> None:
    early: Answer = {
        "slot": 5,
        "confirmations": 1,
        "err": None,
        "status": {"Ok": None},
        "confirmationStatus": "confirmed",
    }

    def rule(method: str, call: int) -> Fate | Answer:
        if method == "getSignatureStatuses" and 1 < call < 5:
            return {"result": {"context": {"slot": 5}, "value": [early]}}
        return Fate.PASSED

    async with between(outsider.chain.rpc_url, rule) as one:
        answer = await give(outsider, Pubkey.new_unique(), rpc=one.url)
    assert one.calls["getSignatureStatuses"] >= 5
    assert answer["slot"] > 5


def preflight(error: object, *logs: str) -> Answer:
    """What a node says that will not take a transaction."""
    data: Answer = {
        "err": error,
        "logs": logs,
        "accounts": None,
        "unitsConsumed": 0,
        "returnData": None,
    }
    return {"error": {"code": -32002, "message": "simulation failed", "data": data}}


@pytest.mark.parametrize("error", ["BlockhashNotFound", "AlreadyProcessed"])
async def test_a_first_refusal_that_is_none(outsider: Outsider, rpc: Rpc, error: str) -> None:
    """A node that lags behind knows no new blockhash; one that was faster has it already."""
    receiver = Pubkey.new_unique()

    def rule(method: str, call: int) -> Fate | Answer:
        refusing = method == "sendTransaction" and call == 1
        return preflight(error) if refusing else Fate.PASSED

    async with between(outsider.chain.rpc_url, rule) as one:
        answer = await give(outsider, receiver, rpc=one.url)
    assert "error" not in answer, answer
    assert len(one.sent) == (2 if error == "BlockhashNotFound" else 1)
    assert await rpc.value("getBalance", str(receiver)) == LAMPORTS


@pytest.mark.parametrize(
    ("number", "whose", "name"),
    [(6019, "ours", "CooldownNotOver"), (6019, "another", None), (2000, "ours", None)],
)
async def test_an_error_is_named_only_where_it_is_the_programs(
    outsider: Outsider, number: int, whose: str, name: str | None
) -> None:
    """Another program's 6019 is not ours, and Anchor's own numbers are not in our IDL."""
    failing = outsider.deployment.program_id if whose == "ours" else outsider.deployment.mint
    log = f"Program {failing} failed: custom program error: {number:#x}"
    refusal = preflight({"InstructionError": [0, {"Custom": number}]}, log)

    def rule(method: str, _call: int) -> Fate | Answer:
        return refusal if method == "sendTransaction" else Fate.PASSED

    async with between(outsider.chain.rpc_url, rule) as one:
        answer = await give(outsider, Pubkey.new_unique(), rpc=one.url)
    assert (answer["error"], answer["name"]) == ("Refused", name)
    assert answer["number"] == (number if name else None)
    assert answer["err"] == {"InstructionError": [0, {"Custom": number}]}


async def test_a_later_refusal_means_nothing(outsider: Outsider, rpc: Rpc) -> None:
    """It was taken, nobody has seen it yet, and sent again it is refused: only waiting tells."""
    receiver = Pubkey.new_unique()
    unseen = {"result": {"context": {"slot": 5}, "value": [None]}}

    def rule(method: str, call: int) -> Fate | Answer:
        if method == "sendTransaction" and call == 2:
            return preflight({"InstructionError": [0, {"Custom": 1}]})
        hidden = method == "getSignatureStatuses" and one.calls["sendTransaction"] < 2
        return unseen if hidden else Fate.PASSED

    async with between(outsider.chain.rpc_url, rule) as one:
        answer = await give(outsider, receiver, rpc=one.url)
    assert "error" not in answer, answer
    assert one.calls["sendTransaction"] >= 2
    assert len(one.sent) == 1
    assert await rpc.value("getBalance", str(receiver)) == LAMPORTS


async def test_a_transaction_that_is_never_seen_again(outsider: Outsider) -> None:
    nothing = {"result": {"context": {"slot": 5}, "value": [None]}}

    def rule(method: str, _call: int) -> Fate | Answer:
        return nothing if method == "getSignatureStatuses" else Fate.PASSED

    async with between(outsider.chain.rpc_url, rule) as one:
        answer = await give(outsider, Pubkey.new_unique(), rpc=one.url, patience_seconds=2)
    assert answer["error"] == "NotFinal"
    assert answer["signature"]


async def test_what_fails_on_chain_after_it_was_taken(outsider: Outsider) -> None:
    failed = {"Err": {"InstructionError": [0, {"Custom": 1}]}}
    status = {
        "slot": 5,
        "confirmations": None,
        "err": failed["Err"],
        "status": failed,
        "confirmationStatus": "finalized",
    }

    def rule(method: str, call: int) -> Fate | Answer:
        if method == "getSignatureStatuses" and call > 1:
            return {"result": {"context": {"slot": 5}, "value": [status]}}
        return Fate.PASSED

    async with between(outsider.chain.rpc_url, rule) as one:
        answer = await give(outsider, Pubkey.new_unique(), rpc=one.url)
    assert answer["error"] == "Refused"
    assert answer["err"] == failed["Err"]
    assert answer["signature"]
    assert answer["name"] is None


async def test_what_the_chain_refuses_without_the_program(outsider: Outsider) -> None:
    """More SOL than there is: an error of another program, not one of ours by number."""
    payer = outsider.chain.keys["user"].pubkey()
    too_much = transfer(
        TransferParams(from_pubkey=payer, to_pubkey=Pubkey.new_unique(), lamports=10**18)
    )
    for do in ("send", "simulate"):
        answer = await outsider.transact(do, too_much, "user")
        assert (answer["error"], answer["name"], answer["number"]) == ("Refused", None, None)
        assert answer["err"] == {"InstructionError": [0, {"Custom": 1}]}


async def test_a_payer_who_does_not_exist(outsider: Outsider) -> None:
    nobody = Pubkey.new_unique()
    paid = transfer(TransferParams(from_pubkey=nobody, to_pubkey=nobody, lamports=1))
    answer = await outsider.transact("simulate", paid, "user", payer=str(nobody))
    assert (answer["error"], answer["err"]) == ("Refused", "AccountNotFound")


async def test_accounts_that_are_not_the_programs(outsider: Outsider) -> None:
    nowhere, mint = Pubkey.new_unique(), outsider.deployment.mint
    answer = await outsider.ask("accounts", addresses=[str(nowhere)])
    assert (answer["error"], str(nowhere) in answer["message"]) == ("NoAccount", True)
    answer = await outsider.ask("accounts", addresses=[str(mint)])
    assert (answer["error"], "owned by" in answer["message"]) == ("WrongAccount", True)


@pytest.mark.parametrize(
    ("data", "told"), [(b"", "begins so"), (b"\x00" * 32, "begins so"), (None, "24 bytes, not 25")]
)
async def test_an_account_of_the_programs_that_the_idl_does_not_have(
    outsider: Outsider, data: bytes | None, told: str
) -> None:
    content = account_discriminator("Tombstone") + bytes(17) if data is None else data
    account = {
        "data": [base64.b64encode(content).decode(), "base64"],
        "executable": False,
        "lamports": 1,
        "owner": str(outsider.deployment.program_id),
        "rentEpoch": 0,
        "space": len(content),
    }
    made_up = {"result": {"context": {"slot": 5}, "value": [account]}}
    async with between(outsider.chain.rpc_url, lambda _method, _call: made_up) as one:
        config = str(outsider.deployment.config)
        answer = await outsider.ask("accounts", addresses=[config], rpc=one.url)
    assert answer["error"] == "WrongAccount"
    assert told in answer["message"]
