"""One chain: the committed program, the real token program, a mint, named people.

`World` sends instructions and reads accounts. A refusal is checked twice: by its error, and by
every account of the transaction being what it was before.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata
from solders.transaction_status import (
    InstructionErrorCustom,
    TransactionErrorInstructionError,
)

from settlement.chain import program
from settlement.chain.layouts import NO_CAP
from settlement.chain.program import (
    Bond,
    Config,
    Deployment,
    Escrow,
    InitialParameters,
    InitialRoles,
    Payouts,
)

COMMITTED_PROGRAM = Path(__file__).parents[2] / "programs/bond/bond.so"
# A fresh build, or one with a check taken away, is tried with the same tests.
PROGRAM = Path(os.environ.get("POD_BOND_PROGRAM", COMMITTED_PROGRAM))
USDC = 1_000_000
BOND_AMOUNT = 50 * USDC
COOLDOWN_SECONDS = 90 * 86_400
START = 1_800_000_000
PROGRAM_DATA_HEADER = 45
# Where Config keeps what only later instructions will change.
PAUSED_UNTIL_AT = {"deposits": 576, "payouts": 624, "seizures": 672, "releases": 720}
ROLE_AT = {"proposer": 288, "payer": 384}
CAPS_AT = 496


@dataclass(kw_only=True)
class World:
    """One chain with the program on it, and who plays which part."""

    svm: LiteSVM
    deployment: Deployment
    upgrade_authority: Keypair = field(default_factory=Keypair)
    admin: Keypair = field(default_factory=Keypair)
    proposer: Keypair = field(default_factory=Keypair)
    arbiter: Keypair = field(default_factory=Keypair)
    guardian: Keypair = field(default_factory=Keypair)
    payer: Keypair = field(default_factory=Keypair)
    funder: Keypair = field(default_factory=Keypair)
    fee_payer: Keypair = field(default_factory=Keypair)
    mint_authority: Keypair = field(default_factory=Keypair)
    nominee: Keypair = field(default_factory=Keypair)  # may become admin one day

    @property
    def roles(self) -> InitialRoles:
        return InitialRoles(
            admin=self.admin.pubkey(),
            payer=self.payer.pubkey(),
            proposer=self.proposer.pubkey(),
            arbiter=self.arbiter.pubkey(),
            guardian=self.guardian.pubkey(),
        )

    def initialize(self, parameters: InitialParameters | None = None) -> None:
        instruction = program.initialize(
            self.deployment,
            upgrade_authority=self.upgrade_authority.pubkey(),
            funder=self.funder.pubkey(),
            roles=self.roles,
            parameters=parameters or InitialParameters(),
        )
        self.send(instruction, signers=[self.upgrade_authority, self.funder])

    def build(self, instruction: program.ProgramInstruction) -> Instruction:
        """One of the program's instructions, for this deployment."""
        return program.build(self.deployment, instruction)

    def send(
        self, *instructions: Instruction, signers: Sequence[Keypair] = ()
    ) -> TransactionMetadata:
        result = self._run(instructions, signers)
        assert isinstance(result, TransactionMetadata), f"{result.err()} {result.meta().logs()}"
        return result

    def refuse(self, *instructions: Instruction, signers: Sequence[Keypair] = ()) -> str:
        """Send what must be refused; returns the error's name. Nothing may have changed."""
        touched = {meta.pubkey for each in instructions for meta in each.accounts}
        before = {key: self.svm.get_account(key) for key in touched}
        result = self._run(instructions, signers)
        assert isinstance(result, FailedTransactionMetadata), "it was not refused"
        assert {key: self.svm.get_account(key) for key in touched} == before
        error = result.err()
        assert isinstance(error, TransactionErrorInstructionError), error
        assert isinstance(error.err, InstructionErrorCustom), f"{error} {result.meta().logs()}"
        return program.ERRORS.get(error.err.code, f"raw error {error.err.code}")

    def _run(
        self, instructions: Sequence[Instruction], signers: Sequence[Keypair]
    ) -> TransactionMetadata | FailedTransactionMetadata:
        self.svm.expire_blockhash()
        message = Message(list(instructions), self.fee_payer.pubkey())
        everyone = {key.pubkey(): key for key in (self.fee_payer, *signers)}
        transaction = Transaction(list(everyone.values()), message, self.svm.latest_blockhash())
        return self.svm.send_transaction(transaction)

    def advance(self, seconds: int) -> None:
        clock = self.svm.get_clock()
        clock.unix_timestamp += seconds
        self.svm.set_clock(clock)

    @property
    def now(self) -> int:
        return self.svm.get_clock().unix_timestamp

    def wallet(self, amount_microusdc: int = 0) -> Keypair:
        """Somebody with a token account holding this much."""
        owner = Keypair()
        self.svm.airdrop(owner.pubkey(), 10_000_000_000)
        self.open_account(owner.pubkey())
        if amount_microusdc:
            self.mint_to(self.ata(owner.pubkey()), amount_microusdc)
        return owner

    def open_account(self, owner: Pubkey, mint: Pubkey | None = None) -> Pubkey:
        mint = mint or self.deployment.mint
        self.send(
            program.create_associated_token_account(
                funder=self.funder.pubkey(), owner=owner, mint=mint
            ),
            signers=[self.funder],
        )
        return program.associated_token_address(owner, mint)

    def ata(self, owner: Pubkey) -> Pubkey:
        return program.associated_token_address(owner, self.deployment.mint)

    def mint_to(self, account: Pubkey, amount: int, mint: Pubkey | None = None) -> None:
        metas = [
            AccountMeta(mint or self.deployment.mint, is_signer=False, is_writable=True),
            AccountMeta(account, is_signer=False, is_writable=True),
            AccountMeta(self.mint_authority.pubkey(), is_signer=True, is_writable=False),
        ]
        data = b"\x07" + amount.to_bytes(8, "little")
        mint_to = Instruction(program.TOKEN_PROGRAM, data, metas)
        self.send(mint_to, signers=[self.mint_authority])

    def freeze(self, account: Pubkey) -> None:
        metas = [
            AccountMeta(account, is_signer=False, is_writable=True),
            AccountMeta(self.deployment.mint, is_signer=False, is_writable=False),
            AccountMeta(self.mint_authority.pubkey(), is_signer=True, is_writable=False),
        ]
        frozen = Instruction(program.TOKEN_PROGRAM, b"\x0a", metas)
        self.send(frozen, signers=[self.mint_authority])

    def new_mint(self, decimals: int = 6, owner: Pubkey = program.TOKEN_PROGRAM) -> Pubkey:
        mint = Pubkey.new_unique()
        self.svm.set_account(mint, mint_account(self.mint_authority.pubkey(), decimals, owner))
        return mint

    def balance(self, token_account: Pubkey) -> int:
        account = self.svm.get_account(token_account)
        assert account is not None
        return int.from_bytes(account.data[64:72], "little")

    @property
    def till(self) -> int:
        return self.balance(self.deployment.till_vault)

    @property
    def held(self) -> int:
        return self.balance(self.deployment.bond_vault)

    def config(self) -> Config:
        account = self._decode(self.deployment.config)
        assert isinstance(account, Config)
        return account

    def escrow(self) -> Escrow:
        account = self._decode(self.deployment.escrow)
        assert isinstance(account, Escrow)
        return account

    def payouts(self) -> Payouts:
        account = self._decode(self.deployment.payouts)
        assert isinstance(account, Payouts)
        return account

    def bond(self, code: bytes, beneficiary: Pubkey) -> Bond:
        account = self._decode(self.deployment.bond(code, beneficiary))
        assert isinstance(account, Bond)
        return account

    def _decode(self, address: Pubkey) -> Config | Escrow | Bond | Payouts:
        account = self.svm.get_account(address)
        assert account is not None
        assert account.owner == self.deployment.program_id
        return program.decode_account(account.data)

    def post_bond(self, code: bytes, beneficiary: Pubkey, depositor: Keypair | None = None) -> None:
        depositor = depositor or self.wallet(BOND_AMOUNT)
        instruction = program.post_bond(
            self.deployment,
            depositor=depositor.pubkey(),
            funder=self.funder.pubkey(),
            code=code,
            beneficiary=beneficiary,
        )
        self.send(instruction, signers=[depositor, self.funder])

    def propose(self, bond: Pubkey, code: bytes, evidence_hash: bytes) -> None:
        instruction = program.ProposeSeizure(
            proposer=self.proposer.pubkey(),
            bond=bond,
            code=code,
            evidence_hash=evidence_hash,
            reason=1,
        )
        self.send(self.build(instruction), signers=[self.proposer])

    def fill_till(self, amount_microusdc: int) -> None:
        self.mint_to(self.deployment.till_vault, amount_microusdc)

    def patch(self, address: Pubkey, at: int, value: bytes) -> None:
        """Overwrite bytes of an account: for states no instruction of this cut can reach."""
        account = self.svm.get_account(address)
        assert account is not None
        data = bytearray(account.data)
        data[at : at + len(value)] = value
        self.svm.set_account(
            address, Account(account.lamports, bytes(data), account.owner, account.executable)
        )

    def set_account(self, address: Pubkey, data: bytes, owner: Pubkey) -> None:
        self.svm.set_account(address, Account(10_000_000, data, owner))

    def set_balance(self, token_account: Pubkey, amount_microusdc: int) -> None:
        """Money lost or found, as no program would allow."""
        self.patch(token_account, 64, amount_microusdc.to_bytes(8, "little"))

    def pause(self, bit: str, until: int) -> None:
        """As the pause instruction of a later cut will write it."""
        self.patch(self.deployment.config, PAUSED_UNTIL_AT[bit], until.to_bytes(8, "little"))

    def vacate(self, role: str) -> None:
        self.patch(self.deployment.config, ROLE_AT[role], bytes(32))

    def set_caps(self, *, single: int = NO_CAP, window: int = NO_CAP) -> None:
        caps = single.to_bytes(8, "little") + window.to_bytes(8, "little")
        self.patch(self.deployment.config, CAPS_AT, caps)

    def skip(self, first: int, mask: int = 1) -> None:
        instruction = program.skip(
            self.deployment, signer=self.payer.pubkey(), first=first, mask=mask
        )
        self.send(instruction, signers=[self.payer])


def mint_account(authority: Pubkey, decimals: int, owner: Pubkey) -> Account:
    some = (1).to_bytes(4, "little") + bytes(authority)
    data = some + (0).to_bytes(8, "little") + bytes([decimals, 1]) + some
    return Account(lamports=10_000_000, data=data, owner=owner)


def set_upgrade_authority(svm: LiteSVM, deployment: Deployment, authority: Pubkey | None) -> None:
    """LiteSVM writes none into ProgramData; a real deployment has one."""
    account = svm.get_account(deployment.program_data)
    assert account is not None
    option = b"\x00" + bytes(32) if authority is None else b"\x01" + bytes(authority)
    data = account.data[:12] + option + account.data[PROGRAM_DATA_HEADER:]
    svm.set_account(deployment.program_data, Account(account.lamports, data, account.owner))


def new_world() -> World:
    svm = LiteSVM()
    deployment = Deployment(Pubkey.new_unique(), Pubkey.new_unique())
    svm.add_program(deployment.program_id, PROGRAM.read_bytes())
    clock = svm.get_clock()
    clock.unix_timestamp = START
    svm.set_clock(clock)
    world = World(svm=svm, deployment=deployment)
    set_upgrade_authority(svm, deployment, world.upgrade_authority.pubkey())
    svm.set_account(
        deployment.mint, mint_account(world.mint_authority.pubkey(), 6, program.TOKEN_PROGRAM)
    )
    for person in (world.fee_payer, world.funder):
        svm.airdrop(person.pubkey(), 1_000_000_000_000)
    return world


def with_account(instruction: Instruction, place: int, **changes: object) -> Instruction:
    """The instruction with one account replaced: `pubkey`, `is_signer` or `is_writable`."""
    accounts = list(instruction.accounts)
    old = accounts[place]
    fields = {
        "pubkey": old.pubkey,
        "is_signer": old.is_signer,
        "is_writable": old.is_writable,
        **changes,
    }
    accounts[place] = AccountMeta(**fields)  # pyright: ignore[reportArgumentType]  # any mix
    return Instruction(instruction.program_id, instruction.data, accounts)


def with_data(instruction: Instruction, data: bytes) -> Instruction:
    return Instruction(instruction.program_id, data, list(instruction.accounts))
