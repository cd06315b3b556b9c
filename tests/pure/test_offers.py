"""What of an agent's capabilities can be sold."""

from uuid import UUID

import msgspec
import pytest

from coordinator.offers import LARGEST_PRICE_PER_1M_MICROUSDC, model_key, model_name, offers_of
from coordinator.protocol import Capabilities, decode
from settlement.money import Price

ME = UUID(int=7)


def capabilities(*models: dict[str, object]) -> Capabilities:
    raw = msgspec.json.encode(
        {"type": "capabilities", "models": models, "limits": {"max_concurrent_total": 2}}
    )
    frame = decode(raw.decode())
    assert isinstance(frame, Capabilities)
    return frame


def model(model_id: str = "tiny", **more: object) -> dict[str, object]:
    return {"model_id": model_id, "input_per_1m": 3, "output_per_1m": 6, "backend": "vllm", **more}


def test_an_offer_keeps_the_providers_own_id() -> None:
    (offer,) = offers_of(ME, capabilities(model("DeepSeek/DeepSeek-V4", context_window=4096)))
    assert (offer.model, offer.name) == ("deepseek-v4", "DeepSeek-V4")
    assert offer.provider_model_id == "DeepSeek/DeepSeek-V4"
    assert offer.price == Price(input_per_1m_microusdc=3, output_per_1m_microusdc=6)
    assert (offer.provider_id, offer.context_window) == (ME, 4096)


def test_two_spellings_of_a_model_are_one() -> None:
    assert model_key("deepseek/DeepSeek-v4") == model_key("deepseek-v4")
    assert model_name("a/b/c") == "c"
    found = offers_of(ME, capabilities(model("x/tiny"), model("tiny", input_per_1m=9)))
    assert [each.provider_model_id for each in found] == ["x/tiny"]


def test_nothing_to_sell_is_normal() -> None:
    assert offers_of(ME, capabilities()) == ()


@pytest.mark.parametrize(
    "bad",
    [
        model(input_per_1m=0),
        model(output_per_1m=0),
        model(input_per_1m=-1),
        model(output_per_1m=LARGEST_PRICE_PER_1M_MICROUSDC + 1),
        model(input_per_1m=2**64 - 1),
        model(input_per_1m="3"),
        model(input_per_1m=1.5),
        model(""),
        model("vendor/"),
        model("x" * 257),
        model("a\nb"),
        {"model_id": "unpriced"},
        {"input_per_1m": 3, "output_per_1m": 6},
    ],
)
def test_what_cannot_be_sold_is_left_out_and_the_rest_stays(bad: dict[str, object]) -> None:
    found = offers_of(ME, capabilities(bad, model("good")))
    assert [each.name for each in found] == ["good"]


def test_a_context_window_beyond_reason_is_not_believed() -> None:
    for window in (0, -1, 10**12):
        (offer,) = offers_of(ME, capabilities(model(context_window=window)))
        assert offer.context_window is None
