"""The one Python table of the bond program's instructions: their accounts and their arguments.

Everything that writes or reads an instruction follows from `SHAPES`; a test holds it against the
Rust sources and both IDL files. An entry is `name:flags` for an account (s signs, w is written) and
`name:kind` for an argument; arguments follow the eight bytes of the name, unpadded. Pure.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

from solders.pubkey import Pubkey

from settlement.chain.layouts import (
    CODE_LENGTH,
    REFERENCE_LENGTH,
    VACANT,
    Parameters,
    Reader,
    read_parameters,
)

HASH_LENGTH: Final = 32
_WORD: Final = 8


class Role(IntEnum):
    """The roles an admin appoints, as the chain numbers them."""

    PROPOSER = 1
    ARBITER = 2
    GUARDIAN = 3
    PAYER = 4


class PauseBit(IntEnum):
    """What can be paused, each alone, as the chain numbers it."""

    DEPOSITS = 0
    PAYOUTS = 1
    SEIZURES = 2
    RELEASES = 3


@dataclass(frozen=True, kw_only=True)
class InitialRoles:
    """Who may do what from the start. A role left out is vacant; no two may be the same key."""

    admin: Pubkey
    payer: Pubkey = VACANT
    proposer: Pubkey = VACANT
    arbiter: Pubkey = VACANT
    guardian: Pubkey = VACANT


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How one kind of argument stands in the data: its bytes, read and written."""

    size: int
    read: Callable[[Reader], object]
    # The values are of the dataclass that is written; the reader's own kinds decide what they are.
    write: Callable[[Any], bytes]


def _integer(size: int, *, signed: bool = False) -> Callable[[int], bytes]:
    return lambda value: value.to_bytes(size, "little", signed=signed)


def _exactly(size: int) -> Callable[[bytes], bytes]:
    def write(value: bytes) -> bytes:
        assert len(value) == size, f"{size} bytes are needed, not {len(value)}"
        return value

    return write


def _read_roles(reader: Reader) -> InitialRoles:
    return InitialRoles(
        admin=reader.key(),
        proposer=reader.key(),
        arbiter=reader.key(),
        guardian=reader.key(),
        payer=reader.key(),
    )


def _write_roles(roles: InitialRoles) -> bytes:
    keys = (roles.admin, roles.proposer, roles.arbiter, roles.guardian, roles.payer)
    return b"".join(bytes(key) for key in keys)


def _write_parameters(parameters: Parameters) -> bytes:
    amount, seconds = _integer(_WORD), _integer(_WORD, signed=True)
    return b"".join(
        (
            amount(parameters.bond_amount_microusdc),
            seconds(parameters.cooldown_seconds),
            seconds(parameters.dispute_seconds),
            seconds(parameters.decision_seconds),
            seconds(parameters.execution_seconds),
            amount(parameters.payout_single_cap_microusdc),
            amount(parameters.payout_window_cap_microusdc),
        )
    )


KINDS: Final[Mapping[str, Kind]] = {
    "role": Kind(size=1, read=lambda reader: Role(reader.u8()), write=_integer(1)),
    "bit": Kind(size=1, read=lambda reader: PauseBit(reader.u8()), write=_integer(1)),
    "u16": Kind(size=2, read=Reader.u16, write=_integer(2)),
    "u64": Kind(size=_WORD, read=Reader.u64, write=_integer(_WORD)),
    "amount": Kind(size=_WORD, read=Reader.amount, write=_integer(_WORD)),
    "key": Kind(size=32, read=Reader.key, write=bytes),
    "code": Kind(
        size=CODE_LENGTH, read=lambda reader: reader.take(CODE_LENGTH), write=_exactly(CODE_LENGTH)
    ),
    "hash": Kind(
        size=HASH_LENGTH, read=lambda reader: reader.take(HASH_LENGTH), write=_exactly(HASH_LENGTH)
    ),
    "reference": Kind(
        size=REFERENCE_LENGTH,
        read=lambda reader: reader.take(REFERENCE_LENGTH),
        write=_exactly(REFERENCE_LENGTH),
    ),
    "roles": Kind(size=5 * 32, read=_read_roles, write=_write_roles),
    "parameters": Kind(size=7 * _WORD, read=read_parameters, write=_write_parameters),
}


@dataclass(frozen=True)
class Shape:
    """What one instruction takes."""

    accounts_text: str
    arguments_text: str = ""

    @cached_property
    def accounts(self) -> tuple[tuple[str, str], ...]:
        """Each account's name and flags, in order."""
        return _entries(self.accounts_text)

    @cached_property
    def arguments(self) -> tuple[tuple[str, str], ...]:
        """Each argument's name and kind, in order."""
        return _entries(self.arguments_text)

    @property
    def argument_size(self) -> int:
        """How many bytes follow the discriminator."""
        return sum(KINDS[kind].size for _, kind in self.arguments)


def _entries(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (entry.split(":") for entry in text.split())
    return tuple((name, rest) for name, rest in pairs)


SHAPES: Final[Mapping[str, Shape]] = {
    "initialize": Shape(
        "upgrade_authority:s funder:sw program_data: config:w escrow:w payouts:w till_authority:"
        " till_vault:w bond_vault:w mint: token_program: associated_token_program: system_program:",
        "roles:roles parameters:parameters",
    ),
    "deposit_usdc": Shape(
        "depositor_ata:w ops_wallet_ata:w config: depositor:sw mint: token_program:"
        " associated_token_program:",
        "code:code amount_microusdc:amount",
    ),
    "post_bond": Shape(
        "depositor:s funder:sw depositor_ata:w bond_vault:w bond:w escrow:w config: mint:"
        " token_program: system_program:",
        "code:code beneficiary:key",
    ),
    "fund_bond": Shape(
        "payer:s funder:sw till_authority: till_vault:w bond_vault:w bond:w escrow:w payouts:w"
        " config: mint: token_program: system_program:",
        "sequence:u64 code:code beneficiary:key",
    ),
    "retire": Shape("signer:s bond:w config:", "code:code"),
    "cancel_retire": Shape("beneficiary:s bond:w", "code:code"),
    "set_beneficiary": Shape("beneficiary:s new_beneficiary:s bond:w", "code:code"),
    "release": Shape(
        "bond:w beneficiary: destination:w rent_payer:w bond_vault:w escrow:w config: mint:"
        " token_program:",
        "code:code",
    ),
    "propose_seizure": Shape(
        "proposer:s bond:w config:", "code:code evidence_hash:hash reason:u16"
    ),
    "withdraw_proposal": Shape("proposer:s bond:w config:", "code:code"),
    "contest": Shape("beneficiary:s bond:w", "code:code reply_hash:hash"),
    "uphold": Shape("arbiter:s bond:w config:", "code:code"),
    "dismiss": Shape("arbiter:s bond:w config:", "code:code"),
    "execute_seizure": Shape(
        "bond:w rent_payer:w bond_vault:w till_vault:w escrow:w config: mint: token_program:",
        "code:code",
    ),
    "lapse": Shape("bond:w", "code:code"),
    "pay": Shape(
        "payer:s destination:w till_authority: till_vault:w payouts:w config: mint: token_program:",
        "sequence:u64 amount_microusdc:amount code:code reference:reference",
    ),
    "approve_pay": Shape(
        "admin:s payouts:w config:",
        "sequence:u64 amount_microusdc:amount destination:key reference:reference",
    ),
    "skip": Shape("signer:s payouts:w config:", "first:u64 mask:u64"),
    "sweep_surplus": Shape("escrow: bond_vault:w till_vault:w config: mint: token_program:"),
    "recover_stray": Shape(
        "admin:s authority: stray:w destination:w config: stray_mint: token_program:"
    ),
    "set_params": Shape("admin:s config:w", "parameters:parameters"),
    "apply_params": Shape("config:w"),
    "cancel_params": Shape("signer:s config:w"),
    "grant_role": Shape("admin:s config:w", "role:role holder:key"),
    "apply_role": Shape("config:w"),
    "cancel_role": Shape("signer:s config:w"),
    "revoke_role": Shape("signer:s config:w", "role:role"),
    "nominate_admin": Shape("signer:s config:w program_data:", "nominee:key"),
    "accept_admin": Shape("nominee:s config:w"),
    "cancel_nomination": Shape("admin:s config:w"),
    "pause": Shape("signer:s config:w", "bit:bit"),
    "unpause": Shape("admin:s config:w", "bit:bit"),
}
# Wallets append reference keys to a deposit; every other instruction takes exactly its accounts.
OPEN_ENDED: Final = frozenset({"deposit_usdc"})


def instruction_discriminator(name: str) -> bytes:
    """The first eight bytes of an instruction of this name, as Anchor computes them."""
    return hashlib.sha256(f"global:{name}".encode()).digest()[:8]
