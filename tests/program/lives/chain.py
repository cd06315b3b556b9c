"""The real chain of one life: a fixed cast, its token accounts, and everything on it read back.

Keys, mint and program id are the same in every life, so a life is found again by its steps alone.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata
from solders.transaction_status import InstructionErrorCustom, TransactionErrorInstructionError

from settlement.chain import program
from settlement.chain.layouts import Bond, Config, Escrow, Payouts
from settlement.chain.program import ERRORS, TOKEN_PROGRAM, Deployment, InitialParameters
from tests.program import world as worlds
from tests.program.model.state import Token
from tests.program.world import USDC, World, mint_account, set_upgrade_authority

HOLDERS: Final = ("admin", "proposer", "arbiter", "guardian", "payer")
PEOPLE: Final = (*HOLDERS, "authority", "alice", "bob", "carol")
FOREIGN_DECIMALS: Final = 2
LAMPORTS: Final = 1_000_000_000_000
STARTING_MICROUSDC: Final = 500 * USDC
_TOKEN_ACCOUNT_SIZE: Final = 165


def _seed(name: str) -> bytes:
    return hashlib.sha256(f"lives:{name}".encode()).digest()


KEYS: Final = {name: Keypair.from_seed(_seed(name)) for name in (*PEOPLE, "funder", "fees", "mint")}
DEPLOYMENT: Final = Deployment(Pubkey(_seed("program")), Pubkey(_seed("usdc")))
FOREIGN_MINT: Final = Pubkey(_seed("foreign"))
FUNDER: Final = KEYS["funder"].pubkey()


@cache
def key(name: str) -> Pubkey:
    """Whose key: a person, or one of ours."""
    ours = {
        "till": DEPLOYMENT.till_authority,
        "escrow": DEPLOYMENT.escrow,
        "config": DEPLOYMENT.config,
        "payouts": DEPLOYMENT.payouts,
        "nobody": Pubkey.default(),
    }
    return ours[name] if name in ours else KEYS[name].pubkey()


@cache
def canonical(name: str, mint: Pubkey = DEPLOYMENT.mint) -> Pubkey:
    """The associated token account of one of the cast."""
    return program.associated_token_address(key(name), mint)


@cache
def second(name: str) -> Pubkey:
    """Another USDC account of the same owner."""
    return Pubkey(_seed(f"second:{name}"))


@cache
def bond_address(code: bytes, beneficiary: Pubkey) -> Pubkey:
    """As the deployment derives it; asked often."""
    return DEPLOYMENT.bond(code, beneficiary)


def _first_tokens() -> dict[Pubkey, Token]:
    mint = DEPLOYMENT.mint
    tokens = {
        canonical(name): Token(mint=mint, owner=key(name), amount=STARTING_MICROUSDC)
        for name in PEOPLE
    }
    for name in ("alice", "bob", "carol"):
        tokens[second(name)] = Token(mint=mint, owner=key(name), amount=0)
    # What somebody might send to by mistake: accounts of ours that are not the vaults.
    for name in ("config", "payouts"):
        tokens[canonical(name)] = Token(mint=mint, owner=key(name), amount=0)
    for name in ("till", "escrow"):
        tokens[second(name)] = Token(mint=mint, owner=key(name), amount=0)
    for name in ("till", "escrow", "config", "payouts", "admin", "alice"):
        tokens[canonical(name, FOREIGN_MINT)] = Token(mint=FOREIGN_MINT, owner=key(name), amount=7)
    return tokens


FIRST_TOKENS: Final = _first_tokens()


def _token_bytes(token: Token) -> bytes:
    amount = token.amount.to_bytes(8, "little")
    data = bytes(token.mint) + bytes(token.owner) + amount + bytes(36) + b"\x01"
    return data.ljust(_TOKEN_ACCOUNT_SIZE, b"\0")


def new_chain(parameters: InitialParameters, base: int) -> World:
    """The program initialized, everybody with money, 500 USDC in the till.

    `base` is where the payout numbers start: written in, as no life is long enough to get far.
    """
    svm = LiteSVM().with_transaction_history(0)
    svm.add_program(DEPLOYMENT.program_id, worlds.PROGRAM.read_bytes())
    clock = svm.get_clock()
    clock.unix_timestamp = worlds.START
    svm.set_clock(clock)
    named = {name: KEYS[name] for name in (*HOLDERS, "funder")}
    world = World(
        svm=svm,
        deployment=DEPLOYMENT,
        upgrade_authority=KEYS["authority"],
        fee_payer=KEYS["fees"],
        mint_authority=KEYS["mint"],
        **named,
    )
    set_upgrade_authority(svm, DEPLOYMENT, key("authority"))
    for mint, decimals in ((DEPLOYMENT.mint, 6), (FOREIGN_MINT, FOREIGN_DECIMALS)):
        svm.set_account(mint, mint_account(key("mint"), decimals, TOKEN_PROGRAM))
    for name in (*PEOPLE, "funder", "fees"):
        svm.set_account(key(name), Account(LAMPORTS, b"", program.SYSTEM_PROGRAM))
    for address, token in FIRST_TOKENS.items():
        world.set_account(address, _token_bytes(token), TOKEN_PROGRAM)
    world.initialize(parameters)
    world.fill_till(STARTING_MICROUSDC)
    world.patch(DEPLOYMENT.payouts, 16, base.to_bytes(8, "little"))
    svm.set_account(FUNDER, Account(LAMPORTS, b"", program.SYSTEM_PROGRAM))
    return world


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything on the chain that matters, decoded."""

    accounts: Mapping[Pubkey, Config | Escrow | Bond | Payouts]
    tokens: Mapping[Pubkey, Token | None]

    @property
    def config(self) -> Config:
        """Who may do what."""
        found = self.accounts[DEPLOYMENT.config]
        assert isinstance(found, Config)
        return found

    @property
    def escrow(self) -> Escrow:
        """What the bond vault owes."""
        found = self.accounts[DEPLOYMENT.escrow]
        assert isinstance(found, Escrow)
        return found

    @property
    def payouts(self) -> Payouts:
        """Which numbers are gone."""
        found = self.accounts[DEPLOYMENT.payouts]
        assert isinstance(found, Payouts)
        return found

    @property
    def bonds(self) -> Mapping[Pubkey, Bond]:
        """Every bond and tombstone."""
        return {at: each for at, each in self.accounts.items() if isinstance(each, Bond)}

    def balance(self, address: Pubkey) -> int:
        """Microunits in a token account."""
        token = self.tokens[address]
        assert token is not None
        return token.amount


_decode = cache(program.decode_account)


@cache
def _token(data: bytes) -> Token:
    return Token(
        mint=Pubkey(data[0:32]),
        owner=Pubkey(data[32:64]),
        amount=int.from_bytes(data[64:72], "little"),
        frozen=data[108] == 2,
    )


def forget() -> None:
    """Drop what was decoded: between lives, or memory grows for ever."""
    _decode.cache_clear()
    _token.cache_clear()


def read_chain(world: World, tokens: Sequence[Pubkey]) -> Snapshot:
    """Read all accounts of the program, whatever they are, and these token accounts."""
    owned = world.svm.get_program_accounts(DEPLOYMENT.program_id)
    # They come in any order; a life must be the same life again.
    owned.sort(key=lambda found: bytes(found[0]))
    return Snapshot(
        accounts={at: _decode(account.data) for at, account in owned},
        tokens={at: _read_token(world, at) for at in tokens},
    )


def _read_token(world: World, address: Pubkey) -> Token | None:
    account = world.svm.get_account(address)
    if account is None or account.owner != TOKEN_PROGRAM:
        return None
    return _token(account.data)


@dataclass(frozen=True, kw_only=True)
class TokensMoved:
    """One inner token transfer, and which instruction of the transaction made it."""

    place: int
    source: Pubkey
    destination: Pubkey
    amount: int


def tokens_moved(
    sent: TransactionMetadata, account_keys: Sequence[Pubkey]
) -> tuple[TokensMoved, ...]:
    """What the transaction's instructions had the token program move."""
    found: list[TokensMoved] = []
    for place, inner in enumerate(sent.inner_instructions()):
        for each in (one.instruction() for one in inner):
            if account_keys[each.program_id_index] != TOKEN_PROGRAM:
                continue
            assert each.data[0] == 12, "only TransferChecked moves money"
            accounts = bytes(each.accounts)
            found.append(
                TokensMoved(
                    place=place,
                    source=account_keys[accounts[0]],
                    destination=account_keys[accounts[2]],
                    amount=int.from_bytes(bytes(each.data)[1:9], "little"),
                )
            )
    return tuple(found)


def outcome(
    sent: TransactionMetadata | FailedTransactionMetadata,
) -> tuple[int, str] | None:
    """Which instruction failed with which error of ours; anything else is a fault by itself."""
    if isinstance(sent, TransactionMetadata):
        return None
    error = sent.err()
    assert isinstance(error, TransactionErrorInstructionError), error
    raw = f"raw error {error.err} {sent.meta().logs()}"
    assert isinstance(error.err, InstructionErrorCustom), raw
    assert error.err.code in ERRORS, raw
    return error.index, ERRORS[error.err.code]


def token_instruction(tag: bytes, *accounts: tuple[Pubkey, str]) -> Instruction:
    """One instruction of the token program; flags as in the program's own table."""
    metas = [AccountMeta(at, "s" in flags, "w" in flags) for at, flags in accounts]
    return Instruction(TOKEN_PROGRAM, tag, metas)
