"""The last part of the story: earnings go to a wallet, the bond goes back, the books are proved."""

import json

from cli.reconcile import reconcile_now
from cli.story.report import (
    PaidWithdrawal,
    Reconciled,
    Report,
    ReturnedBond,
    StoryFailed,
    VaultLine,
)
from cli.story.stage import Operator, Stage, until
from cli.wallet import carry_out, token_units
from settlement.chain import program
from settlement.chain.layouts import BOND_AMOUNT
from settlement.chain.rpc import RpcClient, RpcRefused
from settlement.money import format_usdc

_COOLDOWN_SECONDS = 90 * 86_400
_METHOD_NOT_FOUND = -32_601


async def withdraw(stage: Stage, operator: Operator) -> None:
    """Everything the operator may take out, to a wallet that never held USDC before."""
    balance = await operator.api.get("/v1/host/balance")
    amount = int(balance["withdrawable_usdc_balance"])
    destination = stage.people.earnings.pubkey()
    # Written as text: a binary float has already lost the amount.
    body = (
        f'{{"amount_usdc": {format_usdc(amount)}, "destination": {json.dumps(str(destination))}}}'
    )
    asked = await operator.api.post("/v1/host/withdraw", body)
    path = f"/v1/host/withdrawals/{asked['withdrawal_id']}"

    async def paid() -> str | None:
        now = await operator.api.get(path)
        if now["state"] in ("cancelled", "failed"):
            raise StoryFailed(f"the withdrawal was not paid: {now['reasons']}")
        return str(now["signature"]) if now["state"] == "final" else None

    signature = await until("the withdrawal to be final", paid)
    account = program.associated_token_address(destination, stage.deployment.mint)
    arrived = await token_units(stage.rpc, account)
    if arrived != amount:
        raise StoryFailed(f"withdrew {format_usdc(amount)}, {format_usdc(arrived)} arrived")
    stage.report.withdrawal = PaidWithdrawal(
        id=str(asked["withdrawal_id"]),
        amount=amount,
        destination=str(destination),
        signature=signature,
    )
    stage.report.step("withdraw", id=signature, amount=amount, note=f"to {destination}")


async def bring_the_bond_back(stage: Stage, operator: Operator, posted: str) -> None:
    """Retire, let 90 days of chain time pass, wait. Stops where time cannot be moved."""
    wallet = stage.people.operator
    address = stage.deployment.bond(operator.code, wallet.pubkey())
    retire = program.retire(
        stage.deployment, signer=wallet.pubkey(), code=operator.code, beneficiary=wallet.pubkey()
    )
    retired = await carry_out(stage.rpc, [retire], wallet)
    await _until_host_is(operator, "cooldown")
    stage.report.step("retire", id=retired.signature, note=f"bond {address}")
    account = program.associated_token_address(wallet.pubkey(), stage.deployment.mint)
    before = await token_units(stage.rpc, account)
    released = None
    if await pass_ninety_days(stage.rpc, stage.report):
        released = await _comes_back(stage, operator, before)
    stage.report.bond = ReturnedBond(
        address=str(address),
        amount=BOND_AMOUNT,
        posted=posted,
        retired=retired.signature,
        released=released,
    )


async def pass_ninety_days(rpc: RpcClient, report: Report) -> bool:
    """Move the chain's clock; False, and said so, on a chain that cannot."""
    try:
        await rpc.call("localnet_advanceClock", [_COOLDOWN_SECONDS])
    except RpcRefused as refusal:
        if refusal.error_code != _METHOD_NOT_FOUND:
            raise StoryFailed(str(refusal)) from refusal
        report.stopped_because = (
            "this chain's clock cannot be moved: the bond comes back after 90 days, by itself"
        )
        report.step("90 days pass", note="not on this chain")
        return False
    report.step("90 days pass", note="on the chain's clock")
    return True


async def _comes_back(stage: Stage, operator: Operator, before: int) -> str:
    """Nobody asks for it: the clearing house releases the bond on its day."""
    await _until_host_is(operator, "bond_returned")
    wallet = stage.people.operator.pubkey()
    account = program.associated_token_address(wallet, stage.deployment.mint)
    returned = await token_units(stage.rpc, account) - before
    if returned != BOND_AMOUNT:
        raise StoryFailed(f"the bond came back as {format_usdc(returned)} USDC")
    signature = str((await operator.api.get("/v1/host/profile"))["bond"]["ended_by"])
    stage.report.step("the bond comes back", id=signature, amount=returned)
    return signature


async def _until_host_is(operator: Operator, status: str) -> None:
    """Until the books have seen what happened to the bond."""

    async def is_so() -> bool:
        return (await operator.api.get("/v1/host/profile"))["status"] == status

    await until(f"the operator to be {status}", is_so)


async def reconcile(stage: Stage) -> None:
    """Books against chain at one slot; every difference must be 0."""
    found = await reconcile_now(stage.running)
    vaults = [
        VaultLine(
            name=line.vault.value,
            books=line.books_microusdc,
            chain=line.chain_microusdc,
            difference=line.difference_microusdc,
        )
        for line in found.lines
    ]
    stage.report.reconcile = Reconciled(slot=found.slot, vaults=vaults)
    for vault in vaults:
        stage.report.step(
            f"reconcile {vault.name}",
            amount=vault.chain,
            note=f"slot {found.slot}, difference {vault.difference}",
        )
    if any(vault.difference for vault in vaults):
        raise StoryFailed(f"books and chain differ at slot {found.slot}: {vaults}")
