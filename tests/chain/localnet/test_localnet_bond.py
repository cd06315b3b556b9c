"""A deposit and a bond's life through the bond program on the embedded chain."""

from collections.abc import Sequence

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from localnet.embedded import RunningChain
from localnet.tokens import associated_address
from settlement.chain.program import (
    Deployment,
    InitialParameters,
    InitialRoles,
    deposit_usdc,
    initialize,
    post_bond,
    release,
    retire,
)
from settlement.money import MicroUsdc
from tests.chain.localnet.calls import Rpc, RpcFailed

BOND = 50_000_000
NINETY_DAYS = 90 * 86_400
CODE = b"Operator"


@pytest.fixture
async def deployment(localnet: RunningChain, rpc: Rpc) -> Deployment:
    assert localnet.program_id is not None
    deployment = Deployment(localnet.program_id, localnet.mint)
    authority = localnet.keys["upgrade-authority"]
    roles = {
        name: localnet.keys[name].pubkey()
        for name in ("admin", "proposer", "arbiter", "guardian", "payer")
    }
    await rpc.execute(
        [
            initialize(
                deployment,
                upgrade_authority=authority.pubkey(),
                funder=authority.pubkey(),
                roles=InitialRoles(**roles),
                parameters=InitialParameters(),
            )
        ],
        authority,
    )
    return deployment


async def token_amount(rpc: Rpc, account: Pubkey) -> int:
    value = await rpc.value("getTokenAccountBalance", str(account), {"commitment": "processed"})
    return int(value["amount"])


async def test_a_deposit_by_code_reaches_the_till(
    localnet: RunningChain, rpc: Rpc, deployment: Deployment
) -> None:
    user = localnet.keys["user"]
    amount = MicroUsdc(25_000_000)
    instruction = deposit_usdc(
        deployment, depositor=user.pubkey(), code=b"abcd1234", amount_microusdc=amount
    )
    signature = await rpc.execute([instruction], user)
    assert await token_amount(rpc, deployment.till_vault) == amount
    await localnet.until(signature, "confirmed")
    transaction = await rpc.call(
        "getTransaction", str(signature), {"commitment": "confirmed", "encoding": "json"}
    )
    meta = transaction["meta"]
    keys = transaction["transaction"]["message"]["accountKeys"]
    moved = {
        keys[balance["accountIndex"]]: int(balance["uiTokenAmount"]["amount"])
        for balance in meta["postTokenBalances"]
    }
    assert moved[str(deployment.till_vault)] == amount
    inner = meta["innerInstructions"][0]["instructions"]
    assert [one["stackHeight"] for one in inner] == [2]


async def test_a_bond_is_posted_retired_and_released_after_ninety_days(
    localnet: RunningChain, rpc: Rpc, deployment: Deployment
) -> None:
    operator = localnet.keys["operator"]
    wallet = associated_address(operator.pubkey(), localnet.mint)
    before = await token_amount(rpc, wallet)

    async def run(*instructions: Instruction, signers: Sequence[Keypair] = (operator,)) -> None:
        await rpc.execute(instructions, *signers)

    await run(
        post_bond(
            deployment,
            depositor=operator.pubkey(),
            funder=operator.pubkey(),
            code=CODE,
            beneficiary=operator.pubkey(),
        )
    )
    assert await token_amount(rpc, deployment.bond_vault) == BOND
    await run(
        retire(deployment, signer=operator.pubkey(), code=CODE, beneficiary=operator.pubkey())
    )
    back = release(
        deployment, code=CODE, beneficiary=operator.pubkey(), rent_payer=operator.pubkey()
    )
    await rpc.call("localnet_advanceClock", NINETY_DAYS - 60)
    with pytest.raises(RpcFailed) as early:
        await run(back)
    assert early.value.code == -32002
    assert early.value.data["err"] == {"InstructionError": [0, {"Custom": 6019}]}
    assert "custom program error: 0x1783" in early.value.message
    await rpc.call("localnet_advanceClock", 61)
    await run(back)
    assert await token_amount(rpc, deployment.bond_vault) == 0
    assert await token_amount(rpc, wallet) == before
