"""What agents offer, brought into one form. Pure.

An agent advertises model ids as its backend spells them, vendor prefix and all. Users may write the
prefix or not: `deepseek/deepseek-v4` and `deepseek-v4` are one model. An offer that cannot be sold
(no price, a price beyond reason, an unusable name) is left out; the others of the agent stay.
"""

from dataclasses import dataclass
from uuid import UUID

from coordinator.protocol import AdvertisedModel, Capabilities, advertised
from settlement.money import Price

# A million dollars per million tokens; above it a worst case could leave the range of the books.
LARGEST_PRICE_PER_1M_MICROUSDC = 10**12
LARGEST_MODEL_ID = 256
LARGEST_CONTEXT_TOKENS = 100_000_000
MOST_OFFERS = 5_000


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One model at one provider's price."""

    provider_id: UUID
    model: str  # the key it is matched by
    name: str  # how it is listed to users
    provider_model_id: str  # how the provider itself calls it
    price: Price
    context_window: int | None = None


def model_name(model_id: str) -> str:
    """The model without the vendor's prefix."""
    return model_id.rsplit("/", 1)[-1]


def model_key(model_id: str) -> str:
    """What two spellings of one model have in common."""
    return model_name(model_id).casefold()


def offers_of(provider_id: UUID, capabilities: Capabilities) -> tuple[Offer, ...]:
    """Everything sellable in one `capabilities` frame; of two spellings of a model the first."""
    found: dict[str, Offer] = {}
    for raw in capabilities.models[:MOST_OFFERS]:
        model = advertised(raw)
        if model is not None and is_sellable(model):
            offer = _offer(provider_id, model)
            found.setdefault(offer.model, offer)
    return tuple(found.values())


def is_sellable(model: AdvertisedModel) -> bool:
    """Whether users can be given this model at these prices."""
    return (
        0 < model.input_per_1m <= LARGEST_PRICE_PER_1M_MICROUSDC
        and 0 < model.output_per_1m <= LARGEST_PRICE_PER_1M_MICROUSDC
        and len(model.model_id) <= LARGEST_MODEL_ID
        and model_name(model.model_id).strip() != ""
        and model.model_id.isprintable()
    )


def _offer(provider_id: UUID, model: AdvertisedModel) -> Offer:
    window = model.context_window
    usable = window is not None and 0 < window <= LARGEST_CONTEXT_TOKENS
    return Offer(
        provider_id=provider_id,
        model=model_key(model.model_id),
        name=model_name(model.model_id),
        provider_model_id=model.model_id,
        price=Price(
            input_per_1m_microusdc=model.input_per_1m,
            output_per_1m_microusdc=model.output_per_1m,
        ),
        context_window=window if usable else None,
    )
