"""The first half of the story: a user with money, an operator with a bond, a provider to serve."""

import json
import secrets

from cli.story.pairing import Offer, pair
from cli.story.report import StoryFailed
from cli.story.stage import Operator, Stage, User, until
from cli.wallet import carry_out
from settlement.chain import program
from settlement.chain.layouts import BOND_AMOUNT
from settlement.money import MicroUsdc

DEPOSIT = MicroUsdc(25_000_000)
_BOND_CODE_PREFIX = "POD-BOND-"


async def register(stage: Stage) -> User:
    answer = await stage.coordinator.post("/v1/register")
    token = str(answer["api_token"])
    stage.report.step("register a user", note=f"deposit code {answer['deposit_code']}")
    api = stage.coordinator.below(f"/proxy/{token}")
    return User(api=api, token=token, code=bytes.fromhex(answer["deposit_code"]))


async def deposit(stage: Stage, user: User) -> None:
    wallet = stage.people.user
    instruction = program.deposit_usdc(
        stage.deployment, depositor=wallet.pubkey(), code=user.code, amount_microusdc=DEPOSIT
    )
    landed = await carry_out(stage.rpc, [instruction], wallet)
    stage.report.step("deposit on chain", id=landed.signature, amount=DEPOSIT)
    balance = await until("the deposit to be credited", lambda: _credited(user))
    stage.report.step("credited", amount=balance, note="balance of the user")


async def _credited(user: User) -> int | None:
    balance = int((await user.api.get("/balance"))["usdc_balance"])
    if balance > DEPOSIT:
        raise StoryFailed(f"deposited {DEPOSIT}, credited {balance}")
    return balance or None


async def enroll(stage: Stage) -> Operator:
    wallet = str(stage.people.operator.pubkey())
    body = json.dumps({"display_name": "Demo operator", "wallet": wallet})
    answer = await stage.coordinator.post("/v1/host/enroll", body)
    code = str(answer["bond"]["deposit_code"]).removeprefix(_BOND_CODE_PREFIX)
    stage.report.step(
        "enroll an operator", id=answer["provider_id"], note=answer["enrollment_code"]
    )
    return Operator(
        api=stage.coordinator.with_bearer(answer["host_token"]),
        provider_id=answer["provider_id"],
        code=code.encode(),
    )


async def post_bond(stage: Stage, operator: Operator) -> str:
    wallet = stage.people.operator
    instruction = program.post_bond(
        stage.deployment,
        depositor=wallet.pubkey(),
        funder=wallet.pubkey(),
        code=operator.code,
        beneficiary=wallet.pubkey(),
    )
    landed = await carry_out(stage.rpc, [instruction], wallet)
    stage.report.step("post the bond", id=landed.signature, amount=BOND_AMOUNT)

    async def is_counted() -> bool:
        return (await operator.api.get("/v1/host/profile"))["status"] != "pending"

    await until("the bond to count", is_counted)
    return landed.signature


async def pair_provider(stage: Stage, user: User, operator: Operator) -> str:
    models = stage.settings.provider.models
    if not models:
        raise StoryFailed("localnet.toml has no [[provider.models]]: what does a token cost?")
    offer = Offer(
        model_id=f"{models[0].model_id}{secrets.token_hex(4)}",
        input_per_1m=models[0].input_per_1m,
        output_per_1m=models[0].output_per_1m,
        max_concurrent=stage.settings.provider.max_concurrent,
    )
    key = await pair(stage.provider, operator.api, user.api, offer)
    stage.report.step("pair the provider", id=key, note=offer.model_id)
    return offer.model_id
