"""Sending through anchorpy, a client that shares nothing with ours but the program's IDL.

It lives in an environment of its own (`scripts/install --anchorpy`) and is told names and values,
never our bytes: it encodes, signs, sends and reads by itself (`programs/anchorpy`). Key files it
opens itself; no secret goes through here.

For `--client anchorpy`: `partial(send_with_anchorpy, place.rpc)` takes and returns what
`carry_out.send` does and raises its errors, so the one can stand in the other's place once the plan
was confirmed. What was shown to the person is sent along, and the client refuses to sign when its
own bytes are others. `partial(try_with_anchorpy, place.rpc)` is the same for a dry run.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final, cast

from rich.console import Console
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from cli.transaction.carry_out import ChainSaidNo, NotFinal
from cli.transaction.keys import KeyMissing, WalletKey
from cli.transaction.meanings import MEANINGS, explain
from cli.transaction.proposal import Proposal
from cli.transaction.simulate import Trial, budgeted
from cli.transaction.target import Target
from cli.wallet import Landed
from cli.workspace import ROOT
from settlement.chain.abi import SHAPES, InitialRoles
from settlement.chain.instructions import decode_instruction, instruction_name
from settlement.chain.layouts import Parameters
from settlement.errors import NotFound, Refused, Unavailable
from settlement.money import Slot

PYTHON: Final = ROOT / ".venv-anchorpy/bin/python"
_CLIENT: Final = ROOT / "programs/anchorpy"
_IDL: Final = ROOT / "programs/bond/idl/bond.legacy.json"
_UNITS: Final = ("_microusdc", "_seconds")  # in our names, not in the IDL's

Request = Mapping[str, object]
Answer = dict[str, object]


class AnchorpyMissing(NotFound):
    """The independent client is not installed: run `scripts/install --anchorpy`."""


class AnchorpyFailed(Unavailable):
    """The independent client could not do what was asked; nothing was signed."""


class AnchorpyDisagrees(Refused):
    """The independent client makes other bytes of this instruction than those that were shown:
    nothing was signed. The IDL and our table of the program are not the same."""


async def send_with_anchorpy(
    rpc_url: str,
    target: Target,
    proposal: Proposal,
    trial: Trial,
    keys: Sequence[WalletKey],
    *,
    console: Console,
    python: Path = PYTHON,
) -> Landed:
    """Let anchorpy encode, sign and send until it is final; its signature is told before.

    Raises `AnchorpyMissing`, `AnchorpyDisagrees`, `AnchorpyFailed`, `KeyMissing`, `ChainSaidNo` or
    `NotFinal`.
    """
    program_id = target.deployment.program_id
    request = {
        "do": "send",
        "keys": [str(path) for path in _key_files(proposal, keys)],
        **_whole(rpc_url, program_id, proposal, trial),
    }
    sent: list[str] = []

    def told(signature: str) -> None:
        sent.append(signature)
        console.print(f"  sent as          {signature}  (by anchorpy)", markup=False)

    try:
        answer = await ask_anchorpy(program_id, request, told=told, python=python)
    except AnchorpyFailed as failure:
        if sent:  # it died on the way: what it sent may be carried out all the same
            raise NotFinal(problem=str(failure), signature=sent[-1]) from None
        raise
    if "error" in answer:
        tried = budgeted(proposal.instructions, trial.limit_units, trial.price_microlamports)
        raise _meant(answer, program_id, tried, sent)
    return Landed(signature=str(answer["signature"]), slot=Slot(cast("int", answer["slot"])))


async def try_with_anchorpy(
    rpc_url: str,
    target: Target,
    proposal: Proposal,
    trial: Trial,
    *,
    console: Console,
    python: Path = PYTHON,
) -> dict[str, object]:
    """Let anchorpy encode and simulate the plan, without keys; what it says, told and returned.

    Raises `AnchorpyMissing`, `AnchorpyDisagrees` or `AnchorpyFailed`.
    """
    program_id = target.deployment.program_id
    request = {"do": "simulate", **_whole(rpc_url, program_id, proposal, trial)}
    answer = await ask_anchorpy(program_id, request, python=python)
    if "error" not in answer:
        console.print(f"  by anchorpy      would succeed, {answer['units']} units", markup=False)
        return {"client": "anchorpy", "succeeds": True, "units": answer["units"]}
    tried = budgeted(proposal.instructions, trial.limit_units, trial.price_microlamports)
    why = _meant(answer, program_id, tried, ())
    if not isinstance(why, ChainSaidNo):
        raise why
    error, meaning = why.details["error"], why.details["meaning"]
    console.print(f"  by anchorpy      would fail: {error}: {meaning}", markup=False)
    return {"client": "anchorpy", "succeeds": False, "error": error, "meaning": meaning}


def _whole(rpc_url: str, program_id: Pubkey, proposal: Proposal, trial: Trial) -> Request:
    """The transaction that was shown, in names."""
    return {
        "rpc": rpc_url,
        "payer": str(proposal.payer),
        "compute_units": trial.limit_units,
        "price_microlamports": trial.price_microlamports,
        "instructions": [
            by_name(program_id, each, as_shown=True) for each in proposal.instructions
        ],
    }


async def ask_anchorpy(
    program_id: Pubkey,
    request: Request,
    *,
    told: Callable[[str], None] = lambda _signature: None,
    python: Path = PYTHON,
) -> Answer:
    """One request to the other environment, one answer; `told` hears each signature sent.

    Raises `AnchorpyMissing`, or `AnchorpyFailed` where it ends without an answer.
    """
    whole = {"idl": str(_IDL), "program_id": str(program_id), **request}
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-I", str(_CLIENT)),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=_environment(),
        )
    except FileNotFoundError:
        raise AnchorpyMissing from None
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(whole).encode())
        process.stdin.close()
        output, noise = await asyncio.gather(process.stdout.read(), _listen(process.stderr, told))
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return cast("Answer", json.loads(output))
    except ValueError:
        if noise.startswith("ModuleNotFoundError"):  # half made, or of another lock file
            raise AnchorpyMissing from None
        raise AnchorpyFailed(exit_code=process.returncode, problem=noise) from None


async def _listen(lines: AsyncIterator[bytes], told: Callable[[str], None]) -> str:
    """Hear what was sent; the last line that is something else, for when it ends badly."""
    last = ""
    async for line in lines:
        text = line.decode(errors="replace").strip()
        if text.startswith('{"sent":'):
            told(json.loads(text)["sent"])
        elif text:
            last = text
    return last


def _environment() -> dict[str, str]:
    """Ours, without proxies: our own client asks the node directly, and so must this one."""
    return {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }


def by_name(program_id: Pubkey, instruction: Instruction, *, as_shown: bool = False) -> Answer:
    """A built instruction as anchorpy is asked for it: names and values in place of bytes.

    `as_shown` has the client compare its own bytes with these before it signs.
    """
    if instruction.program_id != program_id:
        return {"program": str(instruction.program_id), **_bytes_of(instruction)}
    accounts = list(instruction.accounts)
    meant = decode_instruction(bytes(instruction.data), [one.pubkey for one in accounts])
    name = instruction_name(type(meant))
    shape = SHAPES[name]
    named = list(zip(shape.accounts, accounts, strict=False))
    asked: Answer = {
        "name": name,
        "args": _values({argument: getattr(meant, argument) for argument, _ in shape.arguments}),
        "accounts": {place: str(one.pubkey) for (place, _), one in named},
        "signs": [place for (place, flags), one in named if one.is_signer and "s" not in flags],
        "extra": [_account(one) for one in accounts[len(named) :]],
    }
    return asked | {"expected": _bytes_of(instruction)} if as_shown else asked


def _bytes_of(instruction: Instruction) -> Answer:
    return {
        "data": bytes(instruction.data).hex(),
        "accounts": [_account(one) for one in instruction.accounts],
    }


def _account(one: AccountMeta) -> Answer:
    return {"address": str(one.pubkey), "signs": one.is_signer, "written": one.is_writable}


def _values(arguments: Mapping[str, object]) -> Answer:
    """Arguments by the IDL's names: no units, the first roles one by one, bytes as hex."""
    found: Answer = {}
    for name, value in arguments.items():
        if isinstance(value, InitialRoles):
            found |= _values(vars(value))
        else:
            found[_without_unit(name)] = _value(value)
    return found


def _value(value: object) -> object:
    match value:
        case Parameters():
            return _values(vars(value))
        case Pubkey():
            return str(value)
        case bytes():
            return value.hex()
        case IntEnum():
            return value.value
        case _:
            return value


def _without_unit(name: str) -> str:
    for unit in _UNITS:
        name = name.removesuffix(unit)
    return name


def _key_files(proposal: Proposal, keys: Sequence[WalletKey]) -> list[Path]:
    """The files of the keys that must sign, and of no others."""
    files = {key.address: key.path for key in keys}
    found = {address: files.get(address) for address in proposal.signers_needed}
    missing = [str(address) for address, path in found.items() if path is None]
    if missing:
        raise KeyMissing(missing=", ".join(missing))
    return [path.resolve() for path in found.values() if path is not None]


def _meant(
    answer: Answer, program_id: Pubkey, tried: Sequence[Instruction], sent: Sequence[str]
) -> Exception:
    """Its answer as the error that our own sending would raise."""
    match answer["error"]:
        case "Refused":
            name = str(answer["name"])
            why = explain(answer["err"], tried, program_id)
            if name in MEANINGS:
                meaning = MEANINGS[name]
            elif why is not None:
                name, meaning = why.name, why.meaning
            else:
                name, meaning = "Refused", str(answer["message"])
            return ChainSaidNo(error=name, meaning=meaning, signature=answer.get("signature"))
        case "Disagreement":
            return AnchorpyDisagrees(instruction=answer["instruction"])
        case kind if sent:
            return NotFinal(problem=f"{kind}: {answer['message']}", signature=sent[-1])
        case kind:
            return AnchorpyFailed(error=kind, problem=answer["message"])
