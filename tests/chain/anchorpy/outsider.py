"""Somebody who uses the program through anchorpy alone, and what we read beside it."""

import re
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from cli.transaction.anchorpy import ask_anchorpy, by_name
from localnet.embedded import RunningChain
from settlement.chain import program
from settlement.chain.program import Deployment, ProgramInstruction
from settlement.chain.rpc import RpcClient

Answer = dict[str, Any]
_UNREAD = {"version", "bump", "reserved"}


@dataclass(frozen=True, kw_only=True)
class Outsider:
    """Requests to the other environment, against one chain."""

    chain: RunningChain
    keys: Path
    deployment: Deployment

    async def ask(self, do: str, **fields: object) -> Answer:
        """Any request about the program on this chain."""
        request = {"do": do, "rpc": self.chain.rpc_url, **fields}
        return await ask_anchorpy(self.deployment.program_id, request)

    async def transact(
        self, do: str, wanted: ProgramInstruction | Instruction, *names: str, **fields: object
    ) -> Answer:
        """Simulate or send one instruction, signed by the wallets of these names."""
        built = wanted
        if not isinstance(built, Instruction):
            built = program.build(self.deployment, built)
        return await self.ask(
            do,
            **{
                "instructions": [by_name(self.deployment.program_id, built)],
                "payer": str(self.chain.keys[names[0]].pubkey()),
                "keys": [str(self.keys / f"{name}.json") for name in names],
                **fields,
            },
        )

    async def send(self, wanted: ProgramInstruction | Instruction, *names: str) -> Answer:
        """Send it until it is final."""
        answer = await self.transact("send", wanted, *names)
        assert "error" not in answer, answer
        return answer

    async def refusal(self, wanted: ProgramInstruction | Instruction, *names: str) -> str:
        """The name of the program's error, sent and simulated."""
        sent = await self.transact("send", wanted, *names)
        tried = await self.transact("simulate", wanted, *names)
        for answer in (sent, tried):
            assert answer["error"] == "Refused", answer
            assert program.ERRORS[answer["number"]] == answer["name"]
        assert sent["name"] == tried["name"]
        return str(sent["name"])

    async def agree(self, rpc: RpcClient, *addresses: Pubkey) -> None:
        """Every account reads the same through anchorpy and through our own table."""
        answer = await self.ask("accounts", addresses=[str(one) for one in addresses])
        assert "error" not in answer, answer
        for address, told in zip(addresses, answer["accounts"], strict=True):
            found = (await rpc.account(address)).account
            assert found is not None
            ours = as_idl(program.decode_account(found.data))
            theirs = {name: value for name, value in told["fields"].items() if name not in _UNREAD}
            if told["kind"] == "Tombstone":
                ours = {name: ours[name] for name in theirs}
            assert theirs == ours, told["kind"]


def as_idl(account: object) -> Answer:
    """What we read, by the names and in the nesting of the IDL."""
    found = cast("Answer", _plain(account))
    if "pauses" in found:
        found |= {f"{name}_pause": value for name, value in found.pop("pauses").items()}
    if "evidence_used" in found:
        used = found["evidence_used"]
        found["evidence_count"] = len(used)
        found["evidence_used"] = [*used, *([[0] * 32] * (3 - len(used)))]
    if "paid_count" in found:
        found["ring"] = {name: found.pop(name) for name in ("base", "used", "paid")}
        found["spending"] = {
            "half_started_at": found.pop("half_window_started_at"),
            "current": found.pop("half_window_spent"),
            "previous": found.pop("previous_half_window_spent"),
        }
        approval = {
            name: found.pop(f"approved_{name}")
            for name in ("sequence", "amount", "destination", "reference")
        }
        found["approval"] = {**approval, "expires_at": found.pop("approval_expires_at")}
    return found


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {
            re.sub(r"_(microusdc|seconds)$", "", field.name): _plain(getattr(value, field.name))
            for field in fields(value)
        }
    if isinstance(value, Pubkey):
        return str(value)
    if isinstance(value, IntEnum):
        return value.value
    if isinstance(value, (bytes, tuple)):
        return [_plain(one) for one in cast("tuple[object, ...]", value)]
    return value
