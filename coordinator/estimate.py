"""How long an answer will likely be, which is what is reserved for it before it runs. Pure.

To reserve the longest answer possible would lock out users who can pay for what they ask. So what
is reserved is what 95 of 100 answers of this model to prompts of about this size stayed within
lately; a longer answer reserves more while it runs. What was never seen is taken for an eighth of
the most it may be, 1,024 tokens at most.
"""

from collections import OrderedDict, deque

# Of each kind so many answers are remembered; fewer than `_ENOUGH` say nothing yet.
_REMEMBERED = 64
_ENOUGH = 8
_MOST_KINDS = 4_096
_UNSEEN_SHARE = 8
_UNSEEN_MOST_TOKENS = 1_024
# Below this, reserving more would come too soon to be worth it.
_LEAST_TOKENS = 16


class Estimates:
    """Lengths of the answers seen lately, by model and size of the prompt; one per process."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, int], deque[int]] = OrderedDict()

    def output_tokens(self, model: str, *, input_tokens: int, most: int) -> int:
        """How many tokens to reserve for an answer of `most` tokens at most."""
        seen = self._seen.get(_kind(model, input_tokens), ())
        if len(seen) < _ENOUGH:
            likely = min(most // _UNSEEN_SHARE, _UNSEEN_MOST_TOKENS)
        else:
            likely = sorted(seen)[-(-95 * len(seen) // 100) - 1]
        return max(1, min(most, max(likely, _LEAST_TOKENS)))

    def observe(self, model: str, *, input_tokens: int, output_tokens: int) -> None:
        """An answer came to its end by itself."""
        kind = _kind(model, input_tokens)
        if kind not in self._seen and len(self._seen) >= _MOST_KINDS:
            self._seen.popitem(last=False)  # that nobody asked for the longest
        self._seen.setdefault(kind, deque(maxlen=_REMEMBERED)).append(output_tokens)
        self._seen.move_to_end(kind)


def _kind(model: str, input_tokens: int) -> tuple[str, int]:
    """Prompts of one kind are less than twice as long as each other."""
    return model, input_tokens.bit_length()
