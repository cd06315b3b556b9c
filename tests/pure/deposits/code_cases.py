"""Whom does it name? (chain.md 4.5)"""

from tests.pure.deposits.case import (
    CODE,
    CODE_TEXT,
    CREDIT,
    NOTHING,
    OTHER,
    SUSPENSE,
    case,
    coded,
    plain,
)
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    TILL,
    Answer,
    Call,
    answer,
    batch,
    deposit,
    key,
    memo,
    transfer,
)

BOND_TEXT, BOND_CODE = "POD-BOND-K7Qm2xZp", b"K7Qm2xZp"
OTHER_TEXT = OTHER.hex()
OLD_MEMO = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"


def with_memos(*texts: str | bytes) -> Answer:
    """A plain transfer into the till, and memos."""
    return answer(plain(), *(memo(text) for text in texts), till=5)


CASES = (
    case("D65", "no memo", with_memos(), leads_to=SUSPENSE),
    case(
        "D66",
        "two different codes, in one memo or in two",
        with_memos(f"{CODE_TEXT} {OTHER_TEXT}"),
        with_memos(CODE_TEXT, OTHER_TEXT),
        with_memos(f"{CODE_TEXT} {BOND_TEXT}"),
        leads_to=SUSPENSE,
    ),
    case(
        "D67",
        "what is almost a code: other letters, other spaces, more or fewer of them",
        with_memos(CODE_TEXT.replace("1", "１")),  # noqa: RUF001 a full-width digit, on purpose
        with_memos(CODE_TEXT.replace("c", "с")),  # noqa: RUF001 a Cyrillic letter, on purpose
        with_memos(f"\u200b{CODE_TEXT}"),
        with_memos(f"\u00a0{CODE_TEXT}"),
        with_memos(f"{CODE_TEXT},"),
        with_memos(f"0x{CODE_TEXT}"),
        with_memos(f"{CODE_TEXT}\0"),
        with_memos(CODE_TEXT[:-1]),
        with_memos(f"{CODE_TEXT}0"),
        with_memos(f"{CODE_TEXT[:8]} {CODE_TEXT[8:]}"),
        with_memos("pod-bond-K7Qm2xZp"),
        with_memos("K7Qm2xZp"),
        leads_to=SUSPENSE,
    ),
    case(
        "D68",
        "the same code twice, in either case, in one memo or in two",
        with_memos(f"{CODE_TEXT} {CODE_TEXT.upper()}"),
        with_memos(CODE_TEXT, f"invoice 12\n{CODE_TEXT} thanks"),
        leads_to=CREDIT,
    ),
    case(
        "D69",
        "one memo, several transfers of one payer",
        answer(batch(plain(), plain()), memo(CODE_TEXT), till=10),
        leads_to=[CREDIT, CREDIT],
    ),
    case(
        "D70",
        "one memo, two payers",
        answer(plain(), plain(5, key("bob's")), memo(CODE_TEXT), till=10),
        leads_to=[SUSPENSE, SUSPENSE],
    ),
    case(
        "D71",
        "a memo inside a call",
        answer(plain(), Call(key("router"), [], b"", [memo(CODE_TEXT)]), till=5),
        leads_to=SUSPENSE,
    ),
    case(
        "D72",
        "the older memo program",
        answer(memo(CODE_TEXT, by=OLD_MEMO), plain(), till=5),
        leads_to=CREDIT,
    ),
    case(
        "D73",
        "a memo that is not UTF-8, which no memo program takes",
        with_memos(b"\xff\xfe " + CODE_TEXT.encode()),
        with_memos(CODE_TEXT.encode() + b" \xc3"),
        leads_to=SUSPENSE,
    ),
    case(
        "D74",
        "a coded deposit, and a plain transfer with a memo that names another",
        answer(deposit(CODE, 5), plain(6), memo(OTHER_TEXT), till=11),
        leads_to=[CREDIT, f"credit: till 6 for {OTHER_TEXT}"],
    ),
    case(
        "D75",
        "a program that only looks like memo",
        answer(plain(), memo(CODE_TEXT, by=str(key("imitation"))), till=5),
        leads_to=SUSPENSE,
    ),
    case(
        "D76",
        "hex digits that spell a bond's code, which is not how it is written",
        with_memos(BOND_CODE.hex()),
        leads_to=SUSPENSE,
    ),
    case(
        "D77",
        "an exchange pays us and others in one transaction, with a memo",
        answer(
            plain(),
            transfer(ALICE_ATA, key("bob's"), 7),
            memo(CODE_TEXT),
            till=5,
            balances=[(key("bob's"), DEPLOYMENT.mint, 0, 7)],
        ),
        leads_to=SUSPENSE,
    ),
    case(
        "D78",
        "a memo with nothing in it, or with very much",
        with_memos(""),
        with_memos(" \n"),
        with_memos("x" * 800),
        leads_to=SUSPENSE,
    ),
    case(
        "D79",
        "a reference key or a memo, and no money",
        answer(Call(key("shop"), [key("reference"), TILL], b""), memo(CODE_TEXT)),
        leads_to=NOTHING,
    ),
    case(
        "D81",
        "the wallet puts instructions before and after, and signers behind the memo",
        answer(
            memo(CODE_TEXT),
            Call(key("compute budget"), [], b"\x02"),
            plain(),
            Call(key("assertions"), [ALICE, ALICE_ATA], b"\x01\x02"),
            till=5,
        ),
        leads_to=CREDIT,
    ),
    case(
        "D82",
        "a code in other places: the data of others, a transfer into the bond vault",
        answer(plain(), Call(key("notes"), [ALICE], CODE_TEXT.encode()), till=5),
        answer(plain(), Call(key("notes"), [ALICE], CODE), till=5),
        leads_to=SUSPENSE,
    ),
    case(
        "D83",
        "too much, too little, twice: what came is booked as it came",
        answer(deposit(CODE, 5), deposit(CODE, 1), deposit(CODE, 10**12), till=10**12 + 6),
        leads_to=[
            CREDIT,
            f"credit: till 1 for {CODE_TEXT}",
            f"credit: till {10**12} for {CODE_TEXT}",
        ],
    ),
    case(
        "D100",
        "a transfer into the bond vault, whatever its memo says",
        answer(transfer(ALICE_ATA, BOND, 5), memo(BOND_TEXT), bond=5),
        leads_to="suspense: bond 5",
    ),
    case(
        "D106",
        "a bond's code, by instruction and by memo",
        answer(deposit(BOND_CODE, 5), till=5),
        with_memos(f"my bond: {BOND_TEXT}"),
        leads_to=f"credit: till 5 for {BOND_CODE.hex()}",
    ),
    case(
        "D107",
        "a code that names nobody is still what the payer said",
        answer(deposit(bytes(8), 5), till=5),
        with_memos("0" * 16),
        leads_to=f"credit: till 5 for {bytes(8).hex()}",
    ),
    case(
        "D108",
        "a coded deposit through a wallet whose memo names another: the instruction wins",
        answer(*coded().calls, memo(OTHER_TEXT), till=5),
        leads_to=CREDIT,
    ),
)
