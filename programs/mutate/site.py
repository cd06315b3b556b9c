"""What a mutant is: one check of the program taken away, as edits of the source text."""

from dataclasses import dataclass

# Stands in an edit for the mutant's number, which is given when all are known.
NUMBER = "@@"
OFF = f"crate::mutant::off({NUMBER})"


@dataclass(frozen=True, kw_only=True)
class Site:
    """One check: the source range [start, end) and what is put around it.

    `replacement` stands for the whole range when it is not None. Ranges of two sites lie apart or
    one inside the other.
    """

    start: int
    end: int
    before: str = ""
    after: str = ""
    replacement: str | None = None
    what: str


@dataclass(frozen=True, kw_only=True, order=True)
class Mutant:
    """One numbered mutant, and how it is told: its key survives a shift of lines."""

    number: int
    file: str
    function: str
    what: str

    @property
    def key(self) -> tuple[str, str, str]:
        """File, function, what was taken away."""
        return (self.file, self.function, self.what)
