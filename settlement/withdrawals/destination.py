"""Asking the chain about a destination before anything is held.

Read at the finalized slot, as the road does before it sends: what only just came to be is not there
yet, and would be found missing again. While no node answers nothing is accepted: an amount that
sat on hold for an address nobody looked at would help nobody (ADR 0033).
"""

from solders.pubkey import Pubkey

from settlement.chain.program import Deployment
from settlement.payouts.destinations import Unpayable, kind_of, verdict
from settlement.payouts.intent import DestinationKind, DestinationRefused
from settlement.payouts.survey import AccountReader, look_at, read_payer


async def checked(
    chain: AccountReader, address: Pubkey, *, deployment: Deployment, opened: int
) -> DestinationKind:
    """What stands there: a wallet or a token account that can be paid.

    Raises `DestinationRefused` naming `destination`, `TillUnreadable`, and what the node's client
    raises.
    """
    payer = await read_payer(chain, deployment)
    standing = await look_at(chain, address, deployment=deployment, payer=payer)
    kind = kind_of(standing.account)
    found = verdict(standing, kind, deployment=deployment, opened=opened)
    if isinstance(found, Unpayable):
        raise DestinationRefused(field="destination", problem=found.reason)
    return kind


def unchecked(address: Pubkey) -> DestinationKind:
    """Without a chain to ask, only what a key can sign for may be a wallet.

    Raises `DestinationRefused`.
    """
    if not address.is_on_curve():
        raise DestinationRefused(
            field="destination", problem="not a wallet: no key can sign for it"
        )
    return DestinationKind.WALLET
