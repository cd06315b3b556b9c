"""The tree as RFC 6962 §2.1 defines it, word by word: recursive, and all by itself."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Final

from settlement.ledger.merkle import Node, perfect, stored_under

# All trees of these tests are the first leaves of this one; no two leaves are equal.
LEAVES: Final = [sha256(b"\x00leaf %d" % index).digest() for index in range(2_000)]


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end])."""
    if start == end:
        return sha256().digest()
    if end - start == 1:
        return LEAVES[start]
    k = start + split(end - start)
    return sha256(b"\x01" + mth(start, k) + mth(k, end)).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end])."""
    n = end - start
    if n == 1:
        return []
    k = split(n)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def proof(m: int, n: int) -> list[bytes]:
    """PROOF(m, D[n])."""
    return subproof(m, 0, n, True)


def subproof(m: int, start: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b)."""
    n = end - start
    if m == n:
        return [] if whole else [mth(start, end)]
    k = split(n)
    if m <= k:
        return [*subproof(m, start, start + k, whole), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, False), mth(start, start + k)]


def turns(m: int, n: int) -> str:
    """On which side each element of PATH(m, D[n]) joins: what a path is checked by."""
    if n == 1:
        return ""
    k = split(n)
    return turns(m, k) + "R" if m < k else turns(m - k, n - k) + "L"


def fewest(known: frozenset[int], start: int, end: int) -> list[bytes]:
    """What a proof of the leaves known tells of the subtree D[start:end]."""
    if start == end:
        return []
    if known.isdisjoint(range(start, end)):
        return [mth(start, end)]
    if end - start == 1:
        return []
    k = start + split(end - start)
    return [*fewest(known, start, k), *fewest(known, k, end)]


def fetch(nodes: list[Node], leaves: list[bytes], kept: Mapping[Node, bytes]) -> dict[Node, bytes]:
    """The hashes of nodes, from leaves and what was kept, as a store would answer."""
    found: dict[Node, bytes] = {}
    for node in nodes:
        under = stored_under(node)
        if under.level == 0:
            found[node] = perfect(leaves[under.start : under.end])
        else:
            places = range(under.start, under.end)
            found[node] = perfect([kept[Node(under.level, index)] for index in places])
    return found


def flipped(digest: bytes, bit: int) -> bytes:
    """A hash with one bit of it changed."""
    return (int.from_bytes(digest) ^ (1 << bit % 256)).to_bytes(32)
