"""What nodes, users and other strangers wrote, on a terminal of ours."""


def printable(line: str) -> str:
    """The line with whatever could move the cursor written out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
