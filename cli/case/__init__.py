"""`pod case`: an operator is accused, looked at by others, and those harmed are credited."""

# Each file of verbs adds its own to the noun.
from cli.case import crediting, files, opening, proposing, words
from cli.case.noun import case

__all__ = ["case", "crediting", "files", "opening", "proposing", "words"]
