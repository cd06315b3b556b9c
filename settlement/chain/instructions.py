"""The bond program's instructions, read from raw bytes: which one, its arguments, its accounts.

Accounts are listed once per instruction, in order, with their flags; `program` writes that list and
`decode_instruction` reads it back. Lengths are strict: an instruction that is not fully understood
raises, it is never guessed. Pure; the amounts of `post_bond`, `fund_bond` and `release` are not in
their data but in the inner token transfer.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from settlement.chain.layouts import (
    CODE_LENGTH,
    REFERENCE_LENGTH,
    VACANT,
    WORD_BITS,
    Parameters,
    Reader,
    read_parameters,
)
from settlement.errors import Refused
from settlement.money import MicroUsdc

# The accounts of each instruction, in order: s signs, w is written.
INSTRUCTION_ACCOUNTS: Final = {
    "initialize": (
        "upgrade_authority:s funder:sw program_data: config:w escrow:w payouts:w till_authority:"
        " till_vault:w bond_vault:w mint: token_program: associated_token_program: system_program:"
    ),
    "deposit_usdc": (
        "depositor_ata:w ops_wallet_ata:w config: depositor:sw mint: token_program:"
        " associated_token_program:"
    ),
    "post_bond": (
        "depositor:s funder:sw depositor_ata:w bond_vault:w bond:w escrow:w config: mint:"
        " token_program: system_program:"
    ),
    "fund_bond": (
        "payer:s funder:sw till_authority: till_vault:w bond_vault:w bond:w escrow:w payouts:w"
        " config: mint: token_program: system_program:"
    ),
    "retire": "signer:s bond:w config:",
    "release": (
        "bond:w beneficiary: destination:w rent_payer:w bond_vault:w escrow:w config: mint:"
        " token_program:"
    ),
    "pay": (
        "payer:s destination:w till_authority: till_vault:w payouts:w config: mint: token_program:"
    ),
    "skip": "signer:s payouts:w config:",
}


# How many bytes follow the discriminator.
ARGUMENT_SIZES: Final = {
    "initialize": 216,
    "deposit_usdc": 16,
    "post_bond": 40,
    "fund_bond": 48,
    "retire": 8,
    "release": 8,
    "pay": 40,
    "skip": 16,
}


class UnknownInstruction(Refused):
    """These bytes and accounts are not an instruction of the bond program."""


@dataclass(frozen=True, kw_only=True)
class InitialRoles:
    """Who may do what from the start. A role left out is vacant; no two may be the same key."""

    admin: Pubkey
    payer: Pubkey = VACANT
    proposer: Pubkey = VACANT
    arbiter: Pubkey = VACANT
    guardian: Pubkey = VACANT


@dataclass(frozen=True, kw_only=True)
class Initialize:
    """The deployment was set up."""

    upgrade_authority: Pubkey
    funder: Pubkey
    config: Pubkey
    mint: Pubkey
    till_vault: Pubkey
    bond_vault: Pubkey
    roles: InitialRoles
    parameters: Parameters


@dataclass(frozen=True, kw_only=True)
class DepositUsdc:
    """A coded deposit into the till vault."""

    depositor: Pubkey
    source: Pubkey
    vault: Pubkey
    mint: Pubkey
    code: bytes
    amount_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class PostBond:
    """A bond opened with the depositor's money."""

    depositor: Pubkey
    funder: Pubkey
    source: Pubkey
    bond_vault: Pubkey
    bond: Pubkey
    code: bytes
    beneficiary: Pubkey


@dataclass(frozen=True, kw_only=True)
class FundBond:
    """A bond opened with the till's money, under a payout number."""

    payer: Pubkey
    funder: Pubkey
    till_vault: Pubkey
    bond_vault: Pubkey
    bond: Pubkey
    sequence: int
    code: bytes
    beneficiary: Pubkey


@dataclass(frozen=True, kw_only=True)
class Retire:
    """A bond's cooldown started."""

    signer: Pubkey
    bond: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Release:
    """A bond went back to its beneficiary."""

    bond: Pubkey
    beneficiary: Pubkey
    destination: Pubkey
    rent_payer: Pubkey
    bond_vault: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Pay:
    """A numbered payment out of the till vault."""

    payer: Pubkey
    destination: Pubkey
    till_vault: Pubkey
    sequence: int
    amount_microusdc: MicroUsdc
    code: bytes
    reference: bytes


@dataclass(frozen=True, kw_only=True)
class Skip:
    """Payout numbers burned: `first + i` for every bit `i` of the mask. None of them was paid."""

    signer: Pubkey
    first: int
    mask: int

    @property
    def sequences(self) -> tuple[int, ...]:
        """The numbers burned, ascending."""
        return tuple(self.first + bit for bit in range(WORD_BITS) if self.mask >> bit & 1)


ProgramInstruction = Initialize | DepositUsdc | PostBond | FundBond | Retire | Release | Pay | Skip


def instruction_discriminator(name: str) -> bytes:
    """The first eight bytes of an instruction of this name, as Anchor computes them."""
    return hashlib.sha256(f"global:{name}".encode()).digest()[:8]


def _initialize(data: Reader, keys: Mapping[str, Pubkey]) -> Initialize:
    return Initialize(
        upgrade_authority=keys["upgrade_authority"],
        funder=keys["funder"],
        config=keys["config"],
        mint=keys["mint"],
        till_vault=keys["till_vault"],
        bond_vault=keys["bond_vault"],
        roles=InitialRoles(
            admin=data.key(),
            proposer=data.key(),
            arbiter=data.key(),
            guardian=data.key(),
            payer=data.key(),
        ),
        parameters=read_parameters(data),
    )


def _deposit_usdc(data: Reader, keys: Mapping[str, Pubkey]) -> DepositUsdc:
    return DepositUsdc(
        depositor=keys["depositor"],
        source=keys["depositor_ata"],
        vault=keys["ops_wallet_ata"],
        mint=keys["mint"],
        code=data.take(CODE_LENGTH),
        amount_microusdc=data.amount(),
    )


def _post_bond(data: Reader, keys: Mapping[str, Pubkey]) -> PostBond:
    return PostBond(
        depositor=keys["depositor"],
        funder=keys["funder"],
        source=keys["depositor_ata"],
        bond_vault=keys["bond_vault"],
        bond=keys["bond"],
        code=data.take(CODE_LENGTH),
        beneficiary=data.key(),
    )


def _fund_bond(data: Reader, keys: Mapping[str, Pubkey]) -> FundBond:
    return FundBond(
        payer=keys["payer"],
        funder=keys["funder"],
        till_vault=keys["till_vault"],
        bond_vault=keys["bond_vault"],
        bond=keys["bond"],
        sequence=data.u64(),
        code=data.take(CODE_LENGTH),
        beneficiary=data.key(),
    )


def _retire(data: Reader, keys: Mapping[str, Pubkey]) -> Retire:
    return Retire(signer=keys["signer"], bond=keys["bond"], code=data.take(CODE_LENGTH))


def _release(data: Reader, keys: Mapping[str, Pubkey]) -> Release:
    return Release(
        bond=keys["bond"],
        beneficiary=keys["beneficiary"],
        destination=keys["destination"],
        rent_payer=keys["rent_payer"],
        bond_vault=keys["bond_vault"],
        code=data.take(CODE_LENGTH),
    )


def _pay(data: Reader, keys: Mapping[str, Pubkey]) -> Pay:
    return Pay(
        payer=keys["payer"],
        destination=keys["destination"],
        till_vault=keys["till_vault"],
        sequence=data.u64(),
        amount_microusdc=data.amount(),
        code=data.take(CODE_LENGTH),
        reference=data.take(REFERENCE_LENGTH),
    )


def _skip(data: Reader, keys: Mapping[str, Pubkey]) -> Skip:
    return Skip(signer=keys["signer"], first=data.u64(), mask=data.u64())


_DECODERS: Final = {
    "initialize": _initialize,
    "deposit_usdc": _deposit_usdc,
    "post_bond": _post_bond,
    "fund_bond": _fund_bond,
    "retire": _retire,
    "release": _release,
    "pay": _pay,
    "skip": _skip,
}
_NAMES: Final = {instruction_discriminator(name): name for name in _DECODERS}


def decode_instruction(data: bytes, accounts: Sequence[Pubkey]) -> ProgramInstruction:
    """Read one instruction that the program carried out.

    Raises `UnknownInstruction` for an unknown discriminator or a wrong number of bytes or accounts.
    Only `deposit_usdc` may carry extra accounts, as the wire's clients may add reference keys.
    """
    name = _NAMES.get(bytes(data[:8]))
    if name is None or len(data) != 8 + ARGUMENT_SIZES[name]:
        raise UnknownInstruction(discriminator=bytes(data[:8]).hex(), length=len(data))
    names = [entry.split(":")[0] for entry in INSTRUCTION_ACCOUNTS[name].split()]
    extra = len(accounts) - len(names)
    if extra < 0 or (extra > 0 and name != "deposit_usdc"):
        raise UnknownInstruction(instruction=name, accounts=len(accounts))
    reader = Reader(bytes(data))
    instruction = _DECODERS[name](reader, dict(zip(names, accounts, strict=False)))
    reader.end()
    return instruction
