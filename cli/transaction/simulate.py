"""What the chain says a proposal would do and cost, before anybody signs it.

The instructions are tried without signatures. What they used, and a margin, becomes the compute
limit of the transaction that is signed; its fee is asked for that very message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from cli.transaction.meanings import ChainRefusal, explain
from cli.transaction.proposal import Proposal
from settlement.chain.rpc import RpcClient
from settlement.errors import Refused
from settlement.money import Lamports

_LARGEST_LIMIT_UNITS: Final = 1_400_000
_MARGIN_UNITS: Final = 1_000  # the budget instructions cost some themselves
_LAMPORTS_PER_SIGNATURE: Final = 5_000
_MICROLAMPORTS: Final = 1_000_000


class NotEnoughSol(Refused):
    """The paying wallet has too little SOL for the fee and the rent of new accounts."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a proposal would go now. `refusal` is None when it would succeed."""

    refusal: ChainRefusal | None
    logs: tuple[str, ...]
    used_units: int
    limit_units: int
    price_microlamports: int
    fee_lamports: Lamports
    rent_lamports: Lamports
    payer_lamports: Lamports


async def try_out(
    rpc: RpcClient, proposal: Proposal, program_id: Pubkey, *, price_microlamports: int = 0
) -> Trial:
    """Simulate and price a proposal. Raises `NotEnoughSol`, or the RPC client's errors."""
    rent = Lamports(sum([await rpc.rent_exempt_minimum(one.size_bytes) for one in proposal.opens]))
    has = await rpc.balance(proposal.payer)
    least = rent + _LAMPORTS_PER_SIGNATURE * len(proposal.signers_needed)
    if has < least:
        raise NotEnoughSol(
            wallet=str(proposal.payer), has=format_sol(has), needs=format_sol(Lamports(least))
        )
    recent = (await rpc.latest_blockhash()).blockhash
    open_ended = budgeted(proposal.instructions, _LARGEST_LIMIT_UNITS, 0)
    message = Message.new_with_blockhash(open_ended, proposal.payer, recent)
    tried = await rpc.simulate(bytes(Transaction.new_unsigned(message)))
    limit = min(tried.units + tried.units // 5 + _MARGIN_UNITS, _LARGEST_LIMIT_UNITS)
    instructions = budgeted(proposal.instructions, limit, price_microlamports)
    priced = Message.new_with_blockhash(instructions, proposal.payer, recent)
    fee = await rpc.fee_for(bytes(priced))
    return Trial(
        refusal=explain(tried.error, open_ended, program_id),
        logs=tried.logs,
        used_units=tried.units,
        limit_units=limit,
        price_microlamports=price_microlamports,
        fee_lamports=_estimate(priced, limit, price_microlamports) if fee is None else fee,
        rent_lamports=rent,
        payer_lamports=has,
    )


def budgeted(
    instructions: Sequence[Instruction], limit_units: int, price_microlamports: int
) -> tuple[Instruction, ...]:
    """The instructions behind what they may use, and what a unit is worth to the payer."""
    budget = [set_compute_unit_limit(limit_units)]
    if price_microlamports:
        budget.append(set_compute_unit_price(price_microlamports))
    return (*budget, *instructions)


def _estimate(message: Message, limit_units: int, price_microlamports: int) -> Lamports:
    """The fee by the published rule, for a node that does not know its own blockhash any more."""
    base = message.header.num_required_signatures * _LAMPORTS_PER_SIGNATURE
    return Lamports(base - (-limit_units * price_microlamports // _MICROLAMPORTS))


def format_sol(lamports: Lamports) -> str:
    """Nine decimals, for people."""
    whole, rest = divmod(lamports, 1_000_000_000)
    return f"{whole}.{rest:09d}"
