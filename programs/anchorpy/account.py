"""Accounts of the program, read and decoded by anchorpy. Bytes are lists of numbers."""

from dataclasses import fields, is_dataclass

from anchorpy import Program
from failure import Failure, malformed
from node import asked
from request import Fields, key_of
from solana.rpc.commitment import Commitment
from solders.account import Account
from solders.pubkey import Pubkey

_COMMITMENTS = ("processed", "confirmed", "finalized")


async def read_accounts(program: Program, request: Fields) -> dict[str, object]:
    """Their kinds, their fields by the IDL's names, and the slot they were read at."""
    texts = request.texts("addresses")
    addresses = [key_of(text, f"request.addresses[{at}]") for at, text in enumerate(texts)]
    if not addresses:
        raise malformed("request.addresses is empty")
    commitment = request.text("commitment") if request.has("commitment") else "finalized"
    if commitment not in _COMMITMENTS:
        raise malformed(f"request.commitment is none of {', '.join(_COMMITMENTS)}")
    call = program.provider.connection.get_multiple_accounts(addresses, Commitment(commitment))
    told = await asked(program, call)
    found = [
        _decoded(program, address, account)
        for address, account in zip(addresses, told.value, strict=True)
    ]
    return {"accounts": found, "slot": told.context.slot}


def _decoded(program: Program, address: Pubkey, account: Account | None) -> dict[str, object]:
    if account is None:
        raise Failure("NoAccount", f"there is no account {address}")
    if account.owner != program.program_id:
        raise _wrong(address, f"owned by {account.owner}")
    data = bytes(account.data)
    coder = program.coder.accounts
    name = coder.discriminator_to_acc_name.get(data[:8])
    if name is None:
        raise _wrong(address, "the IDL has no account that begins so")
    if len(data) != program.account[name].size:
        raise _wrong(address, f"a {name} has {program.account[name].size} bytes, not {len(data)}")
    return {"kind": name, "fields": _plain(coder.decode(data))}


def _wrong(address: Pubkey, problem: str) -> Failure:
    return Failure("WrongAccount", f"{address} is no account of the program: {problem}")


def _plain(value: object) -> object:
    if isinstance(value, Pubkey):
        return str(value)
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
