"""What the independent client answers to requests that are wrong: a word for it, and code 2.

Encoding needs no chain, so most of these ask nobody.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from cli.transaction.anchorpy import PYTHON, by_name
from cli.workspace import ROOT
from settlement.chain import program

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]

DEPLOYMENT = program.Deployment(Pubkey.new_unique(), Pubkey.new_unique())
WALLET = Keypair()
CLOSED = "http://127.0.0.1:1"  # nobody listens there
GONE = object()
RIGHT = {
    "skip": program.skip(DEPLOYMENT, signer=WALLET.pubkey(), first=1, mask=3),
    "retire": program.retire(
        DEPLOYMENT, signer=WALLET.pubkey(), code=b"Operator", beneficiary=WALLET.pubkey()
    ),
    "set_params": program.build(
        DEPLOYMENT,
        program.SetParams(admin=WALLET.pubkey(), parameters=program.InitialParameters()),
    ),
}
Json = dict[str, Any]


async def run(raw: bytes) -> tuple[int | None, Json]:
    """Exit code and answer; nothing but the answer may be printed."""
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), "-I", str(ROOT / "programs/anchorpy")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, noise = await process.communicate(raw)
    assert noise == b"", noise.decode()
    return process.returncode, json.loads(output)


def request(**changed: object) -> Json:
    """A right request to encode."""
    wanted: Json = {
        "do": "encode",
        "idl": str(ROOT / "programs/bond/idl/bond.legacy.json"),
        "program_id": str(DEPLOYMENT.program_id),
        "instructions": [by_name(DEPLOYMENT.program_id, RIGHT["skip"])],
    }
    return wanted | changed


def spoiled(name: str, path: str, value: object) -> bytes:
    """A right request with one place of its one instruction changed, or taken out (`GONE`)."""
    wanted = request(instructions=[by_name(DEPLOYMENT.program_id, RIGHT[name])])
    *folders, last = path.split(".")
    place = wanted["instructions"][0]
    for folder in folders:
        place = place[folder]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return json.dumps(wanted).encode()


@pytest.mark.parametrize("name", list(RIGHT))
async def test_the_request_that_the_others_spoil_is_right(name: str) -> None:
    code, answer = await run(spoiled(name, "extra", []))
    assert code == 0, answer


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "request.do is missing"),
        (b'{"do": 5}', "request.do is not a string"),
        (b'{"do": "steal"}', "request.do is none of"),
        (b'{"do": "encode"}', "is missing"),
        (b'{"do": "encode", "seed": 1}', "no field seed"),
    ],
)
async def test_what_is_no_request(raw: bytes, told: str) -> None:
    code, answer = await run(raw)
    assert (code, answer["error"]) == (2, "MalformedRequest")
    assert told in answer["message"]


async def test_an_idl_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xff")
    (tmp_path / "idl.json").write_text('{"version": "0.1.0"}')
    spec = ROOT / "programs/bond/idl/bond.json"  # of newer tools, which this client cannot read
    names = ("bytes.json", "idl.json", "nothing.json", ".")
    for path in (spec, *(tmp_path / name for name in names)):
        code, answer = await run(json.dumps(request(idl=str(path))).encode())
        assert (code, answer["error"]) == (2, "MalformedRequest")
        assert "IDL" in answer["message"], path


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"program_id": "0OIl"}, "request.program_id is not an address"),
        ({"instructions": []}, "request.instructions is empty"),
        ({"instructions": {}}, "request.instructions is not a list"),
        ({"instructions": ["skip"]}, "instructions[0] is not an object"),
        ({"instructions": [{"program": "x"}]}, "instructions[0].program is not an address"),
        ({"do": "simulate", "rpc": "ftp://there"}, "request.rpc is no http URL"),
        ({"do": "simulate"}, "request.rpc is missing"),
        ({"do": "send", "rpc": CLOSED}, "request.payer is missing"),
        ({"do": "send", "rpc": CLOSED, "compute_units": -1}, "compute_units is not a whole"),
        ({"do": "send", "rpc": CLOSED, "compute_units": True}, "compute_units is not a whole"),
        (
            {"do": "send", "rpc": CLOSED, "payer": str(WALLET.pubkey()), "keys": [5]},
            "request.keys is not a list of strings",
        ),
        ({"do": "accounts", "rpc": CLOSED}, "request.addresses is empty"),
        ({"do": "accounts", "rpc": CLOSED, "addresses": ["?"]}, "addresses[0] is not an address"),
        (
            {
                "do": "accounts",
                "rpc": CLOSED,
                "addresses": [str(WALLET.pubkey())],
                "commitment": "maybe",
            },
            "request.commitment is none of",
        ),
    ],
)
async def test_a_field_that_is_wrong(changed: Json, told: str) -> None:
    code, answer = await run(json.dumps(request(**changed)).encode())
    assert (code, answer["error"]) == (2, "MalformedRequest")
    assert told in answer["message"]


WRONG_INSTRUCTIONS: list[tuple[str, object, str, str]] = [
    ("name", "steal", "UnknownInstruction", "no instruction steal"),
    ("name", "acceptAdmin", "UnknownInstruction", "acceptAdmin"),
    ("accounts.payouts", GONE, "MissingAccount", "skip needs the account payouts"),
    ("accounts.more", str(DEPLOYMENT.mint), "UnknownAccount", "no account more"),
    ("signs", ["till"], "UnknownAccount", "no account till"),
    ("accounts.config", "x", "MalformedRequest", "accounts.config is not an address"),
    ("accounts.config", None, "MalformedRequest", "accounts.config is not an address"),
    ("args.mask", GONE, "WrongArgument", "needs the argument mask"),
    ("args.more", 1, "WrongArgument", "has no argument more"),
    ("args.mask", -1, "MalformedRequest", "mask is not a whole number of 64 bits"),
    ("args.mask", 1 << 64, "MalformedRequest", "mask is not a whole number of 64 bits"),
    ("args.mask", "3", "MalformedRequest", "mask is not a whole"),
    ("args.mask", True, "MalformedRequest", "mask is not a whole"),
    ("args.mask", 1.5, "MalformedRequest", "mask is not a whole"),
    ("extra", [{}], "MalformedRequest", "extra[0].address is missing"),
    ("expected", {}, "MalformedRequest", "expected.data is missing"),
    ("note", "hello", "MalformedRequest", "has no field note"),
]


@pytest.mark.parametrize(("path", "value", "error", "told"), WRONG_INSTRUCTIONS)
async def test_an_instruction_that_is_wrong(
    path: str, value: object, error: str, told: str
) -> None:
    code, answer = await run(spoiled("skip", path, value))
    assert (code, answer["error"]) == (2, error), answer
    assert told in answer["message"]


@pytest.mark.parametrize("value", ["zz" * 8, "00" * 7, "00" * 9, 5, None])
async def test_bytes_that_are_wrong(value: object) -> None:
    code, answer = await run(spoiled("retire", "args.code", value))
    assert (code, answer["error"]) == (2, "MalformedRequest")
    assert "code is not" in answer["message"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("args.parameters", 5),
        ("args.parameters.cooldown", GONE),
        ("args.parameters.more", 1),
        ("args.parameters.cooldown", 1 << 63),
        ("args.parameters.cooldown", -(1 << 63) - 1),
    ],
)
async def test_a_struct_that_is_wrong(path: str, value: object) -> None:
    code, answer = await run(spoiled("set_params", path, value))
    assert (code, answer["error"]) == (2, "MalformedRequest")
    assert "parameters" in answer["message"]


@pytest.mark.parametrize("spoil", ["nothing", "data", "address", "flag", "count"])
async def test_other_bytes_than_those_that_were_shown(spoil: str) -> None:
    """Said before anybody is asked for a signature."""
    built = by_name(DEPLOYMENT.program_id, RIGHT["skip"], as_shown=True)
    shown: Json = json.loads(json.dumps(built))["expected"]
    match spoil:
        case "data":
            shown["data"] = shown["data"][:-2] + "01"
        case "address":
            shown["accounts"][1]["address"] = str(Pubkey.new_unique())
        case "flag":
            shown["accounts"][2]["written"] = True
        case "count":
            shown["accounts"].pop()
        case _:
            pass
    code, answer = await run(spoiled("skip", "expected", shown))
    if spoil == "nothing":
        assert code == 0
    else:
        assert (code, answer["error"], answer["instruction"]) == (1, "Disagreement", "skip")
