"""From the raw JSON of one transaction to what moved in and out of our vaults. Pure, versioned.

Every instruction is walked, outer and inner, at any depth: the only place where money can hide from
us is an answer that is not complete, and such an answer is `Unreadable`, never "nothing happened".
Only instructions and balances are read; logs can be imitated and are cut off.

It ends with the delta check, the rule that makes unknown cases safe: for each vault, balance after
minus balance before must equal the sum of the movements found. If it does not, nothing of this
transaction is attributed to anyone: the whole change of each vault becomes one `UNEXPLAINED`
movement, so that what the books say a vault holds stays right whatever we failed to understand.

`Unreadable` holds the frontier up until another node or a newer decoder can read it, so nothing a
stranger can get into a block may ever lead to it: only what no honest, complete answer contains.

Raise `DECODER_VERSION` with every change of what this module or `attribution` can answer: the
version is stored with each transaction, so that those read by an older one can be found and read
again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from solders.pubkey import Pubkey

from indexer.executed import Instruction, account_keys, executed
from indexer.raw import (
    RawMeta,
    RawTokenBalance,
    RawTransaction,
    Unreadable,
    lamports,
    read,
    read_text,
)
from indexer.token import MovementKind, token_moves
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.chain.program import TOKEN_PROGRAM, Deployment
from settlement.money import Slot

# 2: all instructions of the bond program; 3: what contradicts itself is refused or told; 4: SOL of
# our fee payers.
DECODER_VERSION: Final = 4
NEWEST_TRANSACTION_VERSION: Final = 1
_VAULTS: Final = tuple(Vault)  # an enum is slow to walk
_LARGEST_TOKEN_AMOUNT: Final = 2**64 - 1
# The place in a movement key of a difference that belongs to no instruction.
NO_INSTRUCTION: Final = -1
# The chain began in March 2020; what claims to be later than 2100 is no time either.
_EARLIEST_SECONDS: Final = 1_584_000_000
_LATEST_SECONDS: Final = 4_102_444_800


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is ours on one cluster; the vaults' addresses follow from the deployment."""

    cluster: str
    deployment: Deployment
    payers: frozenset[Pubkey] = frozenset()  # whose SOL is in the books

    @cached_property
    def mint_text(self) -> str:
        """The mint as answers write it."""
        return str(self.deployment.mint)

    @cached_property
    def vaults(self) -> Mapping[Vault, Pubkey]:
        """The token account of each vault."""
        return {vault: self.address(vault) for vault in Vault}

    def vault(self, address: Pubkey | None) -> Vault | None:
        """Which of our vaults this token account is, if any."""
        if address == self.deployment.till_vault:
            return Vault.TILL
        return Vault.BOND if address == self.deployment.bond_vault else None

    def address(self, vault: Vault) -> Pubkey:
        """The token account of a vault."""
        match vault:
            case Vault.TILL:
                return self.deployment.till_vault
            case Vault.BOND:
                return self.deployment.bond_vault


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Tokens of the mint that entered or left a vault of ours (both, between the two)."""

    key: MovementKey
    kind: MovementKind
    source: Pubkey | None
    destination: Pubkey | None
    from_vault: Vault | None
    to_vault: Vault | None
    amount_microusdc: int  # as on chain: up to 2^64 - 1

    def change(self, vault: Vault) -> int:
        """By how much it changes this vault's balance."""
        return self.amount_microusdc * ((self.to_vault is vault) - (self.from_vault is vault))


@dataclass(frozen=True, kw_only=True)
class PayerBalance:
    """The lamports of a fee payer of ours before and after; `fee` is 0 when another paid it."""

    payer: Pubkey
    place: int  # among the transaction's keys; the first key pays the fee
    before_lamports: int
    after_lamports: int
    fee_lamports: int
    signatures: int


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """What one finalized transaction was, and did to our vaults."""

    signature: str
    moment: ChainMoment
    failed: bool
    transaction_index: int | None
    instructions: tuple[Instruction, ...]
    movements: tuple[Movement, ...]
    # Vaults whose change the movements found did not explain; then they are UNEXPLAINED ones.
    doubted: frozenset[Vault]
    # What each vault in it held before and after, in microunits of the mint.
    balances: Mapping[Vault, tuple[int, int]]
    # Token accounts of our mint whose balance rose: more than ours means the money was for others.
    gained: frozenset[Pubkey]
    # The SOL of our fee payers, where one takes part.
    payers: tuple[PayerBalance, ...]

    @property
    def explained(self) -> bool:
        """Whether the delta check held."""
        return not self.doubted

    @property
    def credit_microusdc(self) -> int:
        """The most that a vault of ours gains by one movement or by all of them."""
        return max(sum(max(0, move.change(vault)) for move in self.movements) for vault in _VAULTS)

    def called_by(self, position: int) -> Iterator[Instruction]:
        """The direct children of the instruction at `position`, found by stack height."""
        parent = self.instructions[position]
        for child in self.instructions[position + 1 :]:
            if child.height <= parent.height:  # its next sibling, or the next top-level one
                return
            if child.height == parent.height + 1:
                yield child


def decode(answer: object, *, signature: str, watch: Watch) -> Transaction:
    """Read one answer of `getTransaction` (encoding json, finalized).

    Raises `Unreadable` for an answer about another transaction, one without meta, time, balances,
    inner instructions or stack heights, one that contradicts itself, and for a version this decoder
    does not know.
    """
    return _decode(read(answer), signature, watch)


def decode_text(text: bytes, *, signature: str, watch: Watch) -> Transaction:
    """`decode`, from the JSON as a node wrote it."""
    return _decode(read_text(text), signature, watch)


def _decode(raw: RawTransaction, signature: str, watch: Watch) -> Transaction:
    meta = _checked_meta(raw, signature)
    failed = meta.err is not None
    keys = account_keys(raw, meta)
    before = _balances(meta.pre_token_balances, keys, watch)
    after = _balances(meta.post_token_balances, keys, watch)
    changes = {
        vault: after.get(address, 0) - before.get(address, 0)
        for vault, address in watch.vaults.items()
    }
    if failed and any(changes.values()):
        raise Unreadable(signature=signature, problem="it failed and yet moved our money")
    instructions = () if failed else tuple(executed(raw, meta, keys))
    movements = tuple(_movements(instructions, signature, watch))
    moved = {vault: sum(move.change(vault) for move in movements) for vault in _VAULTS}
    doubted = frozenset(vault for vault in _VAULTS if moved[vault] != changes[vault])
    if doubted:
        listed = before.keys() & after.keys()
        if not all(watch.address(v) in listed for v in doubted):
            raise Unreadable(signature=signature, problem="a vault's balances are not all there")
        movements = tuple(
            _unexplained(v, changes[v], signature, watch) for v in _VAULTS if changes[v]
        )
    return Transaction(
        signature=signature,
        moment=_moment(raw),
        failed=failed,
        transaction_index=raw.transaction_index,
        instructions=instructions,
        movements=movements,
        doubted=doubted,
        balances={
            vault: (before.get(address, 0), after.get(address, 0))
            for vault, address in watch.vaults.items()
            if address in before or address in after
        },
        gained=frozenset(key for key in after if after[key] > before.get(key, 0)),
        payers=tuple(_payers(raw, meta, keys, watch)),
    )


def _checked_meta(raw: RawTransaction, signature: str) -> RawMeta:
    if raw.transaction.signatures[:1] != [signature]:
        raise Unreadable(signature=signature, problem="the answer is about another transaction")
    if raw.version != "legacy" and not 0 <= raw.version <= NEWEST_TRANSACTION_VERSION:
        raise Unreadable(signature=signature, problem=f"version {raw.version} is not known")
    if raw.meta is None:
        raise Unreadable(signature=signature, problem="the answer has no meta")
    status, said = raw.meta.status, "Ok" if raw.meta.err is None else "Err"
    if status is not None and status.keys() != {said}:
        raise Unreadable(signature=signature, problem="err and status contradict each other")
    return raw.meta


def _moment(raw: RawTransaction) -> ChainMoment:
    if raw.block_time is None:
        raise Unreadable(signature=raw.transaction.signatures[0], problem="it has no block time")
    if not _EARLIEST_SECONDS <= raw.block_time <= _LATEST_SECONDS:
        raise Unreadable(problem=f"block time {raw.block_time} is not a time of this chain")
    block_time = datetime.fromtimestamp(raw.block_time, UTC)
    return ChainMoment(slot=Slot(raw.slot), block_time=block_time)


def _balances(
    listed: list[RawTokenBalance] | None, keys: Sequence[Pubkey], watch: Watch
) -> dict[Pubkey, int]:
    """Balances of our mint by token account; an account that is not listed did not exist."""
    if listed is None:
        raise Unreadable(problem="the answer has no token balances")
    balances: dict[Pubkey, int] = {}
    mint = watch.mint_text
    for entry in listed:
        amount = int(entry.ui_token_amount.amount)
        if entry.account_index >= len(keys) or amount > _LARGEST_TOKEN_AMOUNT:
            raise Unreadable(problem="a token balance is out of range")
        address = keys[entry.account_index]
        if entry.mint == mint:
            if address in balances:
                raise Unreadable(problem="a token account is listed twice")
            balances[address] = amount
        elif watch.vault(address) is not None:
            raise Unreadable(problem="a vault of ours holds another mint")
    return balances


def _payers(
    raw: RawTransaction, meta: RawMeta, keys: Sequence[Pubkey], watch: Watch
) -> Iterator[PayerBalance]:
    """What our fee payers held before and after. Other people's lamports are not looked at."""
    for place, key in enumerate(keys):
        if key not in watch.payers:
            continue
        told = lamports(meta)
        if place >= min(len(told.before), len(told.after)):
            raise Unreadable(problem="the lamports of a fee payer are not all there")
        yield PayerBalance(
            payer=key,
            place=place,
            before_lamports=told.before[place],
            after_lamports=told.after[place],
            fee_lamports=told.fee if place == 0 else 0,
            signatures=len(raw.transaction.signatures),
        )


def _movements(
    instructions: tuple[Instruction, ...], signature: str, watch: Watch
) -> Iterator[Movement]:
    """What the token program moved in or out of a vault; a vault paying itself moves nothing."""
    for one in instructions:
        if one.program != TOKEN_PROGRAM:
            continue
        for move in token_moves(one.data, one.accounts):
            from_vault, to_vault = watch.vault(move.source), watch.vault(move.destination)
            if from_vault is to_vault or move.amount == 0:  # neither vault, or both the same
                continue
            yield Movement(
                key=MovementKey(
                    cluster=watch.cluster,
                    signature=signature,
                    outer=one.outer,
                    inner=one.inner,
                    sub=move.sub,
                ),
                kind=move.kind,
                source=move.source,
                destination=move.destination,
                from_vault=from_vault,
                to_vault=to_vault,
                amount_microusdc=move.amount,
            )


def difference_key(vault: Vault, signature: str, watch: Watch) -> MovementKey:
    """The name of what a transaction did to a vault without an instruction that explains it."""
    return MovementKey(
        cluster=watch.cluster,
        signature=signature,
        outer=NO_INSTRUCTION,
        inner=NO_INSTRUCTION,
        sub=_VAULTS.index(vault),
    )


def _unexplained(vault: Vault, change: int, signature: str, watch: Watch) -> Movement:
    inward, address = change > 0, watch.address(vault)
    return Movement(
        key=difference_key(vault, signature, watch),
        kind=MovementKind.UNEXPLAINED,
        source=None if inward else address,
        destination=address if inward else None,
        from_vault=None if inward else vault,
        to_vault=vault if inward else None,
        amount_microusdc=abs(change),
    )
