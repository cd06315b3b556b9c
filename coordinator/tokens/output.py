"""Counts a stream as it is delivered, piece by piece.

Pieces cut words, so the sum over pieces is only an estimate (nearly always above the truth); the
count that matters is taken over the joined text. It is taken again whenever the estimate reaches
the limit, so a provider that cuts its text finely neither earns nor loses by it.
"""

from collections.abc import Iterable

from coordinator.tokens.o200k import Count

# A channel is one growing text: (choice, what of it), for example (0, "content").
Channel = tuple[int, str]
Piece = tuple[Channel, str]


class OutputCount:
    """Output tokens delivered so far."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._channels: dict[Channel, list[str]] = {}
        self._estimate = 0

    def fits(self, pieces: Iterable[Piece], *, limit_tokens: int) -> bool:
        """Add the pieces if the whole then stays within the limit; else leave them out."""
        added = list(pieces)
        if not added:
            return True
        estimate = self._estimate + sum(self._count(text) for _, text in added)
        self._append(added)
        if estimate > limit_tokens:
            estimate = self.total()
            if estimate > limit_tokens:
                self.take_back(added)
                return False
        self._estimate = estimate
        return True

    def total(self) -> int:
        """Tokens of everything delivered, counted over the joined texts."""
        return sum(self._count("".join(texts)) for texts in self._channels.values())

    def _append(self, pieces: list[Piece]) -> None:
        for channel, text in pieces:
            self._channels.setdefault(channel, []).append(text)

    def take_back(self, pieces: list[Piece]) -> None:
        """Undo the last additions: these pieces did not reach the user after all."""
        for channel, _ in reversed(pieces):
            self._channels[channel].pop()
