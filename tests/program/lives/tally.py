"""What a whole run has seen, and what it ought to have."""

from collections import Counter

from tests.program.model import refusals


class Tally:
    """What a whole run has seen."""

    def __init__(self) -> None:
        self.steps = 0
        self.transactions = 0
        self.of_several = 0
        self.outcomes = Counter[tuple[str, str]]()

    def missed(self) -> list[tuple[str, str]]:
        """What a long run ought to have seen, and this one did not."""
        any_instruction = {("any", error) for _, error in self.outcomes}
        return sorted(refusals.to_be_seen() - set(self.outcomes) - any_instruction)

    def table(self) -> str:
        """One line an instruction: how often it was done, and refused with what."""
        sent = f"{self.transactions} transactions, {self.of_several} of several instructions"
        lines = [f"{self.steps} steps, {sent}"]
        for name in sorted({name for name, _ in self.outcomes}):
            mine = {what: times for (of, what), times in self.outcomes.items() if of == name}
            done = mine.pop("done", 0)
            refused = ", ".join(f"{what} {times}" for what, times in sorted(mine.items()))
            lines.append(f"{name}: done {done}, {refused}")
        return "\n".join(lines)
