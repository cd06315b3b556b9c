"""`pod` typed by somebody who holds a key file, against the embedded chain of the test.

The chain answers in the test's event loop, so the command runs in a thread of its own.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from typer.testing import CliRunner

from cli.main import commands
from localnet.embedded import RunningChain
from tests.chain.localnet.calls import Rpc


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command answered."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its one JSON object."""
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """Where words are typed."""

    chain: RunningChain
    rpc: Rpc
    keys: Path

    async def pod(self, *typed: str | Pubkey) -> Said:
        """Type `pod …` and wait for its end."""
        words = [str(word) for word in typed]
        result = await asyncio.to_thread(CliRunner().invoke, commands(words[:1]), words)
        return Said(exit_code=result.exit_code, out=result.stdout, err=result.stderr)

    async def as_(self, name: str, *typed: str | Pubkey) -> Said:
        """The same with a wallet's key, without questions, answered in JSON."""
        where = ("--rpc", self.chain.rpc_url, "--program", str(self.chain.program_id))
        who = ("--keypair", str(self.keys / f"{name}.json"))
        return await self.pod(*typed, *where, *who, "--yes", "--json")

    async def done(self, name: str, *typed: str | Pubkey) -> dict[str, Any]:
        """The same; it must have been carried out."""
        said = await self.as_(name, *typed)
        assert said.exit_code == 0, said.out + said.err
        assert said.json["status"] == "done", said.out
        return said.json

    async def refused(self, name: str, *typed: str | Pubkey) -> dict[str, Any]:
        """The same; it must have been refused, before or by the simulation."""
        said = await self.as_(name, *typed)
        assert said.exit_code == 1, said.out + said.err
        return said.json

    async def shown(self) -> dict[str, Any]:
        """What `pod admin show` says."""
        where = ("--rpc", self.chain.rpc_url, "--program", str(self.chain.program_id))
        said = await self.pod("admin", "show", *where, "--json")
        assert said.exit_code == 0, said.err
        return said.json

    async def pass_time(self, seconds: int) -> None:
        """Move the chain's clock, and wait until it is to be seen."""
        await self.rpc.call("localnet_advanceClock", seconds)
        await self.chain.advance(8)

    def address(self, name: str) -> Pubkey:
        """A wallet of localnet.toml."""
        return self.chain.keys[name].pubkey()

    def stranger(self, name: str) -> Keypair:
        """A key file of somebody nobody knows."""
        key = Keypair()
        write_key(self.keys / f"{name}.json", key)
        return key


def write_key(path: Path, key: Keypair) -> None:
    """A key file, as wallets keep them."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(list(bytes(key))))


async def initialized(terminal: Terminal) -> None:
    """Set the program up with the wallets of localnet.toml, by typing it."""
    roles = ("admin", "proposer", "arbiter", "guardian", "payer")
    named = [word for role in roles for word in (f"--{role}", terminal.address(role))]
    mint = ("--mint", terminal.chain.mint)
    await terminal.done("upgrade-authority", "admin", "initialize", *named, *mint)
