"""The git tree hash of a directory, from its files alone: which sources a program was built from.

Equal to `git rev-parse COMMIT:DIRECTORY` when that commit holds just these files, none executable.
"""

import hashlib
from pathlib import Path


def tree_hash(directory: Path) -> str:
    """The tree's SHA-1 in hexadecimal."""
    return _tree(directory).hex()


def _tree(directory: Path) -> bytes:
    entries: list[tuple[bytes, bytes]] = []
    for path in directory.iterdir():
        name = path.name.encode()
        if path.is_dir():
            # Git sorts a directory as if its name ended in a slash.
            entries.append((name + b"/", b"40000 " + name + b"\0" + _tree(path)))
        else:
            entries.append((name, b"100644 " + name + b"\0" + _object(b"blob", path.read_bytes())))
    return _object(b"tree", b"".join(entry for _, entry in sorted(entries)))


def _object(kind: bytes, content: bytes) -> bytes:
    return hashlib.sha1(kind + b" %d\0" % len(content) + content).digest()
