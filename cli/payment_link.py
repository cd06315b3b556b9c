"""Payment links for phone wallets, from the command line: `pod deposit --qr`, `pod bond post --qr`.

For the commands: make the link with `deposit_link`, `bond_link` or `step_link`, and show it with
`show`, which prints the QR code, the link under it, and what stops a phone from using it. Nothing
here asks the coordinator or the chain: the wallet does when it opens the link, and is told there
what is wrong. All of them raise errors of ours (`PodError`) whose text names what is wrong.
"""

from rich.console import Console

from coordinator.api.payments import asked, link
from coordinator.api.payments.asked import BondAsked, BondStep, DepositAsked, StepAsked
from settlement.money import MicroUsdc

__all__ = ["BondStep", "bond_link", "deposit_link", "show", "step_link", "terminal_qr"]


def deposit_link(coordinator_url: str, *, code: str, amount_microusdc: MicroUsdc) -> str:
    """Pay this much in under a code: 16 hex digits, or a bond's `POD-BOND-…`.

    `coordinator_url` is the public one, https. Raises `QueryInvalid` for a code that is none, and
    `LinkNotSecure` for an address that wallets refuse.
    """
    wanted = DepositAsked(code=asked.read_code(code), amount_microusdc=amount_microusdc)
    return link.payment_link(coordinator_url.rstrip("/"), wanted)


def bond_link(coordinator_url: str, *, code: str) -> str:
    """Post the bond of this code (`POD-BOND-…`); the chain says its amount. Raises as above."""
    wanted = BondAsked(code=asked.read_bond_code(code))
    return link.payment_link(coordinator_url.rstrip("/"), wanted)


def step_link(coordinator_url: str, *, code: str, step: BondStep) -> str:
    """Retire, keep (cancel) or release the bond of this code. Raises as above."""
    wanted = StepAsked(code=asked.read_bond_code(code), step=step)
    return link.payment_link(coordinator_url.rstrip("/"), wanted)


def terminal_qr(payment_link: str) -> str:
    """The QR code in half blocks, as lines of text."""
    return link.for_terminal(payment_link)


def show(console: Console, payment_link: str) -> None:
    """Print the code, the link under it, and a warning when only this machine can open it."""
    console.print(terminal_qr(payment_link), markup=False, highlight=False, soft_wrap=True, end="")
    console.print(payment_link, markup=False, highlight=False, soft_wrap=True)
    if "https%3A" not in payment_link:
        console.print(
            "For development only: wallets open https links, and this one leads to this machine.",
            style="yellow",
        )
