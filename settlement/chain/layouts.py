"""The bond program's accounts, read from raw bytes.

One third of the only Python table of the program's layouts (`instructions` and `program` are the
others). A test holds both against the Rust sources and both IDL files. Every account opens
with `sha256("account:<Name>")[:8]`; sizes are exact and versions must be known, so bytes we do not
understand raise instead of being half read.
"""

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from solders.pubkey import Pubkey

from settlement.errors import Refused
from settlement.money import MicroUsdc

ACCOUNT_VERSION: Final = 1
CODE_LENGTH: Final = 8
REFERENCE_LENGTH: Final = 16
WINDOW_NUMBERS: Final = 8_192
WORD_BITS: Final = 64
RING_WORDS: Final = WINDOW_NUMBERS // WORD_BITS
NO_CAP: Final = MicroUsdc(2**64 - 1)
BOND_AMOUNT: Final = MicroUsdc(50_000_000)
NOTHING: Final = MicroUsdc(0)
VACANT: Final = Pubkey.default()

CONFIG_SIZE: Final = 768
ESCROW_SIZE: Final = 32
BOND_SIZE: Final = 376
TOMBSTONE_SIZE: Final = 24
PAYOUTS_SIZE: Final = 2_184


class UnknownAccount(Refused):
    """These bytes are not an account of the bond program."""


class BondState(IntEnum):
    """Where a bond is in its life; the last two are tombstones and final."""

    POSTED = 1
    RETIRING = 2
    RELEASED = 3
    SEIZED = 4


class SeizureState(IntEnum):
    """Where an open seizure is; `NONE` when there is none."""

    NONE = 0
    PROPOSED = 1
    CONTESTED = 2
    UPHELD = 3


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The policy new bonds and payouts fall under; the defaults are the real ones, in seconds."""

    bond_amount_microusdc: MicroUsdc = BOND_AMOUNT
    cooldown_seconds: int = 7_776_000
    dispute_seconds: int = 604_800
    decision_seconds: int = 1_209_600
    execution_seconds: int = 1_209_600
    payout_single_cap_microusdc: MicroUsdc = NO_CAP
    payout_window_cap_microusdc: MicroUsdc = NO_CAP


@dataclass(frozen=True, kw_only=True)
class PauseRecord:
    """One pausable bit: until when it is paused, when it may be paused again, and by whom."""

    paused_until: int
    not_before: int
    by: Pubkey


@dataclass(frozen=True, kw_only=True)
class PauseRecords:
    """The four things that can be paused, each alone."""

    deposits: PauseRecord
    payouts: PauseRecord
    seizures: PauseRecord
    releases: PauseRecord


@dataclass(frozen=True, kw_only=True)
class Config:
    """Who may do what, and under which parameters. A vacant role is the default (zero) key."""

    ops_wallet: Pubkey
    config_bump: int
    payouts_bump: int
    till_bump: int
    escrow_bump: int
    mint: Pubkey
    till_vault: Pubkey
    bond_vault: Pubkey
    escrow: Pubkey
    payouts: Pubkey
    admin: Pubkey
    pending_admin: Pubkey
    pending_admin_ready_at: int
    pending_admin_expires_at: int
    proposer: Pubkey
    arbiter: Pubkey
    guardian: Pubkey
    payer: Pubkey
    pending_role: int
    pending_role_key: Pubkey
    pending_role_ready_at: int
    parameters: Parameters
    pending_parameters: Parameters
    pending_parameters_ready_at: int
    pauses: PauseRecords


@dataclass(frozen=True, kw_only=True)
class Escrow:
    """What the bond vault owes: the sum and number of bonds Posted or Retiring."""

    total_bonded_microusdc: MicroUsdc
    open_count: int


@dataclass(frozen=True, kw_only=True)
class Bond:
    """One bond. A tombstone (Released, Seized) keeps code and state only: the rest reads zero."""

    state: BondState
    code: bytes
    beneficiary: Pubkey = VACANT
    first_beneficiary: Pubkey = VACANT
    rent_payer: Pubkey = VACANT
    amount_microusdc: MicroUsdc = NOTHING
    posted_at: int = 0
    retiring_at: int = 0
    release_at: int = 0
    cooldown_seconds: int = 0
    dispute_seconds: int = 0
    decision_seconds: int = 0
    execution_seconds: int = 0
    seizure_state: SeizureState = SeizureState.NONE
    evidence_hash: bytes = bytes(32)
    reply_hash: bytes = bytes(32)
    proposed_at: int = 0
    execute_after: int = 0
    decide_by: int = 0
    dies_at: int = 0
    reason: int = 0
    proposals_while_retiring: int = 0
    evidence_used: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Payouts:
    """Which payout numbers are gone. Every number below `base` is used, for ever."""

    base: int
    used: tuple[int, ...]
    paid: tuple[int, ...]
    paid_count: int
    paid_total_microusdc: MicroUsdc
    half_window_started_at: int
    half_window_spent_microusdc: MicroUsdc
    previous_half_window_spent_microusdc: MicroUsdc
    approved_sequence: int
    approved_amount_microusdc: MicroUsdc
    approved_destination: Pubkey
    approved_reference: bytes
    approval_expires_at: int

    def is_used(self, sequence: int) -> bool:
        """Whether the number was paid or skipped: it can then never be used again."""
        if sequence < self.base:
            return True
        return self.in_window(sequence) and _bit(self.used, sequence)

    def is_paid(self, sequence: int) -> bool:
        """Whether the number was paid. Asking below `base` is an error: history tells those."""
        assert sequence >= self.base, "the window no longer tells paid from skipped below its base"
        return self.in_window(sequence) and _bit(self.paid, sequence)

    def in_window(self, sequence: int) -> bool:
        """Whether the program would look at the number at all (neither too old nor too far)."""
        return self.base <= sequence < self.base + WINDOW_NUMBERS

    @property
    def first_free(self) -> int:
        """The lowest number that is neither paid nor skipped."""
        window = range(self.base, self.base + WINDOW_NUMBERS)
        return next(number for number in window if not _bit(self.used, number))


def _bit(words: tuple[int, ...], sequence: int) -> bool:
    word = words[(sequence // WORD_BITS) % RING_WORDS]
    return bool(word >> (sequence % WORD_BITS) & 1)


def account_discriminator(name: str) -> bytes:
    """The first eight bytes of an account of this name, as Anchor computes them."""
    return hashlib.sha256(f"account:{name}".encode()).digest()[:8]


class Reader:
    """Takes fields off the front of bytes, in order, starting after the discriminator."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 8

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def i64(self) -> int:
        return int.from_bytes(self.take(8), "little", signed=True)

    def key(self) -> Pubkey:
        return Pubkey(self.take(32))

    def amount(self) -> MicroUsdc:
        return MicroUsdc(self.u64())

    def words(self) -> tuple[int, ...]:
        return struct.unpack(f"<{RING_WORDS}Q", self.take(8 * RING_WORDS))

    def take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def version(self) -> None:
        if (version := self.u8()) != ACCOUNT_VERSION:
            raise UnknownAccount(version=version)

    def end(self) -> None:
        assert self._at == len(self._data), "the layout and the account's size disagree"


def read_parameters(reader: Reader) -> Parameters:
    """Read the seven policy values, as Config and `initialize` hold them."""
    return Parameters(
        bond_amount_microusdc=reader.amount(),
        cooldown_seconds=reader.i64(),
        dispute_seconds=reader.i64(),
        decision_seconds=reader.i64(),
        execution_seconds=reader.i64(),
        payout_single_cap_microusdc=reader.amount(),
        payout_window_cap_microusdc=reader.amount(),
    )


def _pause_record(reader: Reader) -> PauseRecord:
    return PauseRecord(paused_until=reader.i64(), not_before=reader.i64(), by=reader.key())


def _config(reader: Reader) -> Config:
    ops_wallet = reader.key()
    reader.version()
    bumps = reader.take(4)
    pending_role = reader.u8()
    reader.take(2)
    return Config(
        ops_wallet=ops_wallet,
        config_bump=bumps[0],
        payouts_bump=bumps[1],
        till_bump=bumps[2],
        escrow_bump=bumps[3],
        pending_role=pending_role,
        mint=reader.key(),
        till_vault=reader.key(),
        bond_vault=reader.key(),
        escrow=reader.key(),
        payouts=reader.key(),
        admin=reader.key(),
        pending_admin=reader.key(),
        pending_admin_ready_at=reader.i64(),
        pending_admin_expires_at=reader.i64(),
        proposer=reader.key(),
        arbiter=reader.key(),
        guardian=reader.key(),
        payer=reader.key(),
        pending_role_key=reader.key(),
        pending_role_ready_at=reader.i64(),
        parameters=read_parameters(reader),
        pending_parameters=read_parameters(reader),
        pending_parameters_ready_at=reader.i64(),
        pauses=PauseRecords(
            deposits=_pause_record(reader),
            payouts=_pause_record(reader),
            seizures=_pause_record(reader),
            releases=_pause_record(reader),
        ),
    )


def _escrow(reader: Reader) -> Escrow:
    reader.version()
    reader.take(7)
    return Escrow(total_bonded_microusdc=reader.amount(), open_count=reader.u64())


def _bond(reader: Reader) -> Bond:
    reader.version()
    reader.take(1)
    state = BondState(reader.u8())
    seizure_state = SeizureState(reader.u8())
    proposals_while_retiring = reader.u8()
    evidence_count = reader.u8()
    reason = reader.u16()
    return Bond(
        state=state,
        seizure_state=seizure_state,
        proposals_while_retiring=proposals_while_retiring,
        reason=reason,
        code=reader.take(CODE_LENGTH),
        first_beneficiary=reader.key(),
        beneficiary=reader.key(),
        rent_payer=reader.key(),
        amount_microusdc=reader.amount(),
        posted_at=reader.i64(),
        retiring_at=reader.i64(),
        release_at=reader.i64(),
        cooldown_seconds=reader.i64(),
        dispute_seconds=reader.i64(),
        decision_seconds=reader.i64(),
        execution_seconds=reader.i64(),
        proposed_at=reader.i64(),
        execute_after=reader.i64(),
        decide_by=reader.i64(),
        dies_at=reader.i64(),
        evidence_hash=reader.take(32),
        reply_hash=reader.take(32),
        evidence_used=tuple(reader.take(32) for _ in range(3))[:evidence_count],
    )


def _tombstone(reader: Reader) -> Bond:
    reader.version()
    reader.take(1)
    state = BondState(reader.u8())
    reader.take(5)
    return Bond(state=state, code=reader.take(CODE_LENGTH))


def _payouts(reader: Reader) -> Payouts:
    reader.version()
    reader.take(7)
    return Payouts(
        base=reader.u64(),
        used=reader.words(),
        paid=reader.words(),
        paid_count=reader.u64(),
        paid_total_microusdc=reader.amount(),
        half_window_started_at=reader.i64(),
        half_window_spent_microusdc=reader.amount(),
        previous_half_window_spent_microusdc=reader.amount(),
        approved_sequence=reader.u64(),
        approved_amount_microusdc=reader.amount(),
        approved_destination=reader.key(),
        approved_reference=reader.take(REFERENCE_LENGTH),
        approval_expires_at=reader.i64(),
    )


ACCOUNTS: Final = {
    account_discriminator("Config"): (CONFIG_SIZE, _config),
    account_discriminator("Escrow"): (ESCROW_SIZE, _escrow),
    account_discriminator("Bond"): (BOND_SIZE, _bond),
    account_discriminator("Tombstone"): (TOMBSTONE_SIZE, _tombstone),
    account_discriminator("Payouts"): (PAYOUTS_SIZE, _payouts),
}


def decode_account(data: bytes) -> Config | Escrow | Bond | Payouts:
    """Read one account of the program; the caller has checked that the program owns it.

    Raises `UnknownAccount` for another discriminator, size or version, or a state without a name.
    """
    size, read = ACCOUNTS.get(bytes(data[:8]), (-1, None))
    if read is None or len(data) != size:
        raise UnknownAccount(discriminator=bytes(data[:8]).hex(), length=len(data))
    reader = Reader(bytes(data))
    try:
        account = read(reader)
    except ValueError:
        raise UnknownAccount(discriminator=bytes(data[:8]).hex()) from None
    reader.end()
    return account
