"""Which transactions of a block mention an address, from `getBlock` with account lists. Pure.

Asked for with `transactionDetails: accounts`: a fraction of the full block, and enough to find a
signature that a listing did not show.
"""

from dataclasses import dataclass

from settlement.chain import answers
from settlement.money import Slot


@dataclass(frozen=True, kw_only=True)
class BlockLine:
    """One transaction of a block and every account it names."""

    signature: str
    failed: bool
    addresses: frozenset[str]


def block_slots(value: object) -> tuple[Slot, ...]:
    """`getBlocks`: the slots that have a block."""
    return tuple(Slot(answers.count(one, "slot")) for one in answers.items(value, "blocks"))


def block_lines(value: object) -> tuple[BlockLine, ...]:
    """`getBlock`, in the block's order."""
    block = answers.fields(value, "block")
    listed = answers.items(block.get("transactions"), "transactions")
    return tuple(_line(answers.fields(one, "transaction of a block")) for one in listed)


def _line(entry: dict[str, object]) -> BlockLine:
    signed = answers.fields(entry.get("transaction"), "transaction")
    meta = answers.fields(entry.get("meta"), "meta")
    if "err" not in meta:
        raise answers.AnswerMalformed(expected="err", at="meta")
    signatures = answers.items(signed.get("signatures"), "signatures")
    if not signatures:
        raise answers.AnswerMalformed(expected="a signature", at="signatures")
    keys = answers.items(signed.get("accountKeys"), "accountKeys")
    return BlockLine(
        signature=answers.text(signatures[0], "signature"),
        failed=meta["err"] is not None,
        addresses=frozenset(
            answers.text(answers.fields(key, "account key").get("pubkey"), "pubkey") for key in keys
        ),
    )
