"""The bond program as Python sees it: addresses, instruction builders, error names. Pure.

The door to the only Python table of the program's layouts: `layouts` reads accounts, `instructions`
reads instructions, and both are offered from here. Anchor's conventions are used
(`sha256("global:<name>")[:8]`), so foreign clients work unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from settlement.chain.abi import InitialRoles, PauseBit, Role
from settlement.chain.governance import (
    AcceptAdmin,
    ApplyParams,
    ApplyRole,
    CancelNomination,
    CancelParams,
    CancelRole,
    GovernanceInstruction,
    GrantRole,
    Initialize,
    NominateAdmin,
    Pause,
    RevokeRole,
    SetParams,
    Unpause,
)
from settlement.chain.instructions import (
    ApprovePay,
    CancelRetire,
    Contest,
    DepositUsdc,
    Dismiss,
    ExecuteSeizure,
    FundBond,
    Lapse,
    Pay,
    PostBond,
    ProgramInstruction,
    ProposeSeizure,
    RecoverStray,
    Release,
    Retire,
    SetBeneficiary,
    Skip,
    SweepSurplus,
    UnknownInstruction,
    Uphold,
    WithdrawProposal,
    decode_instruction,
    encode_instruction,
)
from settlement.chain.layouts import (
    CODE_LENGTH,
    NO_CAP,
    REFERENCE_LENGTH,
    Bond,
    BondState,
    Config,
    Escrow,
    Payouts,
    SeizureState,
    UnknownAccount,
    decode_account,
)
from settlement.chain.layouts import Parameters as InitialParameters
from settlement.money import MicroUsdc

__all__ = [
    "ATA_PROGRAM",
    "CODE_LENGTH",
    "ERRORS",
    "MEMO_PROGRAM",
    "NO_CAP",
    "REFERENCE_LENGTH",
    "SYSTEM_PROGRAM",
    "TOKEN_PROGRAM",
    "AcceptAdmin",
    "ApplyParams",
    "ApplyRole",
    "ApprovePay",
    "Bond",
    "BondState",
    "CancelNomination",
    "CancelParams",
    "CancelRetire",
    "CancelRole",
    "Config",
    "Contest",
    "Deployment",
    "DepositUsdc",
    "Dismiss",
    "Escrow",
    "ExecuteSeizure",
    "FundBond",
    "GovernanceInstruction",
    "GrantRole",
    "InitialParameters",
    "InitialRoles",
    "Initialize",
    "Lapse",
    "NominateAdmin",
    "Pause",
    "PauseBit",
    "Pay",
    "Payouts",
    "PostBond",
    "ProgramInstruction",
    "ProposeSeizure",
    "RecoverStray",
    "Release",
    "Retire",
    "RevokeRole",
    "Role",
    "SeizureState",
    "SetBeneficiary",
    "SetParams",
    "Skip",
    "SweepSurplus",
    "UnknownAccount",
    "UnknownInstruction",
    "Unpause",
    "Uphold",
    "WithdrawProposal",
    "associated_token_address",
    "build",
    "create_associated_token_account",
    "decode_account",
    "decode_instruction",
    "deposit_usdc",
    "fund_bond",
    "initialize",
    "pay",
    "post_bond",
    "release",
    "retire",
    "skip",
]

TOKEN_PROGRAM: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ATA_PROGRAM: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
SYSTEM_PROGRAM: Final = Pubkey.from_string("11111111111111111111111111111111")
MEMO_PROGRAM: Final = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
LOADER_PROGRAM: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")

_ERROR_NAMES: Final = (
    "InvalidInstruction WrongAccountCount WrongProgram WrongOwner WrongTag WrongVersion"
    " WrongAddress WrongMint WrongTokenAccount FrozenTokenAccount MissingSignature Unauthorized"
    " NotWritable DuplicateAccount AlreadyInitialized WrongState Paused PauseTooSoon WrongAmount"
    " CooldownNotOver SeizureOpen NoSeizure WindowNotOver WindowOver SeizureExpired SeizureLimit"
    " EvidenceReused AlreadyContested NotContested ParamOutOfBounds RolesNotDistinct NoNomination"
    " NominationTooEarly NominationExpired AlreadyPaid AlreadySkipped SequenceTooFar"
    " SequenceTooOld CapExceeded PolicyPending Overflow Tombstoned WrongCode InsufficientVault"
    " ForbiddenAddress NothingToSweep RoleVacant SeizureTooLate NothingPending ApprovalMismatch"
)
FIRST_ERROR: Final = 6_000
ERRORS: Final[Mapping[int, str]] = dict(enumerate(_ERROR_NAMES.split(), FIRST_ERROR))


@dataclass(frozen=True)
class Deployment:
    """One deployed program and its mint; every address we use follows from the two."""

    program_id: Pubkey
    mint: Pubkey

    @cached_property
    def config(self) -> Pubkey:
        """Roles and parameters; bytes 8..40 name the owner of the till vault."""
        return self._derived(b"config")

    @cached_property
    def payouts(self) -> Pubkey:
        """Which payout numbers are gone."""
        return self._derived(b"payouts")

    @cached_property
    def till_authority(self) -> Pubkey:
        """The derived owner of the till vault (`ops_wallet` on the wire)."""
        return self._derived(b"till")

    @cached_property
    def till_vault(self) -> Pubkey:
        """The published USDC deposit address: prepaid money and earnings."""
        return associated_token_address(self.till_authority, self.mint)

    @cached_property
    def escrow(self) -> Pubkey:
        """The sum of open bonds, and owner of the bond vault."""
        return self._derived(b"escrow")

    @cached_property
    def bond_vault(self) -> Pubkey:
        """Where bonds are held."""
        return associated_token_address(self.escrow, self.mint)

    @cached_property
    def program_data(self) -> Pubkey:
        """Where the loader keeps the code and the upgrade authority."""
        return Pubkey.find_program_address([bytes(self.program_id)], LOADER_PROGRAM)[0]

    def bond(self, code: bytes, beneficiary: Pubkey) -> Pubkey:
        """The bond of this code and its first beneficiary."""
        assert len(code) == CODE_LENGTH, "a code is eight bytes"
        return self._derived(b"bond", code, bytes(beneficiary))

    def _derived(self, *seeds: bytes) -> Pubkey:
        return Pubkey.find_program_address(list(seeds), self.program_id)[0]


def associated_token_address(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """The canonical token account of this owner for this mint (classic token program)."""
    seeds = [bytes(owner), bytes(TOKEN_PROGRAM), bytes(mint)]
    return Pubkey.find_program_address(seeds, ATA_PROGRAM)[0]


def build(deployment: Deployment, instruction: ProgramInstruction) -> Instruction:
    """The instruction as the chain takes it; accounts of the deployment fill themselves in."""
    known = {
        "config": deployment.config,
        "escrow": deployment.escrow,
        "payouts": deployment.payouts,
        "till_authority": deployment.till_authority,
        "till_vault": deployment.till_vault,
        "ops_wallet_ata": deployment.till_vault,
        "bond_vault": deployment.bond_vault,
        "program_data": deployment.program_data,
        "mint": deployment.mint,
        "token_program": TOKEN_PROGRAM,
        "associated_token_program": ATA_PROGRAM,
        "system_program": SYSTEM_PROGRAM,
    }
    return encode_instruction(deployment.program_id, known, instruction)


def initialize(
    deployment: Deployment,
    *,
    upgrade_authority: Pubkey,
    funder: Pubkey,
    roles: InitialRoles,
    parameters: InitialParameters,
) -> Instruction:
    """Create Config, Escrow, Payouts and both vaults, once, by the program's upgrade authority."""
    return build(
        deployment,
        Initialize(
            upgrade_authority=upgrade_authority, funder=funder, roles=roles, parameters=parameters
        ),
    )


def deposit_usdc(
    deployment: Deployment, *, depositor: Pubkey, code: bytes, amount_microusdc: MicroUsdc
) -> Instruction:
    """Move USDC from the depositor's token account into the till vault, under a code."""
    return build(
        deployment,
        DepositUsdc(
            depositor=depositor,
            depositor_ata=associated_token_address(depositor, deployment.mint),
            code=code,
            amount_microusdc=amount_microusdc,
        ),
    )


def post_bond(
    deployment: Deployment, *, depositor: Pubkey, funder: Pubkey, code: bytes, beneficiary: Pubkey
) -> Instruction:
    """Open a bond for the beneficiary, of exactly the bond amount, paid by the depositor."""
    return build(
        deployment,
        PostBond(
            depositor=depositor,
            funder=funder,
            depositor_ata=associated_token_address(depositor, deployment.mint),
            bond=deployment.bond(code, beneficiary),
            code=code,
            beneficiary=beneficiary,
        ),
    )


def fund_bond(
    deployment: Deployment,
    *,
    payer: Pubkey,
    funder: Pubkey,
    sequence: int,
    code: bytes,
    beneficiary: Pubkey,
) -> Instruction:
    """Open a bond paid from the till vault, under a payout number."""
    return build(
        deployment,
        FundBond(
            payer=payer,
            funder=funder,
            bond=deployment.bond(code, beneficiary),
            sequence=sequence,
            code=code,
            beneficiary=beneficiary,
        ),
    )


def retire(
    deployment: Deployment,
    *,
    signer: Pubkey,
    code: bytes,
    beneficiary: Pubkey,
    first_beneficiary: Pubkey | None = None,
) -> Instruction:
    """Start the cooldown; `signer` is the beneficiary or the proposer.

    A bond handed over by `SetBeneficiary` still stands at the address of `first_beneficiary`.
    """
    bond = deployment.bond(code, first_beneficiary or beneficiary)
    return build(deployment, Retire(signer=signer, bond=bond, code=code))


def release(
    deployment: Deployment,
    *,
    code: bytes,
    beneficiary: Pubkey,
    rent_payer: Pubkey,
    destination: Pubkey | None = None,
    signed: bool = False,
    first_beneficiary: Pubkey | None = None,
) -> Instruction:
    """Send a bond back after its cooldown. Unsigned it may only go to the canonical account of
    the beneficiary (the default); signed by the beneficiary, to any `destination`.

    A bond handed over by `SetBeneficiary` still stands at the address of `first_beneficiary`.
    """
    canonical = associated_token_address(beneficiary, deployment.mint)
    instruction = build(
        deployment,
        Release(
            bond=deployment.bond(code, first_beneficiary or beneficiary),
            beneficiary=beneficiary,
            destination=destination or canonical,
            rent_payer=rent_payer,
            code=code,
        ),
    )
    accounts = list(instruction.accounts)
    accounts[1] = AccountMeta(beneficiary, is_signer=signed, is_writable=False)
    return Instruction(instruction.program_id, instruction.data, accounts)


def pay(
    deployment: Deployment,
    *,
    payer: Pubkey,
    sequence: int,
    amount_microusdc: MicroUsdc,
    code: bytes,
    reference: bytes,
    destination: Pubkey,
) -> Instruction:
    """Pay from the till vault to a token account, under a payout number."""
    return build(
        deployment,
        Pay(
            payer=payer,
            destination=destination,
            sequence=sequence,
            amount_microusdc=amount_microusdc,
            code=code,
            reference=reference,
        ),
    )


def skip(deployment: Deployment, *, signer: Pubkey, first: int, mask: int) -> Instruction:
    """Burn the numbers `first + i` for every bit `i` of the mask; signed by payer or admin."""
    return build(deployment, Skip(signer=signer, first=first, mask=mask))


def create_associated_token_account(*, funder: Pubkey, owner: Pubkey, mint: Pubkey) -> Instruction:
    """Create the owner's canonical token account; succeeds if it is already there."""
    accounts = [
        AccountMeta(funder, is_signer=True, is_writable=True),
        AccountMeta(associated_token_address(owner, mint), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=False, is_writable=False),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
        AccountMeta(TOKEN_PROGRAM, is_signer=False, is_writable=False),
    ]
    return Instruction(ATA_PROGRAM, b"\x01", accounts)
