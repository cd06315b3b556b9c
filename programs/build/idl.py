"""Writes the interface in the two shapes clients read.

`bond.json` is spec 0.1.0 (today's TypeScript and Rust clients), `bond.legacy.json` the older shape
(the only one anchorpy reads). Both say the same; the program's address is left to whoever deploys.
"""

import json
import re

from programs.build.failure import BuildRefused
from programs.build.interface import Field, InstructionShape, Interface, Struct

VERSION = "0.1.0"
NO_ADDRESS = "11111111111111111111111111111111"
_NUMBERS = {"u8", "u16", "u32", "u64", "i64"}
_KEYS = {"Key", "UnalignedKey"}
_NUMBERS_BY_NAME = {"UnalignedU16": "u16"}
_BYTES_BY_NAME = {"Code": 8, "Hash": 32}
Json = dict[str, object]


def spec_idl(interface: Interface) -> str:
    """The text of `bond.json`."""
    tagged = (*interface.accounts, *interface.events)
    return _text(
        {
            "address": NO_ADDRESS,
            "metadata": {
                "name": "bond",
                "version": VERSION,
                "spec": "0.1.0",
                "description": "Bonds, till and roles of the clearing house",
            },
            "instructions": [_spec_instruction(each) for each in interface.instructions],
            "accounts": [_tagged(each) for each in interface.accounts],
            "events": [_tagged(each) for each in interface.events],
            "errors": _errors(interface),
            "types": [_spec_type(each) for each in (*tagged, *interface.types)],
        }
    )


def legacy_idl(interface: Interface) -> str:
    """The text of `bond.legacy.json`."""
    return _text(
        {
            "version": VERSION,
            "name": "bond",
            "instructions": [_legacy_instruction(each) for each in interface.instructions],
            "accounts": [_legacy_type(each) for each in interface.accounts],
            "types": [_legacy_type(each) for each in interface.types],
            "events": [_legacy_event(each) for each in interface.events],
            "errors": _errors(interface),
        }
    )


def _spec_instruction(shape: InstructionShape) -> Json:
    accounts: list[Json] = []
    for use in shape.accounts:
        account: Json = {"name": use.name, "docs": [use.docs]}
        if use.writable:
            account["writable"] = True
        if use.signer:
            account["signer"] = True
        accounts.append(account)
    return {
        "name": shape.name,
        "docs": [shape.docs],
        "discriminator": list(shape.discriminator),
        "accounts": accounts,
        "args": [{"name": each.name, "type": _type(each.kind)} for each in shape.arguments],
    }


def _legacy_instruction(shape: InstructionShape) -> Json:
    return {
        "name": _camel(shape.name),
        "docs": [shape.docs],
        "accounts": [
            {
                "name": _camel(use.name),
                "isMut": use.writable,
                "isSigner": use.signer,
                "docs": [use.docs],
            }
            for use in shape.accounts
        ],
        "args": [_legacy_field(each) for each in shape.arguments],
    }


def _tagged(struct: Struct) -> Json:
    return {"name": struct.name, "discriminator": list(struct.discriminator or b"")}


def _spec_type(struct: Struct) -> Json:
    fields = [
        {"name": each.name, "docs": [each.docs], "type": _type(each.kind)} for each in struct.fields
    ]
    kind: Json = {"kind": "struct", "fields": fields}
    return {"name": struct.name, "docs": [struct.docs], "type": kind}


def _legacy_type(struct: Struct) -> Json:
    fields = [{**_legacy_field(each), "docs": [each.docs]} for each in struct.fields]
    kind: Json = {"kind": "struct", "fields": fields}
    return {"name": struct.name, "docs": [struct.docs], "type": kind}


def _legacy_event(struct: Struct) -> Json:
    fields = [{**_legacy_field(each), "index": False} for each in struct.fields]
    return {"name": struct.name, "fields": fields}


def _legacy_field(field: Field) -> Json:
    return {"name": _camel(field.name), "type": _type(field.kind, legacy=True)}


def _errors(interface: Interface) -> list[Json]:
    return [
        {"code": each.code, "name": each.name, "msg": each.message} for each in interface.errors
    ]


def _type(kind: str, *, legacy: bool = False) -> object:
    if kind in _NUMBERS:
        return kind
    if kind in _KEYS:
        return "publicKey" if legacy else "pubkey"
    if kind in _NUMBERS_BY_NAME:
        return _NUMBERS_BY_NAME[kind]
    if kind in _BYTES_BY_NAME:
        return {"array": ["u8", _BYTES_BY_NAME[kind]]}
    array = re.fullmatch(r"\[(\w+); (\d+)\]", kind)
    if array is not None:
        return {"array": [_type(array[1], legacy=legacy), int(array[2])]}
    if re.fullmatch(r"[A-Z]\w+", kind) is None:
        raise BuildRefused(f"type {kind} has no place in an IDL")
    return {"defined": kind if legacy else {"name": kind}}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _text(idl: Json) -> str:
    return json.dumps(idl, indent=2, ensure_ascii=False) + "\n"
