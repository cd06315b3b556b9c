"""Coded deposits: every version of a transaction, every depth, and those that fail."""

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from settlement.chain import program
from settlement.money import MicroUsdc
from tests.chain.recordings.recording import Recording
from tests.chain.recordings.stage import BOND_CODE, OTHER_CODE, USER_CODE, Stage, opened
from tests.chain.recordings.tokens import (
    OLD_MEMO,
    approve,
    checked,
    compute_limit,
    freeze,
    memo,
    read,
    table_created,
    table_extended,
)


async def play() -> list[Recording]:
    """All scenes of coded deposits."""
    async with opened() as stage:
        await _versions(stage)
        await _depths(stage)
        await _company(stage)
        await _failures(stage)
        return await stage.recorded()


def coded(stage: Stage, amount: int, code: bytes = USER_CODE) -> Instruction:
    """`deposit_usdc` by `user`."""
    return program.deposit_usdc(
        stage.deployment,
        depositor=stage.key("user"),
        code=code,
        amount_microusdc=MicroUsdc(amount),
    )


async def _versions(stage: Stage) -> None:
    await stage.scene("deposit-legacy", "a coded deposit, legacy", coded(stage, 11))
    await stage.scene("deposit-v0", "a coded deposit, version 0", coded(stage, 12), version=0)
    await stage.scene("deposit-v1", "a coded deposit, version 1", coded(stage, 13), version=1)
    table = await _table(stage)
    await stage.scene(
        "deposit-v0-tables",
        "a coded deposit whose vault and mint stand in a lookup table",
        coded(stage, 14),
        version=0,
        tables=[table],
    )
    user, mint, till = stage.key("user"), stage.deployment.mint, stage.deployment.till_vault
    await stage.scene(
        "transfer-v0-tables",
        "a plain transfer into a till that stands in a lookup table, with a memo",
        checked(stage.ata("user"), mint, till, user, 15),
        memo(USER_CODE.hex(), user),
        version=0,
        tables=[table],
    )
    many = [coded(stage, 100 + place, bytes([place]) * 8) for place in range(24)]
    await stage.scene("deposits-many-v1", "24 deposits under 24 codes", *many, version=1)


async def _table(stage: Stage) -> AddressLookupTableAccount:
    user, deployment = stage.key("user"), stage.deployment
    slot = stage.chain.cluster.tip.complete
    address, created = table_created(user, slot)
    stage.named("lookup table", address)
    keys = [deployment.till_vault, deployment.mint, stage.ata("user"), deployment.config]
    await stage.aside(created, table_extended(address, user, keys))
    await stage.chain.advance(2)
    return AddressLookupTableAccount(key=address, addresses=keys)


async def _depths(stage: Stage) -> None:
    called = coded(stage, 21)
    for depth in (2, 3, 4):
        called = stage.foreign.forward(called)
        name = f"deposit-called-{depth}-deep"
        await stage.scene(name, f"a coded deposit as call number {depth} of a chain", called)
    router = stage.foreign.forward(coded(stage, 22), coded(stage, 22), coded(stage, 23, OTHER_CODE))
    await stage.scene("deposits-called-by-one", "three deposits called by one program", router)


async def _company(stage: Stage) -> None:
    user = stage.key("user")
    await stage.scene(
        "deposits-equal", "two equal deposits at the top", coded(stage, 31), coded(stage, 31)
    )
    one = coded(stage, 32)
    reference = stage.named("reference key", Keypair().pubkey())
    accounts: list[AccountMeta] = [*one.accounts, read(reference)]
    await stage.scene(
        "deposit-with-reference",
        "a deposit with a reference key behind its accounts",
        Instruction(one.program_id, bytes(one.data), accounts),
    )
    await stage.scene(
        "deposit-in-company",
        "a compute limit before, memos of both programs that name another, an approval behind",
        compute_limit(200_000),
        memo(OTHER_CODE.hex(), user),
        coded(stage, 33),
        memo(OTHER_CODE.hex(), by=OLD_MEMO),
        approve(stage.ata("user"), stage.key("operator"), user, 1),
    )
    plain_and_memo = (
        checked(stage.ata("user"), stage.deployment.mint, stage.deployment.till_vault, user, 36),
        memo(OTHER_CODE.hex(), user),
    )
    await stage.scene(
        "deposit-and-transfer",
        "a coded deposit, called and not, and a plain transfer whose memo names another",
        coded(stage, 37),
        stage.foreign.forward(coded(stage, 37)),
        *plain_and_memo,
    )
    await stage.scene("deposit-bond-code", "under a bond's code", coded(stage, 34, BOND_CODE))
    await stage.scene("deposit-nobodys-code", "under nobody's code", coded(stage, 35, bytes(8)))


async def _failures(stage: Stage) -> None:
    await stage.scene(
        "deposit-failed",
        "a deposit that is good and one that is more than there is: both are undone",
        coded(stage, 41),
        coded(stage, 10**15),
        fails=True,
    )
    issuer, till = stage.wallet("mint-authority"), stage.deployment.till_vault
    mint = stage.deployment.mint
    frozen = freeze(till, mint, issuer.pubkey())
    await stage.scene("till-frozen", "the issuer freezes the till", frozen, by=[issuer])
    await stage.scene(
        "deposit-into-frozen", "a deposit into a frozen till fails", coded(stage, 42), fails=True
    )
    thawed = freeze(till, mint, issuer.pubkey(), thaw=True)
    await stage.scene("till-thawed", "the issuer thaws the till", thawed, by=[issuer])
