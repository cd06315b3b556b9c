"""From names to bytes, by anchorpy and the IDL alone: data, accounts, their order, their flags."""

import json
from pathlib import Path

from anchorpy import Context, Idl, Program, Provider, Wallet
from anchorpy_core.idl import (
    IdlAccount,
    IdlInstruction,
    IdlType,
    IdlTypeArray,
    IdlTypeDefined,
    IdlTypeDefinitionTyStruct,
    IdlTypeSimple,
)
from failure import Failure, malformed
from pyheck import snake
from request import Fields, Ours, bytes_of, key_of
from solana.rpc.async_api import AsyncClient
from solders.instruction import AccountMeta, Instruction

_INTEGERS = {
    IdlTypeSimple.U8: (8, False),
    IdlTypeSimple.U16: (16, False),
    IdlTypeSimple.U32: (32, False),
    IdlTypeSimple.U64: (64, False),
    IdlTypeSimple.I64: (64, True),
}


def open_program(request: Fields, connection: AsyncClient) -> Program:
    """The program as its IDL describes it, at the address the request names."""
    path = Path(request.text("idl"))
    program_id = request.key("program_id")
    # The keys that sign are given to each transaction; anchorpy's own wallet never does.
    provider = Provider(connection, Wallet.dummy())
    try:
        return Program(Idl.from_json(path.read_text()), program_id, provider)
    except OSError as error:
        raise malformed(f"the IDL cannot be read: {error.strerror}") from None
    except Exception as error:  # its own kinds, which it does not export
        raise malformed(f"not a legacy IDL: {error}") from None


def encode(program: Program, wanted: Ours | Instruction) -> Instruction:
    """One instruction as the chain takes it. Raises `Failure`."""
    if isinstance(wanted, Instruction):
        return wanted
    shape = {snake(one.name): one for one in program.idl.instructions}.get(wanted.name)
    if shape is None:
        raise _wrong("UnknownInstruction", f"the IDL has no instruction {wanted.name}", wanted)
    _check_names(wanted, shape)
    values = [
        _value(program, argument.ty, wanted.args[snake(argument.name)], snake(argument.name))
        for argument in shape.args
    ]
    context = Context(accounts=dict(wanted.accounts), remaining_accounts=list(wanted.extra))
    made = program.instruction[wanted.name](*values, ctx=context)
    places = [snake(one.name) for one in shape.accounts]
    made = Instruction(made.program_id, made.data, _signing(made.accounts, places, wanted.signs))
    if wanted.expected is not None and made != wanted.expected:
        message = f"the IDL makes other bytes or accounts of {wanted.name} than those expected"
        raise Failure("Disagreement", message, facts={"instruction": wanted.name})
    return made


def _check_names(wanted: Ours, shape: IdlInstruction) -> None:
    """Every account and every argument is there, and none that the IDL does not have."""
    assert all(isinstance(one, IdlAccount) for one in shape.accounts), "no groups in this IDL"
    places = {snake(one.name) for one in shape.accounts}
    names = {snake(one.name) for one in shape.args}
    for kind, message, found in (
        ("MissingAccount", "needs the account", places - set(wanted.accounts)),
        ("UnknownAccount", "has no account", {*wanted.accounts, *wanted.signs} - places),
        ("WrongArgument", "needs the argument", names - set(wanted.args)),
        ("WrongArgument", "has no argument", set(wanted.args) - names),
    ):
        if found:
            raise _wrong(kind, f"{wanted.name} {message} {', '.join(sorted(found))}", wanted)


def _wrong(kind: str, message: str, wanted: Ours) -> Failure:
    return Failure(kind, message, exit_code=2, facts={"instruction": wanted.name})


def _signing(
    accounts: list[AccountMeta], places: list[str], signs: tuple[str, ...]
) -> list[AccountMeta]:
    return [
        AccountMeta(
            account.pubkey,
            account.is_signer or (at < len(places) and places[at] in signs),
            account.is_writable,
        )
        for at, account in enumerate(accounts)
    ]


def _value(program: Program, kind: IdlType, given: object, where: str) -> object:
    """A JSON value as anchorpy's layout of that type takes it."""
    if isinstance(kind, IdlTypeSimple) and kind in _INTEGERS:
        return _integer(given, *_INTEGERS[kind], where)
    if kind == IdlTypeSimple.PublicKey:
        return key_of(given, where)
    if isinstance(kind, IdlTypeArray) and kind.array[0] == IdlTypeSimple.U8:
        raw = bytes_of(given, where)
        if len(raw) != kind.array[1]:
            raise malformed(f"{where} is not {kind.array[1]} bytes")
        return list(raw)
    if isinstance(kind, IdlTypeDefined):
        return _struct(program, kind.defined, given, where)
    raise malformed(f"{where}: this client writes no {kind}")


def _struct(program: Program, name: str, given: object, where: str) -> dict[str, object]:
    shape = next(one.ty for one in program.idl.types if one.name == name)
    assert isinstance(shape, IdlTypeDefinitionTyStruct), "only structs are arguments"
    kinds = {snake(field.name): field.ty for field in shape.fields}
    if not isinstance(given, dict) or set(given) != set(kinds):
        raise malformed(f"{where} needs exactly {', '.join(kinds)}")
    return {
        field: _value(program, kind, given[field], f"{where}.{field}")
        for field, kind in kinds.items()
    }


def _integer(given: object, bits: int, signed: bool, where: str) -> int:
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not isinstance(given, int) or isinstance(given, bool) or not least <= given <= most:
        raise malformed(f"{where} is not a whole number of {bits} bits")
    return given


def in_json(instruction: Instruction) -> dict[str, object]:
    """An encoded instruction, as `expected` takes it back."""
    return {
        "program": str(instruction.program_id),
        "data": bytes(instruction.data).hex(),
        "accounts": [
            {"address": str(one.pubkey), "signs": one.is_signer, "written": one.is_writable}
            for one in instruction.accounts
        ],
    }


def errors_by_number(program: Program) -> dict[int, str]:
    """The names of the IDL's errors. anchorpy itself keeps their messages only."""
    return {one.code: one.name for one in program.idl.errors or []}


def as_text(answer: object) -> str:
    """One line."""
    return json.dumps(answer, separators=(",", ":"))
