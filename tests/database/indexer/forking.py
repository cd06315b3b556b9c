"""A node with confirmed blocks that may go away, and come back elsewhere."""

from dataclasses import dataclass, field, replace

from solders.pubkey import Pubkey

from settlement.chain.answers import Commitment, SignatureInfo
from settlement.money import Slot
from tests.database.indexer.node import FakeNode
from tests.pure.transactions import Answer, Json


@dataclass
class ForkingNode(FakeNode):
    """What is above the tip is confirmed only, and may go away or come back elsewhere."""

    confirmed: dict[str, Json] = field(default_factory=dict[str, Json])

    def confirm(self, *made: Answer) -> None:
        """Transactions in confirmed blocks."""
        self.confirmed.update({one.signature: one.json() for one in made})

    def finalize(self, tip: int) -> None:
        """Confirmed blocks up to a slot are final."""
        landed = {name: one for name, one in self.confirmed.items() if one["slot"] <= tip}
        self.answers.update(landed)
        self.confirmed = {name: one for name, one in self.confirmed.items() if name not in landed}
        self.tip = tip

    def drop(self, name: str) -> None:
        """The block was not the one that stayed."""
        del self.confirmed[name]

    def move(self, name: str, slot: int) -> None:
        """It stands in another block now."""
        self.confirmed[name] = self.confirmed[name] | {"slot": slot}

    async def signatures_for(
        self,
        address: Pubkey,
        *,
        before: str | None = None,
        min_context_slot: Slot | None = None,
        limit: int = 1_000,
        commitment: Commitment = Commitment.FINALIZED,
    ) -> tuple[SignatureInfo, ...]:
        with_confirmed = self._at(commitment)
        return await FakeNode.signatures_for(
            with_confirmed, address, before=before, min_context_slot=min_context_slot, limit=limit
        )

    async def transaction(
        self, signature: str, *, commitment: Commitment = Commitment.FINALIZED
    ) -> dict[str, object] | None:
        node = self._at(commitment)
        return await FakeNode.transaction(node, signature) if signature in node.answers else None

    def _at(self, commitment: Commitment) -> FakeNode:
        if commitment is Commitment.FINALIZED:
            return self
        newest = max([self.tip, *(one["slot"] for one in self.confirmed.values())])
        everything = dict(sorted((self.answers | self.confirmed).items(), key=_by_slot))
        return replace(self, answers=everything, tip=newest, asked=self.asked)


def _by_slot(item: tuple[str, Json]) -> int:
    return int(item[1]["slot"])
