"""The middle of the story: ten requests, shared 80/20 to the microunit; nothing is missing."""

from cli.story.arrivals import DEPOSIT
from cli.story.chat import Chat
from cli.story.report import PaidRequest, StoryFailed
from cli.story.stage import Operator, Stage, User, until
from settlement.money import (
    TOKENS_PER_PRICE_UNIT,
    TREASURY_SPLIT_BPS,
    MicroUsdc,
    format_usdc,
)

_REQUESTS = 10
_LEAST_GROSS = MicroUsdc(10_000_000)
_BASIS_POINTS = 10_000


async def ask(stage: Stage, user: User, model: str) -> None:
    """Ten requests that cost at least 10 USDC together, every second one streamed."""
    price = stage.settings.provider.models[0].output_per_1m
    words = -(-_LEAST_GROSS * TOKENS_PER_PRICE_UNIT // (_REQUESTS * price)) + 1
    chat = Chat(f"{stage.running.coordinator}/proxy/{user.token}/v1", model)
    try:
        for number in range(1, _REQUESTS + 1):
            await _ask_once(stage, chat, number, words)
    finally:
        await chat.close()


async def _ask_once(stage: Stage, chat: Chat, number: int, words: int) -> None:
    answered = await chat.ask(number, words, stream=number % 2 == 0)
    charge = await stage.books.charge(answered.request_id)
    request = PaidRequest(
        id=answered.request_id,
        streamed=answered.streamed,
        output_tokens=len(answered.text.split()),
        gross=charge.gross,
        operator=charge.operator,
        treasury=charge.treasury,
    )
    check_split(request)
    stage.report.requests.append(request)
    stage.report.step(
        f"request {number}, {'streamed' if request.streamed else 'whole'}",
        id=request.id,
        amount=request.gross,
        note=f"{format_usdc(request.operator)} + {format_usdc(request.treasury)}",
    )


def check_split(request: PaidRequest) -> None:
    """20 % rounded down to the treasury, the rest to the operator. Raises `StoryFailed`."""
    if request.operator + request.treasury != request.gross:
        raise StoryFailed(f"the shares are not the gross: {request}")
    if request.treasury != request.gross * TREASURY_SPLIT_BPS // _BASIS_POINTS:
        raise StoryFailed(f"the treasury did not get 20 %: {request}")


async def check_balances(stage: Stage, user: User, operator: Operator) -> None:
    """What the user paid is what is missing there; what the operator earned is what is here.

    A request whose answer was lost when a process was killed may have been paid besides the ten: it
    counts here, because the books know it.
    """
    requests = stage.report.requests
    gross = sum(request.gross for request in requests)
    if gross < _LEAST_GROSS:
        raise StoryFailed(f"the ten requests cost only {format_usdc(gross)} USDC")

    async def add_up() -> tuple[int, int, int] | None:
        spent, count = await stage.books.spent(requests[-1].id)
        balance = int((await user.api.get("/balance"))["usdc_balance"])
        earned = int((await operator.api.get("/v1/host/balance"))["usdc_balance"])
        right = balance + spent.gross == DEPOSIT and earned == spent.operator
        return (spent.gross, earned, count) if right else None

    paid, earned, count = await until("the balances to add up", add_up)
    stage.report.step("the user paid", amount=paid, note=f"for {count} requests")
    stage.report.step("the operator earned", amount=earned)
