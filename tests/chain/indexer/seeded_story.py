"""What people do on the chain while it misbehaves: the same steps in every run.

Whoever wants something done sends it until it is there: the same bytes again and again, and others
only when those can never land any more. So each step happens exactly once, whatever is dropped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from localnet.adversary.manual import ManualChain
from localnet.seed import Keys
from settlement.chain import program
from settlement.chain.program import Deployment, InitialParameters, InitialRoles
from settlement.money import MicroUsdc
from tests.chain.indexer.conftest import batch, memo, plain_transfer
from tests.chain.localnet.calls import signed

USDC = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Step:
    """One transaction, sent from the `at`-th tick of the story on."""

    label: str
    at: int
    instructions: Sequence[Instruction]
    signer: str = "user"
    version: int | None = None


@dataclass(kw_only=True)
class Senders:
    """Sends steps until they are finalized. `labels` knows every signature that was ever made."""

    chain: ManualChain
    keyring: Keys
    waiting: dict[str, tuple[Step, VersionedTransaction]] = field(
        default_factory=dict[str, tuple[Step, VersionedTransaction]]
    )
    labels: dict[str, str] = field(default_factory=dict[str, str])

    def send(self, step: Step) -> None:
        """Begin."""
        self.waiting[step.label] = (step, self._signed(step))

    def tick(self) -> None:
        """Send again what is not there, sign again what is dead, forget what is final."""
        cluster = self.chain.cluster
        final = cluster.bank("finalized")
        for label, (step, transaction) in list(self.waiting.items()):
            entry = cluster.history.get(transaction.signatures[0])
            if entry is not None:
                if entry.slot <= final.slot:
                    del self.waiting[label]
                continue
            blockhash = bytes(transaction.message.recent_blockhash)
            is_known = cluster.blockhashes.is_valid(
                blockhash, cluster.bank("processed").newest_block
            )
            if not is_known and not cluster.blockhashes.is_valid(blockhash, final.newest_block):
                transaction = self._signed(step)
                self.waiting[label] = (step, transaction)
            cluster.execute(transaction, bytes(transaction))

    def _signed(self, step: Step) -> VersionedTransaction:
        # A finalized blockhash is on every fork.
        cluster = self.chain.cluster
        blockhash = cluster.timeline.blockhash(cluster.bank("finalized").newest_block)
        made = signed(
            step.instructions,
            Hash.from_bytes(blockhash),
            self.keyring.wallets[step.signer],
            version=step.version,
        )
        self.labels[str(made.signatures[0])] = step.label
        return made


def beginning(deployment: Deployment, wallets: Mapping[str, Keypair]) -> Step:
    """The program is set up."""
    roles = {
        name: wallets[name].pubkey()
        for name in ("admin", "proposer", "arbiter", "guardian", "payer")
    }
    authority = wallets["upgrade-authority"].pubkey()
    made = program.initialize(
        deployment,
        upgrade_authority=authority,
        funder=authority,
        roles=InitialRoles(**roles),
        parameters=InitialParameters(),
    )
    return Step(label="initialize", at=0, instructions=[made], signer="upgrade-authority")


def story(
    deployment: Deployment, wallets: Mapping[str, Keypair], *, user_code: bytes, bond_code: bytes
) -> list[Step]:
    """Deposits of every kind, bond money, strays, and what fails."""
    owner = wallets["user"].pubkey()
    source = program.associated_token_address(owner, deployment.mint)
    till, bonds = deployment.till_vault, deployment.bond_vault

    def coded(amount: int, code: bytes = user_code) -> Instruction:
        return program.deposit_usdc(
            deployment, depositor=owner, code=code, amount_microusdc=MicroUsdc(amount)
        )

    def plain(amount: int) -> Instruction:
        return plain_transfer(source, till, owner, amount)

    make = _numbered()
    return [
        make(1, "deposit", coded(25 * USDC)),
        make(2, "deposit", coded(1)),
        make(2, "twice in one", coded(2), coded(3)),
        make(3, "bond money", coded(60 * USDC, bond_code)),
        make(5, "plain", plain(40)),
        make(6, "memo", plain(500), memo(f"POD-{user_code.hex()}", owner)),
        make(6, "bare code", plain(600), memo(user_code.hex(), owner)),
        make(8, "batch", batch(plain(7_000), plain(7_000))),
        make(9, "stray", plain_transfer(source, bonds, owner, 80_000)),
        make(10, "too much", coded(9), coded(10**15)),
        make(12, "version 0", coded(100_000), version=0),
        make(13, "version 1", coded(200_000), version=1),
        make(14, "itself", plain_transfer(source, source, owner, 7)),
        *(make(15 + n // 3, "many", coded(1_000_000 + n)) for n in range(9)),
        make(20, "operator memo", plain(900), memo(f"POD-BOND-{bond_code.decode()}", owner)),
        make(30, "late deposit", coded(4 * USDC)),
        make(38, "last", coded(11)),
    ]


def _numbered() -> Callable[..., Step]:
    """Makes steps whose labels tell them apart."""
    made: list[str] = []

    def make(at: int, name: str, *instructions: Instruction, version: int | None = None) -> Step:
        made.append(name)
        label = f"{name} {made.count(name)}"
        return Step(label=label, at=at, instructions=instructions, version=version)

    return make
