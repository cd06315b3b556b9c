"""Money that comes without an instruction of ours: transfers, memos, batches, mints, strays."""

import copy

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from settlement.chain import program
from settlement.chain.program import ATA_PROGRAM, SYSTEM_PROGRAM
from tests.chain.localnet.calls import create_token_account
from tests.chain.recordings.recording import Recording
from tests.chain.recordings.stage import BOND_CODE, OTHER_CODE, USER_CODE, Stage, opened
from tests.chain.recordings.tokens import (
    OLD_MEMO,
    TOKEN_2022,
    approve,
    batch,
    burn,
    checked,
    close,
    compute_limit,
    hand_over,
    memo,
    mint_to,
    plain,
    read,
    signs,
    token,
    with_fee,
    written,
)

CODE_TEXT = USER_CODE.hex()
_FEE_MINT_SIZE = 278  # a mint with its transfer fee behind it


async def play() -> list[Recording]:
    """All scenes without an instruction of ours."""
    async with opened() as stage:
        await _transfers(stage)
        await _memos(stage)
        await _payers(stage)
        await _batches(stage)
        await _minted(stage)
        await _astray(stage)
        await _foreign_mint(stage)
        return [*(found := await stage.recorded()), _as_an_old_node_gives_it(found)]


def _as_an_old_node_gives_it(found: list[Recording]) -> Recording:
    """Nodes that did not record inner instructions answer null."""
    whole = next(one for one in found if one.name == "transfer-called")
    answer = copy.deepcopy(whole.answer)
    answer["meta"]["innerInstructions"] = None
    return Recording(
        name="inner-null",
        why="a transfer called by a program, from a node that kept no inner instructions",
        signature=whole.signature,
        program_id=whole.program_id,
        mint=whole.mint,
        names=whole.names,
        answer=answer,
    )


def _in(stage: Stage, amount: int) -> Instruction:
    """From `user` into the till, as wallets do it."""
    user, mint = stage.key("user"), stage.deployment.mint
    return checked(stage.ata("user"), mint, stage.deployment.till_vault, user, amount)


async def _transfers(stage: Stage) -> None:
    user, till = stage.key("user"), stage.deployment.till_vault
    source = stage.ata("user")
    await stage.scene("transfer", "a plain transfer, the older kind", plain(source, till, user, 51))
    await stage.scene("transfer-checked", "as wallets make it", _in(stage, 52))
    await stage.scene("transfer-v1", "a plain transfer, version 1", _in(stage, 53), version=1)
    called = stage.foreign.forward(_in(stage, 54))
    await stage.scene("transfer-called", "a transfer called by a program", called)
    reference = stage.named("reference", Keypair().pubkey())
    with_reference = checked(source, stage.deployment.mint, till, user, 55, read(reference))
    await stage.scene("transfer-with-reference", "a reference key behind", with_reference)
    bond_vault = stage.deployment.bond_vault
    by_mistake = plain(source, bond_vault, user, 56)
    await stage.scene(
        "transfer-into-bond-vault", "into the wrong vault", by_mistake, memo(CODE_TEXT, user)
    )
    await stage.scene("transfer-of-nothing", "an amount of 0", plain(source, till, user, 0))
    mentioned = Instruction(OLD_MEMO, b"hello", [])
    await stage.scene(
        "till-mentioned",
        "a transfer between strangers that only mentions the till",
        checked(source, stage.deployment.mint, stage.ata("operator"), user, 57, read(till)),
        mentioned,
    )


async def _memos(stage: Stage) -> None:
    user = stage.key("user")
    bond_text = f"POD-BOND-{BOND_CODE.decode()}"
    await stage.scene(
        "memo-before", "a code in a memo, before", memo(CODE_TEXT, user), _in(stage, 61)
    )
    await stage.scene("memo-after", "and after", _in(stage, 62), memo(CODE_TEXT, user))
    old = memo(CODE_TEXT, by=OLD_MEMO)
    await stage.scene("memo-old-program", "by the older memo program", _in(stage, 63), old)
    await stage.scene("memo-bond-code", "a bond's code", _in(stage, 64), memo(bond_text, user))
    await stage.scene(
        "memo-in-a-sentence",
        "a code among words, in capitals",
        _in(stage, 65),
        memo(f"invoice 12\n{CODE_TEXT.upper()} thanks", user),
    )
    same = (memo(CODE_TEXT, user), memo(f"again {CODE_TEXT}"), memo(CODE_TEXT, by=OLD_MEMO))
    await stage.scene("memos-same-code", "one code in three memos", _in(stage, 66), *same)
    two = (memo(CODE_TEXT, user), memo(OTHER_CODE.hex(), user))
    await stage.scene("memos-two-codes", "two codes in two memos", _in(stage, 67), *two)
    await stage.scene(
        "memo-two-codes",
        "two codes in one memo",
        _in(stage, 68),
        memo(f"{CODE_TEXT} {bond_text}", user),
    )
    await stage.scene("memo-no-code", "a memo without a code", _in(stage, 69), memo("rent", user))
    await stage.scene(
        "memo-almost-a-code",
        "a code inside a longer word",
        _in(stage, 70),
        memo(f"0x{CODE_TEXT} {CODE_TEXT}, {CODE_TEXT}0", user),
    )
    called = stage.foreign.forward(memo(CODE_TEXT))
    await stage.scene("memo-called", "a memo inside a call", _in(stage, 71), called)
    await stage.scene("memo-alone", "a code and no money", memo(CODE_TEXT, user))


async def _payers(stage: Stage) -> None:
    user, till, mint = stage.wallet("user"), stage.deployment.till_vault, stage.deployment.mint
    aunt = await stage.person("aunt", 1_000)
    aunts = stage.ata(aunt.pubkey())
    hers = checked(aunts, mint, till, aunt.pubkey(), 81)
    text = memo(CODE_TEXT, user.pubkey())
    await stage.scene(
        "payers-two", "two pay, one memo", _in(stage, 82), hers, text, by=[user, aunt]
    )
    others = checked(stage.ata("user"), mint, aunts, user.pubkey(), 83)
    await stage.scene("paid-others-too", "others are paid too", _in(stage, 84), others, text)
    delegated = checked(stage.ata("user"), mint, till, aunt.pubkey(), 85)
    await stage.aside(approve(stage.ata("user"), aunt.pubkey(), user.pubkey(), 500))
    her_memo = memo(CODE_TEXT, aunt.pubkey())
    await stage.scene("by-delegate", "a delegate pays", delegated, her_memo, by=[aunt])
    rest = await _amount(stage, "aunt")
    closing = close(aunts, aunt.pubkey(), aunt.pubkey())
    everything = checked(aunts, mint, till, aunt.pubkey(), rest)
    await stage.scene(
        "payer-closes", "all it has, then it is closed", everything, closing, her_memo, by=[aunt]
    )


async def _amount(stage: Stage, name: str) -> int:
    address = next(key for key, known in stage.names.items() if known == f"{name}'s tokens")
    value = await stage.rpc.value("getTokenAccountBalance", address, {"commitment": "processed"})
    return int(value["amount"])


async def _batches(stage: Stage) -> None:
    user, mint = stage.key("user"), stage.deployment.mint
    source, operators = stage.ata("user"), stage.ata("operator")
    text = memo(CODE_TEXT, user)
    two = batch(_in(stage, 91), _in(stage, 91))
    await stage.scene("batch", "two equal transfers in one Batch", two)
    with_memo = batch(_in(stage, 92), _in(stage, 93))
    await stage.scene("batch-memo", "a Batch and a memo", with_memo, text)
    called = stage.foreign.forward(batch(_in(stage, 94), plain(source, operators, user, 95)))
    await stage.scene("batch-called", "a Batch called by a program", called, text)
    mixed = batch(
        burn(source, mint, user, 96),
        _in(stage, 97),
        plain(source, operators, user, 98),
        trailing=[read(stage.deployment.config)],
    )
    await stage.scene("batch-mixed", "burned, in, elsewhere; an account left over", mixed)
    many = batch(*(plain(source, stage.deployment.till_vault, user, 200 + n) for n in range(80)))
    limit = compute_limit(1_400_000)
    await stage.scene("batch-many-v1", "80 transfers in one Batch", limit, many, text, version=1)


async def _minted(stage: Stage) -> None:
    issuer, mint = stage.wallet("mint-authority"), stage.deployment.mint
    authority, till = issuer.pubkey(), stage.deployment.till_vault
    arrives = mint_to(mint, till, authority, 101)
    text = memo(CODE_TEXT, authority)
    await stage.scene("minted", "minted into the till", arrives, by=[issuer])
    called = stage.foreign.forward(mint_to(mint, till, authority, 102))
    await stage.scene(
        "minted-called", "as a bridge's receiver does, with a memo", called, text, by=[issuer]
    )
    data = b"\x0e" + (103).to_bytes(8, "little") + b"\x06"
    to_bond = token(data, written(mint), written(stage.deployment.bond_vault), signs(authority))
    await stage.scene("minted-checked", "checked, into the bond vault", to_bond, by=[issuer])


async def _astray(stage: Stage) -> None:
    user, mint = stage.wallet("user"), stage.deployment.mint
    config = stage.deployment.config
    stray = stage.named("config's tokens", program.associated_token_address(config, mint))
    sent = plain(stage.ata("user"), stray, user.pubkey(), 111)
    opened_by_user = create_token_account(user.pubkey(), config, mint)
    await stage.scene("stray", "into another account of ours", opened_by_user, sent)
    thief = await stage.person("thief", 500)
    theirs = stage.ata(thief.pubkey())
    await stage.scene(
        "handed-over",
        "money out of an account, then the account is given to the till's owner",
        plain(theirs, stage.ata("user"), thief.pubkey(), 500),
        hand_over(theirs, thief.pubkey(), stage.deployment.till_authority),
        Instruction(OLD_MEMO, CODE_TEXT.encode(), []),
        by=[thief],
    )


async def _foreign_mint(stage: Stage) -> None:
    """A mint of the newer token program that takes a fee, sent to the till's owner."""
    user, mint, owner = stage.wallet("user"), Keypair(), stage.deployment.till_authority
    rent = await stage.rpc.call("getMinimumBalanceForRentExemption", _FEE_MINT_SIZE)
    made = create_account(
        CreateAccountParams(
            from_pubkey=user.pubkey(),
            to_pubkey=mint.pubkey(),
            lamports=rent,
            space=_FEE_MINT_SIZE,
            owner=TOKEN_2022,
        )
    )
    fee = b"\x1a\x00\x00\x00" + (100).to_bytes(2, "little") + (10**6).to_bytes(8, "little")
    started = b"\x14\x06" + bytes(user.pubkey()) + b"\0"
    address = written(mint.pubkey())
    source = _account_2022(user.pubkey(), mint.pubkey())
    to = _account_2022(owner, mint.pubkey())
    await stage.aside(
        made,
        token(fee, address, by=TOKEN_2022),
        token(started, address, by=TOKEN_2022),
        *(_opened_2022(user.pubkey(), whose, mint.pubkey()) for whose in (user.pubkey(), owner)),
        token(
            b"\x07" + (900).to_bytes(8, "little"),
            address,
            written(source),
            signs(user.pubkey()),
            by=TOKEN_2022,
        ),
        by=[user, mint],
    )
    moved = with_fee(source, mint.pubkey(), to, user.pubkey(), 800, 8)
    await stage.scene(
        "foreign-mint-with-fee",
        "a token of the newer program that takes a fee, and a memo with a code",
        moved,
        memo(CODE_TEXT, user.pubkey()),
    )


def _account_2022(owner: Pubkey, mint: Pubkey) -> Pubkey:
    seeds = [bytes(owner), bytes(TOKEN_2022), bytes(mint)]
    return Pubkey.find_program_address(seeds, ATA_PROGRAM)[0]


def _opened_2022(funder: Pubkey, owner: Pubkey, mint: Pubkey) -> Instruction:
    accounts = [
        AccountMeta(funder, is_signer=True, is_writable=True),
        written(_account_2022(owner, mint)),
        read(owner),
        read(mint),
        read(SYSTEM_PROGRAM),
        read(TOKEN_2022),
    ]
    return Instruction(ATA_PROGRAM, b"\x01", accounts)
