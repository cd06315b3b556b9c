"""Rules about what is not ours to decide: the clock, gifts, freezes, strangers' money."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule
from solders.account import Account
from solders.pubkey import Pubkey

from settlement.chain.program import SYSTEM_PROGRAM
from tests.program.lives.aims import Aims
from tests.program.lives.chain import (
    DEPLOYMENT,
    FIRST_TOKENS,
    bond_address,
    canonical,
    key,
    second,
    token_instruction,
)
from tests.program.lives.stage import CODES
from tests.program.model.state import Token
from tests.program.world import USDC

_VAULTS = (DEPLOYMENT.till_vault, DEPLOYMENT.bond_vault)
_PURSES = (*(canonical(name) for name in ("alice", "bob", "carol")), second("alice"))
_STRAYS = tuple(
    at
    for at, token in FIRST_TOKENS.items()
    if token.owner in map(key, ("till", "escrow", "config"))
)
_RENT_OF_NOTHING = 890_880

offsets = st.sampled_from((-1, 0, 0, 0, 1))


class OutsideRules(Aims):
    """The world goes on."""

    @rule(offset=offsets)
    def the_next_moment(self, offset: int) -> None:
        """The nearest time that something hangs on, or a second beside it."""
        moments = self.moments()
        self.set_clock(moments[0] + offset if moments else self.now + 1)

    @rule(nth=st.integers(0, 5), offset=offsets)
    def a_later_moment(self, nth: int, offset: int) -> None:
        moments = self.moments()
        self.set_clock(moments[nth % len(moments)] + offset if moments else self.now + 60)

    @rule(seconds=st.sampled_from((1, 60, 3_600, 43_199, 43_200, 86_400, -1, -30)))
    def time_passes(self, seconds: int) -> None:
        """A validator's clock may also step back a little."""
        self.set_clock(self.now + seconds)

    @rule(size=st.integers(2, 3))
    def send_the_next_ones_together(self, size: int) -> None:
        self.flush()
        self.wanted_together = size

    @rule(
        code=st.sampled_from(CODES),
        beneficiary=st.sampled_from(("alice", "bob", "carol")),
        lamports=st.sampled_from((_RENT_OF_NOTHING, 3_000_000, 10_000_000)),
    )
    def lamports_to_a_bond(self, code: bytes, beneficiary: str, lamports: int) -> None:
        """To an address that will be one, is one, or was one."""
        self.flush()
        at = bond_address(code, key(beneficiary))
        held = self.state.lamports.get(at, 0) + lamports
        account = self.world.svm.get_account(at)
        data, owner = (account.data, account.owner) if account else (b"", SYSTEM_PROGRAM)
        self.world.svm.set_account(at, Account(held, bytes(data), owner))
        self.state.lamports[at] = held

    @rule(to=st.sampled_from(_VAULTS), amount=st.sampled_from((1, USDC, 60 * USDC)))
    def a_gift_to_a_vault(self, to: Pubkey, amount: int) -> None:
        self._transfer("alice", canonical("alice"), to, amount)

    @rule(to=st.sampled_from(_STRAYS))
    def a_transfer_by_mistake(self, to: Pubkey) -> None:
        self._mint(to, 5)

    @rule(name=st.sampled_from(("alice", "bob", "carol")), amount=st.sampled_from((1, 50 * USDC)))
    def somebody_earns(self, name: str, amount: int) -> None:
        self._mint(canonical(name), amount)

    @rule(name=st.sampled_from(("alice", "bob")), closes=st.booleans())
    def somebody_spends_it_all(self, name: str, closes: bool) -> None:
        """And may close the account, which their bond would be released to."""
        at = canonical(name)
        if at in self.state.tokens:
            self._transfer(name, at, second("carol"), self.state.tokens[at].amount)
            if closes:
                self._close(name, at)

    @rule(name=st.sampled_from(("alice", "bob")))
    def an_account_made_anew(self, name: str) -> None:
        """Anybody may make it, for whose it is by its address."""
        if canonical(name) not in self.state.tokens:
            self.flush()
            self.world.open_account(key(name))
            self.state.tokens[canonical(name)] = Token(
                mint=DEPLOYMENT.mint, owner=key(name), amount=0
            )
            self.state.lamports[key("funder")] = self.world.svm.get_balance(key("funder")) or 0

    @rule(at=st.sampled_from((*_VAULTS * 2, *_PURSES * 2, *_STRAYS)))
    def the_mint_freezes(self, at: Pubkey) -> None:
        token = self.state.tokens.get(at)
        if token is not None and not token.frozen:
            self.set_frozen(at, frozen=True)

    @rule(nth=st.integers(0, 3))
    def the_mint_thaws(self, nth: int) -> None:
        frozen = [at for at, token in self.state.tokens.items() if token.frozen]
        if frozen:
            self.set_frozen(frozen[nth % len(frozen)], frozen=False)

    @rule(name=st.sampled_from(("alice", "bob")), to=st.sampled_from(("alice", "bob", "escrow")))
    def an_account_given_away(self, name: str, to: str) -> None:
        """The canonical account of somebody may belong to somebody else."""
        self.flush()
        at = canonical(name)
        token = self.state.tokens.get(at)
        if token is None:
            return
        holders = [one for one in ("alice", "bob") if key(one) == token.owner]
        if token.frozen or not holders:
            return
        data = b"\x06\x02\x01" + bytes(key(to))
        self.outside(token_instruction(data, (at, "w"), (token.owner, "s")))
        self.state.tokens[at] = replace(token, owner=key(to))

    def thaw_everything(self) -> None:
        for at, token in list(self.state.tokens.items()):
            if token.frozen:
                self.set_frozen(at, frozen=False)

    def _close(self, name: str, at: Pubkey) -> None:
        token = self.state.tokens[at]
        if token.owner != key(name) or token.amount or token.frozen:
            return
        accounts = (at, "w"), (key("fees"), "w"), (key(name), "s")
        self.outside(token_instruction(b"\x09", *accounts))
        del self.state.tokens[at]

    def _transfer(self, name: str, source: Pubkey, destination: Pubkey, amount: int) -> None:
        self.flush()
        taken, given = self.state.tokens.get(source), self.state.tokens.get(destination)
        if taken is None or given is None:
            return
        may = taken.owner == key(name) and not taken.frozen and not given.frozen
        if not may or taken.amount < amount:
            return
        data = b"\x03" + amount.to_bytes(8, "little")
        accounts = (source, "w"), (destination, "w"), (key(name), "s")
        self.outside(token_instruction(data, *accounts))
        self.state.transfer(source, destination, amount)

    def _mint(self, to: Pubkey, amount: int) -> None:
        self.flush()
        token = self.state.tokens.get(to)
        if token is None or token.frozen:
            return
        self.world.mint_to(to, amount, token.mint)
        self.state.tokens[to] = replace(token, amount=token.amount + amount)
