"""Wrong input: every method answers a JSON-RPC error that says what is wrong, and goes on."""

import base64
import random

import aiohttp
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageAddressTableLookup, MessageV0
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from localnet.embedded import RunningChain
from localnet.rpc import READING
from tests.chain.localnet.calls import Rpc, encoded, signed

KEY = "11111111111111111111111111111112"
SIGNATURE = "1" * 64
PAGE_ERROR = -32602

WRONG_PUBKEYS: list[object] = ["", "x", "0OIl" * 11, "1" + KEY, KEY[:-1], "ü" * 32]
WRONG_TYPES: list[object] = [None, 5, -1, 1.5, True, [], {}]


def config_errors() -> list[tuple[object, str]]:
    return [
        ({"commitment": "recent"}, "unknown variant `recent`"),
        ({"commitment": 5}, "invalid type: integer `5`, expected a string"),
        ({"minContextSlot": -1}, "expected u64"),
        ({"minContextSlot": "1"}, 'invalid type: string "1", expected u64'),
        ("finalized", 'invalid type: string "finalized", expected a map'),
        ([], "invalid type: sequence, expected a map"),
    ]


CASES: list[tuple[str, list[object], str]] = [
    ("getHealth", [1], "Expected from 0 to 0 parameters"),
    ("getVersion", [1], "Expected from 0 to 0 parameters"),
    ("getGenesisHash", [{}], "Expected from 0 to 0 parameters"),
    ("getFirstAvailableBlock", [1], "Expected from 0 to 0 parameters"),
    ("minimumLedgerSlot", [1], "Expected from 0 to 0 parameters"),
    ("getEpochInfo", [1], "invalid type: integer `1`, expected a map"),
    ("getSlot", [{"commitment": "max"}], "unknown variant `max`"),
    ("getBlockHeight", ["x"], "expected a map"),
    ("getTransactionCount", [[]], "expected a map"),
    ("getLatestBlockhash", [{"commitment": None, "minContextSlot": True}], "boolean `true`"),
    ("isBlockhashValid", [], "at least 1 argument"),
    ("isBlockhashValid", ["x"], "Invalid param: WrongSize"),
    ("isBlockhashValid", ["l" * 32], "Invalid param: Invalid"),
    ("getRecentPrioritizationFees", ["x"], "expected a sequence"),
    ("getRecentPrioritizationFees", [[KEY] * 129], "Too many inputs provided; max 128"),
    ("getRecentPrioritizationFees", [["x"]], "WrongSize"),
    ("getFeeForMessage", ["!!"], "invalid base64 encoding"),
    ("getFeeForMessage", ["AAAA"], "failed to deserialize VersionedMessage"),
    ("getFeeForMessage", [""], "failed to deserialize VersionedMessage"),
    ("getBlockTime", ["1"], "expected u64"),
    ("getBlockTime", [2**64], "expected u64"),
    ("getAccountInfo", [], "at least 1 argument"),
    ("getAccountInfo", [KEY, {"encoding": "hex"}], "unknown variant `hex`"),
    ("getAccountInfo", [KEY, {"dataSlice": {"offset": 1}}], "missing field `length`"),
    ("getAccountInfo", [KEY, {"dataSlice": {"offset": -1, "length": 1}}], "expected u64"),
    ("getAccountInfo", [KEY, {}, {}], "Expected from 1 to 2 parameters"),
    ("getMultipleAccounts", [KEY], "expected a sequence"),
    ("getMultipleAccounts", [[KEY] * 101], "Too many inputs provided; max 100"),
    ("getMultipleAccounts", [[KEY, 5]], "expected a string"),
    ("getBalance", [KEY, 7], "expected a map"),
    ("getTokenAccountBalance", [KEY], "could not find account"),
    ("getTokenSupply", [KEY], "could not find account"),
    ("getTokenAccountsByOwner", [KEY], "at least 2 argument"),
    ("getTokenAccountsByOwner", [KEY, {}], "expected one of `mint`, `programId`"),
    ("getTokenAccountsByOwner", [KEY, {"mint": KEY}], "could not find mint"),
    ("getTokenAccountsByOwner", [KEY, {"programId": KEY}], "unrecognized Token program id"),
    ("getTokenAccountsByOwner", [KEY, KEY], "expected a map"),
    ("getProgramAccounts", [KEY, {"filters": [{"dataSize": 1}] * 5}], "Too many filters"),
    ("getProgramAccounts", [KEY, {"filters": {}}], "expected a sequence"),
    ("getProgramAccounts", [KEY, {"filters": [{"size": 1}]}], "unknown filter"),
    ("getProgramAccounts", [KEY, {"filters": [{"memcmp": {"offset": 0}}]}], "field `bytes`"),
    (
        "getProgramAccounts",
        [KEY, {"filters": [{"memcmp": {"offset": 0, "bytes": "0"}}]}],
        "DecodeError",
    ),
    (
        "getProgramAccounts",
        [KEY, {"filters": [{"memcmp": {"offset": 0, "bytes": "1" * 200}}]}],
        "DataTooLarge",
    ),
    (
        "getProgramAccounts",
        [KEY, {"filters": [{"memcmp": {"offset": 0, "bytes": [256]}}]}],
        "expected u8",
    ),
    ("getMinimumBalanceForRentExemption", ["5"], "expected u64"),
    ("getMinimumBalanceForRentExemption", [2**40], "holds at most"),
    ("getTransaction", ["x"], "Invalid param: WrongSize"),
    ("getTransaction", [SIGNATURE, {"commitment": "processed"}], "below `confirmed`"),
    ("getTransaction", [SIGNATURE, {"encoding": "xml"}], "unknown variant `xml`"),
    ("getTransaction", [SIGNATURE, {"maxSupportedTransactionVersion": "0"}], "expected u64"),
    ("getBlock", [-1], "expected u64"),
    ("getBlock", [1, {"commitment": "processed"}], "below `confirmed`"),
    ("getBlock", [1, {"transactionDetails": "some"}], "unknown variant `some`"),
    ("getBlock", [1, {"rewards": "yes"}], "expected a boolean"),
    ("getBlocks", ["a"], "expected u64"),
    ("getBlocks", [0, "b"], "expected u64"),
    ("getBlocks", [0, 1, {"commitment": "processed"}], "below `confirmed`"),
    ("getBlocksWithLimit", [0], "at least 2 argument"),
    ("getBlocksWithLimit", [0, 500_001], "Limit too large; max 500000"),
    ("getSignaturesForAddress", [KEY, {"limit": 0}], "Invalid limit; max 1000"),
    ("getSignaturesForAddress", [KEY, {"limit": 1001}], "Invalid limit; max 1000"),
    ("getSignaturesForAddress", [KEY, {"before": "x"}], "Invalid param: WrongSize"),
    ("getSignaturesForAddress", [KEY, {"commitment": "processed"}], "below `confirmed`"),
    ("getSignatureStatuses", [SIGNATURE], "expected a sequence"),
    ("getSignatureStatuses", [[SIGNATURE] * 257], "Too many inputs provided; max 256"),
    ("getSignatureStatuses", [[KEY]], "Invalid param: WrongSize"),
    ("getSignatureStatuses", [[], {"searchTransactionHistory": 1}], "expected a boolean"),
    ("simulateTransaction", [], "at least 1 argument"),
    ("simulateTransaction", ["AAAA", {"encoding": "base64"}], "failed to deserialize"),
    ("sendTransaction", ["", {"encoding": "base64"}], "failed to deserialize"),
    ("sendTransaction", ["AAAA", {"encoding": "base64"}], "failed to deserialize"),
    ("sendTransaction", ["!", {"encoding": "base64"}], "invalid base64 encoding"),
    ("sendTransaction", ["0"], "invalid base58 encoding"),
    ("sendTransaction", ["AAAA", {"encoding": "jsonParsed"}], "unsupported encoding: jsonParsed"),
    ("sendTransaction", ["AAAA" * 2000, {"encoding": "base64"}], "decoded VersionedTransaction"),
    ("sendTransaction", ["AAAA" * 2100, {"encoding": "base64"}], "too large: 8400 bytes"),
    ("sendTransaction", [5], "expected a string"),
    ("requestAirdrop", [KEY], "at least 2 argument"),
    ("requestAirdrop", [KEY, -5], "expected u64"),
    ("requestAirdrop", [KEY, 1.5], "floating point"),
    ("requestAirdrop", [KEY, 1, {"recentBlockhash": "x"}], "WrongSize"),
    ("localnet_advanceClock", [], "at least 1 argument"),
    ("localnet_advanceClock", [0], "from 1 to"),
    ("localnet_advanceClock", [-1], "expected u64"),
    ("localnet_advanceClock", [10**12], "from 1 to"),
]


async def test_wrong_parameters_are_named(rpc: Rpc) -> None:
    for method, params, words in CASES:
        failed = await rpc.error(method, *params)
        assert failed.code == PAGE_ERROR, (method, params, failed.error)
        assert words in failed.message, (method, params, failed.error)


def test_the_table_has_every_method() -> None:
    assert {method for method, _, _ in CASES} == {*READING, "requestAirdrop"}


@pytest.mark.parametrize(
    "method",
    [
        "getAccountInfo",
        "getBalance",
        "getTokenAccountBalance",
        "getProgramAccounts",
        "getSignaturesForAddress",
    ],
)
async def test_wrong_addresses_are_refused(rpc: Rpc, method: str) -> None:
    for wrong in [*WRONG_PUBKEYS, *WRONG_TYPES]:
        failed = await rpc.error(method, wrong)
        assert failed.code == PAGE_ERROR, (wrong, failed.error)


@pytest.mark.parametrize(
    ("method", "before"),
    [
        ("getAccountInfo", [KEY]),
        ("getSlot", []),
        ("getLatestBlockhash", []),
        ("getSignaturesForAddress", [KEY]),
        ("getBalance", [KEY]),
    ],
)
async def test_wrong_settings_are_refused(rpc: Rpc, method: str, before: list[object]) -> None:
    for config, words in config_errors():
        failed = await rpc.error(method, *before, config)
        assert failed.code == PAGE_ERROR, (config, failed.error)
        assert words in failed.message, (config, failed.error)


BODIES: list[tuple[bytes, int]] = [
    (b"", -32700),
    (b"{", -32700),
    (b"\xff\xfe", -32700),
    (b"[" * 10_000, -32700),
    (b"null", -32600),
    (b"5", -32600),
    (b"[]", -32600),
    (b"{}", -32600),
    (b'{"jsonrpc":"1.0","id":1,"method":"getSlot"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
    (b'{"jsonrpc":"2.0","id":{},"method":"getSlot"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"getNothing"}', -32601),
    (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":{"a":1}}', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":5}', -32602),
]


@pytest.mark.parametrize(("body", "code"), BODIES)
async def test_wrong_messages_are_refused(rpc: Rpc, body: bytes, code: int) -> None:
    status, answer = await rpc.post(body)
    assert status == 200
    assert answer["error"]["code"] == code, answer


async def test_batches_are_answered_one_by_one(rpc: Rpc) -> None:
    batch: list[object] = [
        {"jsonrpc": "2.0", "id": "a", "method": "getHealth"},
        {"jsonrpc": "2.0", "method": "getHealth"},
        5,
        {"jsonrpc": "2.0", "id": None, "method": "getNothing", "params": []},
    ]
    answers = await rpc.message(batch)
    assert [answer.get("id") for answer in answers] == ["a", None, None]
    assert answers[0]["result"] == "ok"
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32600, -32601]
    status, nothing = await rpc.post(b'[{"jsonrpc":"2.0","method":"getHealth"}]')
    assert (status, nothing) == (200, "")


async def test_http_itself_is_checked(rpc: Rpc) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(rpc.url) as response:
            assert response.status == 405
        async with session.post(rpc.url, data="{}") as response:
            assert response.status == 415
    status, _ = await rpc.post(b'"' + b"x" * 60_000 + b'"')
    assert status == 413


async def test_broken_transactions_never_break_the_node(localnet: RunningChain, rpc: Rpc) -> None:
    """Every byte of good transactions is damaged in turn: always an answer of its kind."""
    user = localnet.keys["user"]
    chance = random.Random(7)
    blockhash = await rpc.blockhash()
    instruction = transfer(
        TransferParams(from_pubkey=user.pubkey(), to_pubkey=Keypair().pubkey(), lamports=1_000_000)
    )
    for version in (None, 0, 1):
        wire = bytes(signed([instruction], blockhash, user, version=version))
        for index in range(len(wire)):
            broken = bytearray(wire)
            broken[index] ^= 1 << chance.randrange(8)
            cut = bytes(broken) if index % 3 else bytes(broken[:index])
            for skip in (False, True):
                await send_broken(rpc, cut, skip=skip)
    assert await rpc.call("getHealth") == "ok"
    assert not localnet.failure.done()


async def send_broken(rpc: Rpc, wire: bytes, *, skip: bool) -> None:
    config = {"encoding": "base64", "skipPreflight": skip, "preflightCommitment": "processed"}
    answer = await rpc.ask("sendTransaction", base64.b64encode(wire).decode(), config)
    assert "result" in answer or answer["error"]["code"] in (-32602, -32002, -32003), answer


def anything(chance: random.Random, depth: int = 0) -> object:
    """Some JSON, with what the methods look for mixed in."""
    leaves: list[object] = [None, True, 0, -1, 2**63, 1.5, "", "x", KEY, SIGNATURE, "base64"]
    kind = chance.randrange(4 if depth < 3 else 2)
    if kind == 2:
        return [anything(chance, depth + 1) for _ in range(chance.randrange(3))]
    if kind == 3:
        return {chance.choice(MEMBERS): anything(chance, depth + 1) for _ in range(3)}
    return chance.choice(leaves)


MEMBERS = [
    "commitment",
    "minContextSlot",
    "encoding",
    "dataSlice",
    "offset",
    "length",
    "filters",
    "memcmp",
    "bytes",
    "dataSize",
    "before",
    "until",
    "limit",
    "accounts",
    "addresses",
    "mint",
    "programId",
    "rewards",
    "transactionDetails",
    "maxSupportedTransactionVersion",
    "sigVerify",
    "replaceRecentBlockhash",
    "innerInstructions",
]


@pytest.mark.parametrize("seed", range(3))
async def test_any_json_gets_an_answer(rpc: Rpc, seed: int) -> None:
    chance = random.Random(seed)
    for method in sorted({*READING, "requestAirdrop"} - {"localnet_advanceClock"}):
        for _ in range(40):
            params = [anything(chance) for _ in range(chance.randrange(1, 4))]
            answer = await rpc.ask(method, *params)
            assert "result" in answer or answer["error"]["code"] != -32603, (method, params)


@pytest.mark.parametrize("method", ["sendTransaction", "simulateTransaction"])
async def test_a_lookup_in_no_table_is_refused(
    localnet: RunningChain, rpc: Rpc, method: str
) -> None:
    user = localnet.keys["user"]
    table = MessageAddressTableLookup(Keypair().pubkey(), b"\x00", b"")
    plain = MessageV0.try_compile(user.pubkey(), [], [], Hash.default())
    message = MessageV0(plain.header, plain.account_keys, Hash.default(), [], [table])
    transaction = VersionedTransaction(message, [user])
    failed = await rpc.error(method, encoded(transaction), {"encoding": "base64"})
    assert failed.code == -32602
    assert "lookup table index is out of bounds" in failed.message


async def test_unsigned_and_foreign_signatures_are_refused(
    localnet: RunningChain, rpc: Rpc
) -> None:
    user, other = localnet.keys["user"], localnet.keys["operator"]
    instruction = transfer(
        TransferParams(from_pubkey=user.pubkey(), to_pubkey=other.pubkey(), lamports=5)
    )
    good = await rpc.sign([instruction], user)
    stolen = type(good).populate(good.message, [other.sign_message(b"something else")])
    failed = await rpc.error("sendTransaction", encoded(stolen), {"encoding": "base64"})
    assert (failed.code, failed.message) == (-32003, "Transaction signature verification failure")
