"""What the program knows, as plain Python: accounts by address, tokens by address, one clock.

A `Call` is what the chain sees of one instruction: accounts, who signed, what is writable, whether
its bytes are whole. Checks raise `Refusal` with the error's name; every handler asks them in the
one order of precedence. Nothing here knows how the program does it.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final

from solders.pubkey import Pubkey

from settlement.chain.abi import OPEN_ENDED, SHAPES
from settlement.chain.instructions import ProgramInstruction, instruction_name
from settlement.chain.layouts import VACANT, Bond, BondState, Config, Escrow, PauseRecord
from settlement.chain.program import ATA_PROGRAM, SYSTEM_PROGRAM, TOKEN_PROGRAM, Deployment
from settlement.money import MicroUsdc
from tests.program.model.window import Numbers

PROGRAMS: Final = {
    "token_program": TOKEN_PROGRAM,
    "associated_token_program": ATA_PROGRAM,
    "system_program": SYSTEM_PROGRAM,
}
OPEN: Final = (BondState.POSTED, BondState.RETIRING)


class Refusal(Exception):
    """The program refuses the instruction with this error."""


def refuse_if(broken: bool, error: str) -> None:
    """Raise the refusal if it is so."""
    if broken:
        raise Refusal(error)


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token account of the classic token program."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    frozen: bool = False


@dataclass(frozen=True, kw_only=True)
class Rents:
    """Lamports that keep an account alive, by kind."""

    bond: int
    tombstone: int


@dataclass(frozen=True, kw_only=True)
class Call:
    """One instruction as the chain sees it; signers and writables are the transaction's."""

    instruction: ProgramInstruction
    accounts: Mapping[str, Pubkey]
    signers: frozenset[Pubkey]
    writable: frozenset[Pubkey]
    data_is_whole: bool = True
    surplus_accounts: int = 0

    def __getitem__(self, name: str) -> Pubkey:
        return self.accounts[name]

    @property
    def name(self) -> str:
        """The instruction's name."""
        return instruction_name(type(self.instruction))

    def signed_by(self, name: str) -> bool:
        """Whether the account of this name signed."""
        return self[name] in self.signers

    def check_shape(self, *, data_error: str | None = None) -> None:
        """Data, number of accounts, programs. `data_error` is what else is wrong with the data."""
        refuse_if(not self.data_is_whole, "InvalidInstruction")
        if data_error is not None:
            raise Refusal(data_error)
        surplus_allowed = self.name in OPEN_ENDED and self.surplus_accounts > 0
        refuse_if(self.surplus_accounts != 0 and not surplus_allowed, "WrongAccountCount")
        for name, expected in PROGRAMS.items():
            refuse_if(name in self.accounts and self[name] != expected, "WrongProgram")

    def check_writable(self) -> None:
        """Everything the program writes was offered for writing."""
        for name, flags in SHAPES[self.name].accounts:
            refuse_if("w" in flags and self[name] not in self.writable, "NotWritable")

    def check_signed(self) -> None:
        """Everybody signed who must."""
        for name, flags in SHAPES[self.name].accounts:
            refuse_if("s" in flags and not self.signed_by(name), "MissingSignature")


@dataclass(kw_only=True)
class State:
    """Everything on the chain that the program reads or writes."""

    deployment: Deployment
    rents: Rents
    upgrade_authority: Pubkey
    now: int
    config: Config
    escrow: Escrow
    numbers: Numbers
    bonds: dict[Pubkey, Bond]
    mints: frozenset[Pubkey]
    tokens: dict[Pubkey, Token]
    lamports: dict[Pubkey, int]

    def copy(self) -> "State":
        """Another state that goes its own way: values are frozen, so their holders are enough."""
        twin = copy(self)
        twin.bonds = dict(self.bonds)
        twin.tokens = dict(self.tokens)
        twin.lamports = dict(self.lamports)
        return twin

    # Accounts of ours: owner, then tag, then address.

    def check_ours(self, call: Call, name: str, expected: Pubkey) -> None:
        """The account of this name is the one of its kind."""
        if call[name] != expected:
            raise Refusal("WrongTag" if self.is_program_owned(call[name]) else "WrongOwner")

    def check_config(self, call: Call) -> Config:
        """The Config of this deployment."""
        self.check_ours(call, "config", self.deployment.config)
        return self.config

    def check_address(self, call: Call, name: str, expected: Pubkey) -> None:
        """An account that may only be this one."""
        refuse_if(call[name] != expected, "WrongAddress")

    def open_bond(self, call: Call, code: bytes) -> Bond:
        """The open bond that the call names, of this code."""
        key = call["bond"]
        if key not in self.bonds:
            raise Refusal("WrongTag" if self.is_program_owned(key) else "WrongOwner")
        bond = self.bonds[key]
        refuse_if(bond.state not in OPEN, "Tombstoned")
        refuse_if(bond.code != code, "WrongCode")
        return bond

    def is_program_owned(self, key: Pubkey) -> bool:
        """Whether the program owns the account."""
        deployment = self.deployment
        fixed = (deployment.config, deployment.escrow, deployment.payouts)
        return key in fixed or key in self.bonds

    def is_ours(self, key: Pubkey) -> bool:
        """An address whose money could never come back: ours, or nobody's."""
        return key in (self.deployment.till_authority, self.deployment.escrow, VACANT)

    # Tokens.

    def check_mint(self, call: Call) -> None:
        """The mint is the deployment's."""
        refuse_if(call["mint"] != self.deployment.mint, "WrongMint")

    def token(self, key: Pubkey, *, mint: Pubkey | None = None) -> Token:
        """A token account of this mint (the deployment's)."""
        token = self.tokens.get(key)
        if token is None:
            raise Refusal("WrongTokenAccount")
        refuse_if(token.mint != (mint or self.deployment.mint), "WrongMint")
        return token

    def token_of(self, key: Pubkey, owner: Pubkey) -> Token:
        """As `token`, and it belongs to this owner."""
        token = self.token(key)
        refuse_if(token.owner != owner, "WrongTokenAccount")
        return token

    def check_transfer(self, *tokens: Token) -> None:
        """None of them is frozen."""
        refuse_if(any(token.frozen for token in tokens), "FrozenTokenAccount")

    def transfer(self, source: Pubkey, destination: Pubkey, amount: int) -> None:
        """Move tokens; the checks were made."""
        taken = self.tokens[source]
        assert taken.amount >= amount >= 0, "the model moves what is not there"
        self.tokens[source] = replace(taken, amount=taken.amount - amount)
        given = self.tokens[destination]
        self.tokens[destination] = replace(given, amount=given.amount + amount)

    # Bonds.

    def put(self, call: Call, bond: Bond, **changes: object) -> None:
        """Write the bond that the call names."""
        self.bonds[call["bond"]] = replace(bond, **changes)  # pyright: ignore[reportArgumentType]

    def open_for(self, call: Call, *, code: bytes, beneficiary: Pubkey, amount: MicroUsdc) -> None:
        """A new bond; the funder tops its address up to the rent."""
        key, terms = call["bond"], self.config.parameters
        held = self.lamports.get(key, 0)
        needed = max(self.rents.bond - held, 0)
        self.lamports[call["funder"]] -= needed
        self.lamports[key] = held + needed
        self.bonds[key] = Bond(
            state=BondState.POSTED,
            code=code,
            beneficiary=beneficiary,
            first_beneficiary=beneficiary,
            rent_payer=call["funder"],
            amount_microusdc=amount,
            posted_at=self.now,
            cooldown_seconds=terms.cooldown_seconds,
            dispute_seconds=terms.dispute_seconds,
            decision_seconds=terms.decision_seconds,
            execution_seconds=terms.execution_seconds,
        )
        self._owe(amount, bonds=1)

    def bury(self, call: Call, bond: Bond, state: BondState) -> None:
        """Leave a tombstone; every lamport above its rent goes to who paid the bond's."""
        key = call["bond"]
        self.bonds[key] = Bond(state=state, code=bond.code)
        freed = self.lamports[key] - self.rents.tombstone
        self.lamports[key] -= freed
        self.lamports[bond.rent_payer] += freed
        self._owe(-bond.amount_microusdc, bonds=-1)

    def _owe(self, amount: int, *, bonds: int) -> None:
        self.escrow = Escrow(
            total_bonded_microusdc=MicroUsdc(self.escrow.total_bonded_microusdc + amount),
            open_count=self.escrow.open_count + bonds,
        )

    # Roles and pauses.

    def check_role(self, role: str, signer: Pubkey) -> None:
        """The signer holds the role, and somebody does."""
        holder = getattr(self.config, role)
        refuse_if(holder == VACANT, "RoleVacant")
        refuse_if(holder != signer, "Unauthorized")

    def check_pause(self, record: PauseRecord) -> None:
        """It is not paused."""
        refuse_if(self.now < record.paused_until, "Paused")

    def set_config(self, **changes: object) -> None:
        """Change fields of Config."""
        self.config = replace(self.config, **changes)  # pyright: ignore[reportArgumentType]


# What an instruction does: checks in order, then changes. Arguments are the instruction's own.
Handler = Callable[[State, Call, Any], None]
