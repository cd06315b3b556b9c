"""What an answer must have cost, worked out apart from the code that charges it."""

from dataclasses import dataclass

from openai import AsyncOpenAI
from openai.types import CompletionUsage

from localnet.backend_answers import count_tokens
from tests.wire.market import Market, Provider, User

INPUT_PER_1M, OUTPUT_PER_1M = 400_000, 600_000


async def client_of(market: Market, user: User, *, max_retries: int = 0) -> AsyncOpenAI:
    """An OpenAI client pointed at the proxy as the README tells people to; ends with the test."""
    client = AsyncOpenAI(base_url=user.base_url, api_key="any", max_retries=max_retries)
    return await market.stack.enter_async_context(client)


def gross_of(prompt: str, text: str) -> int:
    """The gross of an answer: both counts in o200k tokens, rounded up once."""
    owed = count_tokens(prompt) * INPUT_PER_1M + count_tokens(text) * OUTPUT_PER_1M
    return -(-owed // 1_000_000)


def check_usage(usage: CompletionUsage | None, prompt: str, text: str) -> None:
    """The usage told is what is billed."""
    assert usage is not None
    assert usage.prompt_tokens == count_tokens(prompt)
    assert usage.completion_tokens == count_tokens(text)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@dataclass(kw_only=True)
class Books:
    """What the three parties should have, answer by answer."""

    market: Market
    user: User
    provider: Provider
    spendable: int
    earned: int = 0
    treasury: int = 0

    def charge(self, gross_microusdc: int) -> None:
        """An answer was paid for: 20 % rounded down to the treasury, the rest to the operator."""
        share = gross_microusdc * 2_000 // 10_000
        self.spendable -= gross_microusdc
        self.treasury += share
        self.earned += gross_microusdc - share

    async def check(self) -> None:
        """All three have exactly that, and nothing is set aside any more."""
        assert await self.market.balance(self.user) == self.spendable
        assert await self.market.earned(self.provider.operator) == self.earned
        assert await self.market.treasury() == self.treasury
        assert await self.market.held(self.user) == 0
