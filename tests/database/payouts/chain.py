"""A chain in memory, by the rules that matter to payouts: a number works once, a blockhash dies.

It is what `PayoutChain` asks for, plus what tests do to it: lose a transaction on its way, land it
and lose the answer, let blocks pass, break an account. `seen` is what an indexer would find
finalized, in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from solders.hash import Hash
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from settlement.bonds.lifecycle import BondPosted
from settlement.chain import program
from settlement.chain.answers import (
    Account,
    AccountAt,
    Commitment,
    LatestBlockhash,
    SignatureStatus,
)
from settlement.chain.layouts import (
    CONFIG_SIZE,
    PAYOUTS_SIZE,
    RING_WORDS,
    account_discriminator,
)
from settlement.chain.movement import ChainMoment, MovementKey
from settlement.chain.program import Deployment, FundBond, Pay, Skip, decode_instruction
from settlement.chain.transport import RpcRefused, RpcUnavailable
from settlement.money import BlockHeight, Lamports, MicroUsdc, Slot
from settlement.payouts.outcome import BondFundingSeen, NumbersSkipped, PaymentSeen

BLOCKHASH_LIVES = 150
BOND_AMOUNT = MicroUsdc(50_000_000)
Seen = PaymentSeen | BondFundingSeen | NumbersSkipped


def token_bytes(mint: Pubkey, owner: Pubkey, amount: int, *, frozen: bool = False) -> bytes:
    raw = bytearray(165)
    raw[0:32], raw[32:64] = bytes(mint), bytes(owner)
    raw[64:72] = amount.to_bytes(8, "little")
    raw[108] = 2 if frozen else 1
    return bytes(raw)


@dataclass
class FakeChain:
    """One program's money and numbers. Amounts in microunits."""

    deployment: Deployment
    payer: Pubkey
    till_microusdc: int = 1_000_000_000_000
    height: int = 1_000
    base: int = 0
    used: set[int] = field(default_factory=set[int])
    paid: set[int] = field(default_factory=set[int])
    accounts_by_address: dict[Pubkey, Account] = field(default_factory=dict[Pubkey, Account])
    received: dict[Pubkey, int] = field(default_factory=dict[Pubkey, int])
    signatures: set[str] = field(default_factory=set[str])
    seen: list[Seen] = field(default_factory=list[Seen])
    payer_lamports: int = 10_000_000_000
    till_frozen: bool = False
    hold_sends: bool = False  # the network takes its time
    held: list[Transaction] = field(default_factory=list[Transaction])
    fail_sends: int = 0  # so many of the next sends land, and fail
    failed: set[str] = field(default_factory=set[str])
    commitment: Commitment = Commitment.FINALIZED  # of what has landed
    recent_fees: tuple[int, ...] = ()
    lose_sends: int = 0  # so many of the next sends never land, though the node takes them
    lose_answers: int = 0  # so many of the next sends land, and the answer is lost
    sends: int = 0
    bond_amount: MicroUsdc = BOND_AMOUNT

    async def latest_blockhash(
        self, commitment: Commitment = Commitment.CONFIRMED
    ) -> LatestBlockhash:
        self.height += 1
        return LatestBlockhash(
            slot=Slot(self.height),
            blockhash=Hash(self.height.to_bytes(32, "little")),
            last_valid_height=BlockHeight(self.height + BLOCKHASH_LIVES),
        )

    async def block_height(self) -> BlockHeight:
        return BlockHeight(self.height)

    async def balance(self, address: Pubkey) -> Lamports:
        return Lamports(self.payer_lamports if address == self.payer else 0)

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        return tuple(AccountAt(slot=Slot(self.height), account=self._account(a)) for a in addresses)

    async def signature_statuses(
        self, signatures: Sequence[str]
    ) -> tuple[SignatureStatus | None, ...]:
        return tuple(self._status(signature) for signature in signatures)

    def _status(self, signature: str) -> SignatureStatus | None:
        failed = signature in self.failed
        if not failed and signature not in self.signatures:
            return None
        return SignatureStatus(slot=Slot(self.height), failed=failed, commitment=self.commitment)

    async def recent_priority_fees(self, written: Sequence[Pubkey]) -> tuple[int, ...]:
        assert self.deployment.payouts in written
        return self.recent_fees

    async def send(self, transaction: bytes) -> str:
        self.sends += 1
        signed = Transaction.from_bytes(transaction)
        signed.verify()
        signature = str(signed.signatures[0])
        if self.hold_sends:
            self.held.append(signed)
            return signature
        if self.fail_sends > 0:
            self.fail_sends -= 1
            self.failed.add(signature)
            return signature
        if self.lose_sends > 0:
            self.lose_sends -= 1
            return signature
        self._execute(signed, signature)
        if self.lose_answers > 0:
            self.lose_answers -= 1
            raise RpcUnavailable(problem="the answer was lost")
        return signature

    def let_go(self) -> None:
        """What was held up lands."""
        self.hold_sends = False
        for signed in self.held:
            self._execute(signed, str(signed.signatures[0]))
        self.held.clear()

    def burn(self, *sequences: int) -> None:
        """The program's admin burns numbers."""
        first = min(sequences)
        mask = sum(1 << number - first for number in sequences)
        key = MovementKey(cluster="fake", signature=f"admin-{len(self.seen)}", outer=0)
        self._carry_out(Skip(signer=self.payer, first=first, mask=mask), key)

    def pass_blocks(self, blocks: int) -> None:
        self.height += blocks

    def set_token_account(
        self, owner: Pubkey, *, frozen: bool = False, given_to: Pubkey | None = None
    ) -> None:
        address = program.associated_token_address(owner, self.deployment.mint)
        data = token_bytes(self.deployment.mint, given_to or owner, 0, frozen=frozen)
        self.put(address, program.TOKEN_PROGRAM, data)

    def put(self, address: Pubkey, owner: Pubkey, data: bytes = b"") -> None:
        self.accounts_by_address[address] = Account(
            owner=owner, lamports=Lamports(2_039_280), data=data, executable=False
        )

    def _account(self, address: Pubkey) -> Account | None:
        d = self.deployment
        if address == d.config:
            return self._program_account(self._config())
        if address == d.payouts:
            return self._program_account(self._payouts())
        if address == d.till_vault:
            data = token_bytes(
                d.mint, d.till_authority, self.till_microusdc, frozen=self.till_frozen
            )
            return Account(
                owner=program.TOKEN_PROGRAM, lamports=Lamports(1), data=data, executable=False
            )
        return self.accounts_by_address.get(address)

    def _program_account(self, data: bytes) -> Account:
        owner = self.deployment.program_id
        return Account(owner=owner, lamports=Lamports(1), data=data, executable=False)

    def _config(self) -> bytes:
        d = self.deployment
        raw = account_discriminator("Config") + bytes(d.till_authority) + bytes([1] + [0] * 7)
        raw += bytes(d.mint) + bytes(d.till_vault) + bytes(d.bond_vault)
        raw += bytes(d.escrow) + bytes(d.payouts)
        raw += bytes(32) * 2 + bytes(16) + bytes(32) * 3 + bytes(self.payer) + bytes(32) + bytes(8)
        raw += self.bond_amount.to_bytes(8, "little")
        raw = raw.ljust(CONFIG_SIZE, b"\0")
        read = program.decode_account(raw)
        assert isinstance(read, program.Config), "the layout has changed"
        assert read.parameters.bond_amount_microusdc == self.bond_amount, "the layout has changed"
        return raw

    def _payouts(self) -> bytes:
        raw = account_discriminator("Payouts") + bytes([1] + [0] * 7)
        raw += self.base.to_bytes(8, "little") + self._ring(self.used) + self._ring(self.paid)
        return raw.ljust(PAYOUTS_SIZE, b"\0")

    def _ring(self, numbers: set[int]) -> bytes:
        words = [0] * RING_WORDS
        for number in numbers:
            words[(number // 64) % RING_WORDS] |= 1 << (number % 64)
        return b"".join(word.to_bytes(8, "little") for word in words)

    def _execute(self, signed: Transaction, signature: str) -> None:
        message = signed.message
        born = int.from_bytes(bytes(message.recent_blockhash), "little")
        if self.height > born + BLOCKHASH_LIVES:
            raise RpcRefused(
                method="sendTransaction", error_code=-32002, text="Blockhash not found"
            )
        if signature in self.signatures:
            raise RpcRefused(method="sendTransaction", error_code=-32002, text="already processed")
        before = self._state()
        try:
            self._carry_out_all(message, signature)
        except RpcRefused:
            self._undo(before)
            raise
        self.signatures.add(signature)

    def _state(self) -> tuple[Any, ...]:
        """What a transaction that fails leaves as it was."""
        return (
            self.till_microusdc,
            set(self.used),
            set(self.paid),
            dict(self.accounts_by_address),
            dict(self.received),
            list(self.seen),
        )

    def _undo(self, before: tuple[Any, ...]) -> None:
        self.till_microusdc, self.used, self.paid, accounts, received, seen = before
        self.accounts_by_address, self.received, self.seen = accounts, received, seen

    def _carry_out_all(self, message: Message, signature: str) -> None:
        keys = message.account_keys
        for at, compiled in enumerate(message.instructions):
            accounts = [keys[index] for index in bytes(compiled.accounts)]
            opens = message.program_id(at) == program.ATA_PROGRAM
            if opens and accounts[1] not in self.accounts_by_address:
                self.set_token_account(accounts[2])
            if message.program_id(at) == self.deployment.program_id:
                done = decode_instruction(bytes(compiled.data), accounts)
                self._carry_out(done, MovementKey(cluster="fake", signature=signature, outer=at))

    def _carry_out(self, done: object, key: MovementKey) -> None:
        self.height += 1
        moment = ChainMoment(slot=Slot(self.height), block_time=datetime(2026, 11, 20, tzinfo=UTC))
        if isinstance(done, Pay):
            self._must(done.payer == self.payer, 6011)
            self._must_be_free(done.sequence)
            account = self.accounts_by_address.get(done.destination)
            self._must(account is not None, 6008)
            assert account is not None
            self._must(account.data[108:109] != b"\x02", 6009)
            self._must(self.till_microusdc >= done.amount_microusdc, 6043)
            self.used.add(done.sequence)
            self.till_microusdc -= done.amount_microusdc
            total = self.received.get(done.destination, 0) + done.amount_microusdc
            self.received[done.destination] = total
            self.paid.add(done.sequence)
            self.seen.append(
                PaymentSeen(
                    key=key,
                    moment=moment,
                    sequence=done.sequence,
                    amount_microusdc=done.amount_microusdc,
                    destination=str(done.destination),
                    reference=done.reference,
                    code=done.code,
                )
            )
        elif isinstance(done, FundBond):
            self._must_be_free(done.sequence)
            self._must(done.bond not in self.accounts_by_address, 6014)
            self.used.add(done.sequence)
            self.till_microusdc -= self.bond_amount
            self.received[done.bond] = self.bond_amount
            self.put(done.bond, self.deployment.program_id, b"bond")
            self.paid.add(done.sequence)
            bond = BondPosted(
                key=key,
                moment=moment,
                address=str(done.bond),
                code=done.code,
                beneficiary=str(done.beneficiary),
                amount_microusdc=self.bond_amount,
                rent_payer=str(done.funder),
                cooldown_seconds=7_776_000,
            )
            self.seen.append(BondFundingSeen(sequence=done.sequence, bond=bond))
        else:
            assert isinstance(done, Skip), "only what the road sends"
            for sequence in done.sequences:
                self._must_be_free(sequence)
            self.used.update(done.sequences)
            self.seen.append(NumbersSkipped(key=key, moment=moment, sequences=done.sequences))

    def _must_be_free(self, sequence: int) -> None:
        self._must(sequence not in self.paid, 6034)
        self._must(sequence not in self.used and sequence >= self.base, 6035)

    def _must(self, holds: bool, error: int) -> None:
        if not holds:
            data = {"err": {"InstructionError": [2, {"Custom": error}]}}
            raise RpcRefused(
                method="sendTransaction", error_code=-32002, text="simulation failed", data=data
            )
