"""A chain on which scenes are played, and what a node answers about each of them.

A scene is one transaction with a name and a reason. Whoever and whatever appears in it has a name,
so that what a decoder makes of it can be told without addresses, which differ each time.
"""

import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from localnet.embedded import RunningChain, cluster_server, quick_settings
from settlement.chain import program
from settlement.chain.program import Deployment, InitialParameters, InitialRoles
from tests.chain.localnet.calls import Rpc, create_token_account, send_sol, signed
from tests.chain.recordings.recording import Recording
from tests.chain.recordings.tokens import checked
from tests.program.calls.build import CALLER
from tests.program.calls.foreign import Foreign

USER_CODE: Final = bytes.fromhex("bcb1d3eaddb99251")
OTHER_CODE: Final = bytes.fromhex("0011223344556677")
BOND_CODE: Final = b"K7QM2XZP"
BOND: Final = 50_000_000
DAY_SECONDS: Final = 86_400
_ROLES: Final = ("admin", "proposer", "arbiter", "guardian", "payer")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One transaction that landed."""

    name: str
    why: str
    signature: Signature


class NoBlockHoldsIt(Exception):
    """The node took the transaction, and no block will contain it."""


@dataclass(kw_only=True)
class Stage:
    """The chain, who plays, and the scenes so far."""

    chain: RunningChain
    rpc: Rpc
    deployment: Deployment
    foreign: Foreign
    names: dict[str, str] = field(default_factory=dict)
    scenes: list[Scene] = field(default_factory=list)

    def wallet(self, name: str) -> Keypair:
        """A wallet of localnet.toml."""
        return self.chain.keys[name]

    def key(self, name: str) -> Pubkey:
        """Its address."""
        return self.wallet(name).pubkey()

    def ata(self, owner: str | Pubkey) -> Pubkey:
        """The token account of a wallet."""
        address = owner if isinstance(owner, Pubkey) else self.key(owner)
        return program.associated_token_address(address, self.deployment.mint)

    def named(self, name: str, address: Pubkey) -> Pubkey:
        """Give an address a name."""
        self.names[str(address)] = name
        return address

    async def person(self, name: str, amount: int = 0) -> Keypair:
        """Somebody new, with some SOL and a token account that holds this much."""
        someone = Keypair()
        self.named(name, someone.pubkey())
        tokens = self.named(f"{name}'s tokens", self.ata(someone.pubkey()))
        user, mint = self.wallet("user"), self.deployment.mint
        await self.aside(
            send_sol(user, someone.pubkey(), 100_000_000),
            create_token_account(user.pubkey(), someone.pubkey(), mint),
        )
        if amount:
            await self.aside(checked(self.ata("user"), mint, tokens, user.pubkey(), amount))
        return someone

    def build(self, instruction: program.ProgramInstruction) -> Instruction:
        """An instruction of the bond program."""
        return program.build(self.deployment, instruction)

    async def aside(self, *instructions: Instruction, by: Sequence[Keypair] = ()) -> None:
        """A transaction that is no scene."""
        await self._land(await self._signed(instructions, by, None, ()), fails=False)

    async def scene(
        self,
        name: str,
        why: str,
        *instructions: Instruction,
        by: Sequence[Keypair] = (),
        version: int | None = None,
        tables: Sequence[AddressLookupTableAccount] = (),
        fails: bool = False,
    ) -> None:
        """Play a scene; paid for and signed by `user` unless said otherwise."""
        transaction = await self._signed(instructions, by, version, tables)
        signature = await self._land(transaction, fails=fails)
        self.scenes.append(Scene(name=name, why=why, signature=signature))

    async def _signed(
        self,
        instructions: Sequence[Instruction],
        by: Sequence[Keypair],
        version: int | None,
        tables: Sequence[AddressLookupTableAccount],
    ) -> VersionedTransaction:
        """The same transaction can land again under another blockhash only."""
        signers = list(by) or [self.wallet("user")]
        while True:
            blockhash = await self.rpc.blockhash()
            if tables:
                payer = signers[0].pubkey()
                message = MessageV0.try_compile(payer, [*instructions], [*tables], blockhash)
                made = VersionedTransaction(message, signers)
            else:
                made = signed(instructions, blockhash, *signers, version=version)
            if self.chain.cluster.history.get(made.signatures[0]) is None:
                return made
            await self.chain.advance(1)

    async def _land(self, transaction: VersionedTransaction, *, fails: bool) -> Signature:
        signature = await self.rpc.send(transaction, skip_preflight=fails)
        if self.chain.cluster.history.get(signature) is None:
            raise NoBlockHoldsIt
        return signature

    async def wait(self, days: int) -> None:
        """Chain time passes."""
        await self.rpc.call("localnet_advanceClock", days * DAY_SECONDS + 1)

    async def recorded(self) -> list[Recording]:
        """All scenes with what the node answered."""
        return [
            Recording(
                name=scene.name,
                why=scene.why,
                signature=str(scene.signature),
                program_id=str(self.deployment.program_id),
                mint=str(self.deployment.mint),
                names=dict(self.names),
                answer=await self._answer(scene),
            )
            for scene in self.scenes
        ]

    async def _answer(self, scene: Scene) -> dict[str, Any]:
        """What the node says about a scene, asked as the indexer asks."""
        await self.chain.until_finalized(scene.signature)
        config = {
            "commitment": "finalized",
            "encoding": "json",
            "maxSupportedTransactionVersion": 1,
        }
        return await self.rpc.call("getTransaction", str(scene.signature), config)

    def _name_what_is_known(self) -> None:
        deployment = self.deployment
        for name in self.chain.keys:
            self.named(name, self.key(name))
            self.named(f"{name}'s tokens", self.ata(name))
        self.named("till", deployment.till_vault)
        self.named("till authority", deployment.till_authority)
        self.named("bond vault", deployment.bond_vault)
        self.named("escrow", deployment.escrow)
        self.named("config", deployment.config)
        self.named("payouts", deployment.payouts)
        self.named("bond program", deployment.program_id)
        self.named("mint", deployment.mint)
        self.named("foreign program", self.foreign.program_id)
        self.named("nobody", Pubkey.default())

    def initialize(self) -> Instruction:
        """The deployment's first instruction."""
        authority = self.key("upgrade-authority")
        return program.initialize(
            self.deployment,
            upgrade_authority=authority,
            funder=authority,
            roles=InitialRoles(**{name: self.key(name) for name in _ROLES}),
            parameters=InitialParameters(),
        )


@asynccontextmanager
async def opened(*, initialized: bool = True) -> AsyncGenerator[Stage]:
    """A new chain with the bond program, a foreign program, and the wallets of localnet.toml."""
    settings = quick_settings(Path("localnet.toml"))
    with tempfile.TemporaryDirectory() as folder:
        data, keys = Path(folder) / "chain", Path(folder) / "keys"
        async with (
            cluster_server(settings, data=data, keys=keys) as chain,
            Rpc(chain.rpc_url) as rpc,
        ):
            assert chain.program_id is not None
            foreign = Foreign(program_id=Pubkey.new_unique())
            authority = chain.keys["upgrade-authority"].pubkey()
            chain.cluster.engine.program_accounts(
                foreign.program_id, CALLER.read_bytes(), authority
            )
            stage = Stage(
                chain=chain,
                rpc=rpc,
                deployment=Deployment(chain.program_id, chain.mint),
                foreign=foreign,
            )
            stage._name_what_is_known()
            if initialized:
                await stage.aside(stage.initialize(), by=[stage.wallet("upgrade-authority")])
            yield stage
