"""One of every instruction of the bond program, made from its table."""

from dataclasses import fields
from typing import Any, Final, cast

from settlement.chain import program
from settlement.chain.abi import SHAPES
from settlement.chain.instructions import instruction_name
from settlement.chain.layouts import Parameters
from settlement.money import MicroUsdc
from tests.pure.transactions import DEPLOYMENT, Call, call, key

CODE: Final = b"K7Qm2xZp"
EVIDENCE: Final = bytes(range(32))
# One value of each kind of argument.
VALUES: Final[dict[str, object]] = {
    "role": program.Role.GUARDIAN,
    "bit": program.PauseBit.SEIZURES,
    "u16": 513,
    "u64": 9,
    "amount": MicroUsdc(7),
    "key": key("argument"),
    "code": CODE,
    "hash": EVIDENCE,
    "reference": bytes(range(16)),
    "roles": program.InitialRoles(admin=key("first admin")),
    "parameters": Parameters(cooldown_seconds=604_800),
}


def sample(kind: type[program.ProgramInstruction]) -> program.ProgramInstruction:
    """An instruction of this class; an account is called after its place."""
    shape = SHAPES[instruction_name(kind)]
    values: dict[str, object] = {name: key(name) for name, _ in shape.accounts}
    values |= {name: VALUES[argument] for name, argument in shape.arguments}
    named = {field.name: values[field.name] for field in fields(kind)}
    return kind(**cast("dict[str, Any]", named))


def executed(instruction: program.ProgramInstruction, *children: Call) -> Call:
    """The instruction, carried out, with what it called."""
    return call(program.build(DEPLOYMENT, instruction), *children)
