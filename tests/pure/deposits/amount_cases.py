"""How much, how often, by which instruction? (chain.md 4.4)"""

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
from tests.pure.samples import executed, sample
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

TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ED25519 = Pubkey.from_string("Ed25519SigVerify111111111111111111111111111")
COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
MINT, VAULT_OF_OTHERS = DEPLOYMENT.mint, key("their vault")
HUGE = 2**63
BEFORE = "meta.preTokenBalances.0.uiTokenAmount"
# More empty parts than a call can name accounts for, then a transfer.
EMPTY = b"\0\0" * 255 + batch(plain()).data[1:]
INNER = "meta.innerInstructions.0"


def cut(tail: bytes) -> Call:
    """A Batch with one transfer and a part that is damaged."""
    whole = batch(plain())
    return Call(program.TOKEN_PROGRAM, whole.accounts, whole.data + tail)


def greedy(accounts: int = 4, data: int = 10) -> Call:
    """A Batch of one transfer that says it has more accounts or bytes than are there."""
    whole = batch(plain())
    return Call(
        program.TOKEN_PROGRAM, whole.accounts, bytes([255, accounts, data]) + whole.data[3:]
    )


def of_length(change: int) -> Call:
    """A coded deposit whose data is longer or shorter than it should be."""
    made = deposit(CODE, 5)
    data = made.data + bytes(change) if change > 0 else made.data[:change]
    return Call(made.program, made.accounts, data, made.calls)


CASES = (
    case(
        "D37",
        "two identical transfers in one transaction",
        answer(plain(), plain(), till=10),
        leads_to=[SUSPENSE, SUSPENSE],
    ),
    case(
        "D38",
        "two identical coded deposits in one transaction",
        answer(deposit(CODE, 5), deposit(CODE, 5), till=10),
        leads_to=[CREDIT, CREDIT],
    ),
    case(
        "D39",
        "a Batch with several transfers at the top level",
        answer(batch(plain(), transfer(ALICE_ATA, key("else"), 9), plain()), till=10),
        leads_to=[SUSPENSE, SUSPENSE],
    ),
    case(
        "D40",
        "a Batch called by a program of others",
        answer(Call(key("router"), [], b"", [batch(plain(), plain())]), till=10),
        leads_to=[SUSPENSE, SUSPENSE],
    ),
    case(
        "D41",
        "a Batch with accounts left over, or damaged behind its last good part",
        answer(batch(plain(), trailing=[key("left over")]), till=5),
        answer(cut(b"\x03"), till=5),
        answer(cut(b"\x03\x09\x03"), till=5),
        leads_to=SUSPENSE,
    ),
    case(
        "D42",
        "a Batch in a Batch, or parts that cannot be read, and the vault holds more",
        answer(batch(batch(plain())), till=5),
        answer(Call(program.TOKEN_PROGRAM, [ALICE_ATA], batch(plain()).data), till=5),
        answer(greedy(accounts=5), till=5),
        answer(greedy(data=11), till=5),
        answer(Call(program.TOKEN_PROGRAM, batch(plain()).accounts, b"\xff" + EMPTY), till=5),
        answer(Call(program.TOKEN_PROGRAM, batch(plain()).accounts, b"\xff\x09\x0a"), till=5),
        leads_to="quarantine: till +5",
    ),
    case(
        "D118",
        "a transfer, checked or not, that is one byte too short, and the vault holds more",
        answer(Call(program.TOKEN_PROGRAM, plain().accounts, plain().data[:-1]), till=5),
        answer(token(3, ALICE_ATA, TILL, data=u64(5)[:-1]), till=5),
        answer(token(7, MINT, TILL, data=u64(5)[:-1]), till=5),
        leads_to="quarantine: till +5",
    ),
    case(
        "D43",
        "a mixed Batch: money in, burned, money out",
        answer(
            batch(plain(10), token(8, TILL, MINT, data=u64(3)), transfer(TILL, ALICE_ATA, 4)),
            till=3,
        ),
        leads_to=["suspense: till 10", "outflow: till 3", "outflow: till 4"],
    ),
    case(
        "D44",
        "burned out of a vault, plain or checked",
        answer(token(8, BOND, MINT, data=u64(5)), bond=-5),
        answer(token(15, BOND, MINT, data=u64(5) + b"\x06"), bond=-5),
        leads_to="outflow: bond 5",
    ),
    case("D45", "a vault pays itself", answer(transfer(TILL, TILL, 5)), leads_to=NOTHING),
    case(
        "D46",
        "minted into the till by the checked instruction, with a memo",
        answer(token(14, MINT, TILL, data=u64(5) + b"\x06"), memo(CODE.hex()), till=5),
        leads_to=SUSPENSE,
    ),
    case(
        "D47",
        "minted into the till, as what arrives from another chain is",
        answer(token(7, MINT, TILL, data=u64(5)), till=5),
        leads_to=SUSPENSE,
    ),
    case(
        "D48",
        "more than the books can hold",
        Answer(calls=[plain(HUGE)], balances=[(TILL, MINT, 0, HUGE)]),
        leads_to=f"quarantine: till +{HUGE}",
    ),
    case(
        "D49",
        "less arrives than the instruction says, as with a fee on transfers",
        answer(plain(7), memo(CODE.hex()), till=5),
        answer(transfer(ALICE_ATA, TILL, 7, by=TOKEN_2022, checked=True), till=5),
        leads_to="quarantine: till +5",
    ),
    case(
        "D50",
        "a balance that is no amount",
        *every(coded(), f"{BEFORE}.amount", "-1", "1.0", "1e3", "", " 1", "0x1", "1_0", "٣"),
        *every(coded(), f"{BEFORE}.amount", 1, 1.0, None, True, str(2**64), "9" * 30),
        spoiled(coded(), drop(f"{BEFORE}.amount")),
        leads_to=UNREADABLE,
    ),
    case(
        "D51",
        "an instruction of ours that is too long or too short",
        answer(of_length(1), till=5),
        answer(of_length(-1), till=5),
        leads_to=["unrecognized", SUSPENSE],
    ),
    case(
        "D52",
        "an instruction of ours with a role or a pause that has no name, or unknown at all",
        *(
            answer(Call(DEPLOYMENT.program_id, made.accounts, made.data[:8] + b"\x09"))
            for made in (executed(sample(program.Pause)), executed(sample(program.RevokeRole)))
        ),
        answer(Call(DEPLOYMENT.program_id, [], b"seizures")),
        leads_to="unrecognized",
    ),
    case(
        "D53",
        "the float beside the amount says something else",
        *every(coded(), f"{BEFORE}.uiAmount", 1e308, -1, "many", None),
        leads_to=CREDIT,
    ),
    case(
        "D54",
        "decimals and the amount for people say something else",
        *every(coded(), f"{BEFORE}.decimals", 9, -1, None),
        *every(coded(), f"{BEFORE}.uiAmountString", "7", None),
        leads_to=CREDIT,
    ),
    case(
        "D55",
        "lamports taken out of a token account (38, 45)",
        answer(token(38, TILL, ALICE), token(45, TILL, ALICE, data=b"\x01" + u64(5))),
        leads_to=NOTHING,
    ),
    case(
        "D56",
        "approved, revoked, synchronized, closed, opened: no tokens move",
        *(answer(token(opcode, TILL, ALICE, data=u64(5))) for opcode in (1, 4, 5, 9, 13, 17, 22)),
        leads_to=NOTHING,
    ),
    case(
        "D57",
        "extra accounts behind a transfer or a deposit, as reference keys are",
        answer(transfer(ALICE_ATA, TILL, 5, extra=[key("reference")]), memo(CODE.hex()), till=5),
        answer(
            Call(
                DEPLOYMENT.program_id,
                [*deposit(CODE, 5).accounts, key("reference")],
                deposit(CODE, 5).data,
                deposit(CODE, 5).calls,
            ),
            till=5,
        ),
        leads_to=CREDIT,
    ),
    case(
        "D58",
        "a multisig pays: its signers stand behind",
        answer(transfer(ALICE_ATA, TILL, 5, extra=[key("one"), key("two")]), till=5),
        leads_to=SUSPENSE,
    ),
    case(
        "D59",
        "a delegate moves the payer's tokens, with a memo",
        answer(
            Call(program.TOKEN_PROGRAM, [ALICE_ATA, TILL, key("delegate")], b"\x03" + u64(5)),
            memo(CODE.hex()),
            till=5,
        ),
        leads_to=CREDIT,
    ),
    case(
        "D60",
        "the paying account is closed in the same transaction",
        answer(
            plain(),
            memo(CODE.hex()),
            token(9, ALICE_ATA, ALICE),
            till=5,
            balances=[(ALICE_ATA, MINT, 5, None)],
        ),
        leads_to=CREDIT,
    ),
    case(
        "D61",
        "an aggregator pays out of a vault of its own",
        answer(Call(key("aggregator"), [], b"", [plain(5, VAULT_OF_OTHERS)]), till=5),
        leads_to=SUSPENSE,
    ),
    case(
        "D62",
        "instructions that name what is not there",
        *every(coded(), "transaction.message.instructions.0.programIdIndex", 99, -1, 2**64),
        *every(coded(), "transaction.message.instructions.0.accounts", [99], [-1], [0.5], None),
        *every(coded(), f"{INNER}.index", 1, -1, 2**31, None, "0"),
        leads_to=UNREADABLE,
    ),
    case(
        "D63",
        "instructions that log nothing stand before",
        answer(
            Call(ED25519, [], b"\x00"),
            Call(COMPUTE_BUDGET, [], b"\x02\0\0\0\0"),
            deposit(CODE, 5),
            till=5,
        ),
        leads_to=CREDIT,
    ),
    case(
        "D64",
        "logs that lie, are cut off, or are missing: they are not read",
        *every(coded(), "meta.logMessages", None, ["Log truncated"], ["Program log: 999"], 7),
        spoiled(coded(), drop("meta.logMessages"), put("meta.returnData", {"data": "x"})),
        leads_to=CREDIT,
    ),
)
