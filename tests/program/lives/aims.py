"""What rules aim at: the person who may, the number at the window's edge, the amount at the cap.

Most draws are right, so that lives get somewhere; the rest is wrong in one way each.
"""

from dataclasses import replace
from typing import Final

from hypothesis import strategies as st
from solders.pubkey import Pubkey

from settlement.chain.layouts import VACANT, Bond, BondState, SeizureState
from tests.program.lives.chain import (
    DEPLOYMENT,
    FOREIGN_MINT,
    PEOPLE,
    canonical,
    key,
    second,
    token_instruction,
)
from tests.program.lives.stage import Stage
from tests.program.model.state import OPEN
from tests.program.model.window import LARGEST
from tests.program.world import USDC

_WORD: Final = 64
_WINDOW: Final = 8_192

# Whoever may, or somebody by name.
people = st.sampled_from((*("right",) * 150, *PEOPLE))
which = st.integers(0, 9)
# Whether to wait for the moment that something hangs on, and how exactly.
patience = st.sampled_from((None, None, None, None, -1, 0, 0, 1))
# Whether what is tried now was prepared, if it must be.
idle = st.sampled_from((False, False, False, True))
# Whether the mint freezes one of the accounts just then.
frost = st.sampled_from(("none",) * 14 + ("from", "to"))
numbers = st.sampled_from(
    (
        *("free",) * 50,
        *("base", "next word", "below", "last", "beyond", "burned", "paid", "last paid", "largest")
        * 2,
        "approved",
        "approved",
        "approved",
    )
)
amounts = st.sampled_from(
    (
        *(1, USDC, 5 * USDC, 40 * USDC) * 2,
        "nothing",
        "single cap",
        "above it",
        "window rest",
        "above the rest",
        "all",
        "more than all",
        "largest",
        "approved",
        "approved",
        "approved",
    )
)
destinations = st.sampled_from(
    (
        *(f"{kind}:{name}" for kind in ("first", "second") for name in ("alice", "bob", "carol")),
        *("right",) * 20,
        "first:payer",
        "till vault",
        "bond vault",
        "till's other",
        "escrow's other",
        "foreign",
        "wallet",
        "config's",
        *("approved",) * 4,
    )
)


class Aims(Stage):
    """Finds what the words of a draw mean at this moment."""

    def who(self, name: str, right: Pubkey) -> Pubkey:
        """The right one, unless somebody else is named."""
        if name != "right":
            return key(name)
        return key("carol") if right == VACANT else right

    def bond(
        self, draw: int, state: BondState | None = None, seizure: SeizureState | None = None
    ) -> tuple[Pubkey, Bond]:
        """A bond: mostly one that fits, at times any, at times one that is closed."""
        found = list(self.state.bonds.items())
        opened = [item for item in found if item[1].state in OPEN]
        fitting = [
            item
            for item in opened
            if state in (None, item[1].state) and seizure in (None, item[1].seizure_state)
        ]
        if draw < 6 and fitting:
            return fitting[draw % len(fitting)]
        if draw < 9 and opened:
            return opened[draw % len(opened)]
        return found[draw % len(found)]

    def wait_for(self, moment: int, offset: int | None) -> None:
        """Let the clock reach the moment (or a second beside it), unless it did."""
        if offset is not None and moment + offset > self.now:
            self.set_clock(moment + offset)

    def freeze_one(self, frost: str, source: Pubkey, destination: Pubkey) -> None:
        """The mint freezes the one or the other account, or none; only those there are."""
        at = {"from": source, "to": destination}.get(frost)
        token = self.state.tokens.get(at) if at else None
        if at is not None and token is not None and not token.frozen:
            self.set_frozen(at, frozen=True)

    def set_frozen(self, at: Pubkey, *, frozen: bool) -> None:
        """By the mint's authority, whoever's account it is."""
        self.flush()
        token = self.state.tokens[at]
        tag = b"\x0a" if frozen else b"\x0b"
        self.outside(token_instruction(tag, (at, "w"), (token.mint, ""), (key("mint"), "s")))
        self.state.tokens[at] = replace(token, frozen=frozen)

    def number(self, aim: str) -> int:
        """A payout number."""
        taken = self.state.numbers
        base = taken.base
        known = taken.used >> (base - taken.origin)
        paid = taken.paid >> (base - taken.origin)
        free = base + (~known & known + 1).bit_length() - 1
        burned = known & ~paid
        found = {
            "free": free,
            "base": base,
            "next word": base + _WORD,
            "below": base - 1,
            "last": base + _WINDOW - 1,
            "beyond": base + _WINDOW,
            "burned": base + (burned & -burned).bit_length() - 1 if burned else free,
            "paid": base + (paid & -paid).bit_length() - 1 if paid else free,
            "last paid": base + paid.bit_length() - 1 if paid else free,
            "largest": LARGEST,
            "approved": taken.approval.sequence if taken.approval.expires_at else free,
        }
        return min(max(found[aim], 0), LARGEST)

    def amount(self, aim: str | int, held: int | None = None) -> int:
        """Microunits, out of an account that holds so much (the till vault)."""
        if isinstance(aim, int):
            return aim
        if held is None:
            held = self.state.tokens[DEPLOYMENT.till_vault].amount
        parameters = self.config.parameters
        spent = self.state.numbers.spending.at(self.now)
        rest = parameters.payout_window_cap_microusdc - spent.current - spent.previous
        single = parameters.payout_single_cap_microusdc
        found = {
            "nothing": 0,
            "single cap": single,
            "above it": single + 1,
            "window rest": rest,
            "above the rest": rest + 1,
            "all": held,
            "more than all": held + 1,
            "largest": LARGEST,
            "approved": self.state.numbers.approval.amount or 60 * USDC,
        }
        return min(max(found[aim], 0), LARGEST)

    def destination(self, aim: str, right: Pubkey) -> Pubkey:
        """A token account, or something that is none."""
        kind, _, name = aim.partition(":")
        if kind == "first":
            return canonical(name)
        if kind == "second":
            return second(name)
        approved = self.state.numbers.approval
        return {
            "right": right,
            "till vault": DEPLOYMENT.till_vault,
            "bond vault": DEPLOYMENT.bond_vault,
            "till's other": second("till"),
            "escrow's other": second("escrow"),
            "foreign": canonical("alice", FOREIGN_MINT),
            "wallet": key("alice"),
            "config's": canonical("config"),
            "approved": approved.destination if approved.expires_at else right,
        }[aim]

    def moments(self) -> list[int]:
        """Every time that something hangs on, ascending; those gone by but not long are kept."""
        config, payouts = self.config, self.state.numbers
        half = payouts.spending.started_at
        found = {
            config.pending_admin_ready_at,
            config.pending_admin_expires_at,
            config.pending_role_ready_at,
            config.pending_parameters_ready_at,
            payouts.approval.expires_at,
            *([half + 43_200, half + 86_400] if half else []),
        }
        pauses = config.pauses
        for pause in (pauses.deposits, pauses.payouts, pauses.seizures, pauses.releases):
            found |= {pause.paused_until, pause.not_before}
        for bond in self.state.bonds.values():
            found |= {bond.release_at, bond.execute_after, bond.decide_by, bond.dies_at}
        return sorted(moment for moment in found if moment > self.now - 2)
