"""Which mint, which program, which account? (chain.md 4.2 and 4.3)"""

from solders.pubkey import Pubkey

from settlement.chain import program
from tests.pure.deposits.case import (
    CODE,
    CREDIT,
    NOTHING,
    SUSPENSE,
    UNREADABLE,
    case,
    coded,
    drop,
    every,
    plain,
    put,
    spoiled,
    token,
    u64,
)
from tests.pure.samples import executed
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    TILL,
    Answer,
    Call,
    answer,
    checked,
    deposit,
    key,
    memo,
    transfer,
)

TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
FOREIGN, STRAY, BOB = key("foreign mint"), key("till owner's other account"), key("bob's")
MINT = DEPLOYMENT.mint
SET_OWNER, SET_CLOSE = b"\x02\x01", b"\x03\x01"


def through(depth: int, made: Call) -> Call:
    """The call made by programs of others, this deep."""
    for level in range(depth):
        made = Call(key(f"router {level}"), [ALICE], b"route", [made])
    return made


def recovered(mint: Pubkey, *moved: Call) -> Call:
    """`recover_stray`, and what it called."""
    instruction = program.RecoverStray(
        admin=ALICE,
        authority=DEPLOYMENT.till_authority,
        stray=STRAY,
        destination=TILL if mint == MINT else BOB,
        stray_mint=mint,
    )
    return executed(instruction, *moved)


CASES = (
    case(
        "D15",
        "a token with our name and decimals, of another mint",
        answer(transfer(ALICE_ATA, STRAY, 5), balances=[(STRAY, FOREIGN, 0, 5)]),
        leads_to=NOTHING,
    ),
    case(
        "D16",
        "a token of the newer token program, sent to an account of ours",
        answer(
            transfer(ALICE_ATA, STRAY, 5, by=TOKEN_2022, checked=True),
            balances=[(STRAY, FOREIGN, 0, 5)],
        ),
        leads_to=NOTHING,
    ),
    case(
        "D17",
        "a foreign program whose data looks like a transfer into the vault",
        answer(transfer(ALICE_ATA, TILL, 5, by=key("imitation"))),
        answer(transfer(ALICE_ATA, TILL, 5, by=TOKEN_2022, checked=True)),
        leads_to=NOTHING,
    ),
    case(
        "D18",
        "a program that looks like ours makes a real transfer under a code",
        answer(
            Call(key("imitation"), deposit(CODE, 5).accounts, deposit(CODE, 5).data, [plain()]),
            till=5,
        ),
        leads_to=SUSPENSE,
    ),
    case(
        "D19",
        "wrapped or bridged USDC, which is another mint, with a memo",
        answer(
            transfer(ALICE_ATA, STRAY, 5),
            memo(CODE.hex()),
            balances=[(STRAY, key("wrapped"), None, 5)],
        ),
        leads_to=NOTHING,
    ),
    case(
        "D20",
        "a vault of ours is said to hold another mint",
        *every(coded(), "meta.postTokenBalances.0.mint", str(FOREIGN), ""),
        spoiled(
            answer(Call(key("anything"), [TILL], b"")),
            put("meta.preTokenBalances.0.mint", str(FOREIGN)),
            put("meta.postTokenBalances.0.mint", str(FOREIGN)),
        ),
        leads_to=UNREADABLE,
    ),
    case(
        "D22",
        "our mint moves between strangers, and the vault is only named",
        answer(
            transfer(ALICE_ATA, BOB, 5, extra=[TILL]),
            balances=[(ALICE_ATA, MINT, 9, 4), (BOB, MINT, 0, 5)],
        ),
        leads_to=NOTHING,
    ),
    case(
        "D23",
        "money sent to another token account of the till's owner",
        answer(transfer(ALICE_ATA, STRAY, 5), balances=[(STRAY, MINT, 0, 5)]),
        leads_to=NOTHING,
    ),
    case(
        "D24",
        "what went astray is recovered into the till, with a memo beside it",
        answer(recovered(MINT, checked(STRAY, TILL, 5)), memo(CODE.hex()), till=5),
        leads_to="stray_recovered",
    ),
    case(
        "D25",
        "an account that held money and gave it away is handed to us",
        answer(
            transfer(ALICE_ATA, BOB, 5),
            transfer(BOB, ALICE_ATA, 5),
            token(6, BOB, data=SET_OWNER + bytes(DEPLOYMENT.till_authority)),
            balances=[(BOB, MINT, 0, 0), (ALICE_ATA, MINT, 9, 9)],
        ),
        leads_to=NOTHING,
    ),
    case(
        "D26",
        "owner and program of a balance lie or are missing: they are not read",
        *every(coded(), "meta.postTokenBalances.0.owner", str(ALICE), None, 7),
        *every(coded(), "meta.postTokenBalances.0.programId", str(TOKEN_2022), None),
        spoiled(coded(), drop("meta.postTokenBalances.0.owner")),
        leads_to=CREDIT,
    ),
    case(
        "D27",
        "an account handed over with a close authority of somebody else's",
        answer(
            token(6, BOB, data=SET_CLOSE + bytes(ALICE)),
            token(6, BOB, data=SET_OWNER + bytes(DEPLOYMENT.escrow)),
            balances=[(BOB, MINT, 5, 5)],
        ),
        leads_to=NOTHING,
    ),
    case(
        "D28",
        "the balance before is missing, and what moved does not make the one after",
        Answer(calls=[deposit(CODE, 5)], balances=[(TILL, MINT, None, 1_000)]),
        leads_to=UNREADABLE,
    ),
    case(
        "D29",
        "the vault was opened in the same transaction",
        Answer(calls=[deposit(CODE, 5)], balances=[(TILL, MINT, None, 5)]),
        leads_to=CREDIT,
    ),
    case(
        "D30",
        "the balance after is missing",
        Answer(calls=[deposit(CODE, 5)], balances=[(TILL, MINT, 1_000, None)]),
        leads_to=UNREADABLE,
    ),
    case(
        "D31",
        "a coded deposit made by programs of others, two to four deep",
        *(answer(memo("first"), through(depth, deposit(CODE, 5)), till=5) for depth in (1, 2, 3)),
        leads_to=CREDIT,
    ),
    case(
        "D32",
        "money moved into a vault that has no balance at all",
        Answer(calls=[deposit(CODE, 5)], balances=[]),
        Answer(calls=[plain()], balances=[(ALICE_ATA, MINT, 9, 4)]),
        leads_to=UNREADABLE,
    ),
    case(
        "D33",
        "the vault is only mentioned",
        answer(Call(key("anything"), [TILL, BOND], b"hello"), memo(CODE.hex())),
        leads_to=NOTHING,
    ),
    case(
        "D34",
        "a transfer of nothing, under a memo",
        answer(plain(0), memo(CODE.hex())),
        leads_to=NOTHING,
    ),
    case(
        "D35",
        "dust from an address that looks like somebody's",
        answer(plain(1, key("alicf")), till=1),
        leads_to="suspense: till 1",
    ),
    case(
        "D36",
        "money goes from one vault to the other without an instruction of ours",
        answer(checked(BOND, TILL, 5), memo(CODE.hex()), bond=-5, till=5),
        leads_to=["outflow: bond 5", SUSPENSE],
    ),
    case(
        "D84",
        "somebody pays under another person's code",
        answer(deposit(CODE, 5, depositor=key("aunt")), till=5),
        answer(plain(5, key("aunt's")), memo(CODE.hex()), till=5),
        leads_to=CREDIT,
    ),
    case(
        "D105",
        "a delegate or the issuer takes money out of a vault",
        answer(transfer(TILL, BOB, 5), till=-5),
        answer(token(8, TILL, MINT, data=u64(5)), till=-5),
        leads_to="outflow: till 5",
    ),
    case(
        "D101",
        "the issuer freezes a vault, thaws it, and says who may close it",
        answer(token(10, TILL, MINT), token(11, TILL, MINT), token(6, TILL, data=SET_CLOSE)),
        spoiled(answer(token(10, BOND, MINT)), put("meta.logMessages", None)),
        leads_to=NOTHING,
    ),
)
