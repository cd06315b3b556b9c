"""Rules about the till: deposits, payments, burned numbers, what strayed."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule
from solders.pubkey import Pubkey

from settlement.chain.instructions import (
    ApprovePay,
    DepositUsdc,
    Pay,
    RecoverStray,
    Skip,
    SweepSurplus,
)
from settlement.money import MicroUsdc
from tests.program.lives.aims import Aims, amounts, destinations, frost, idle, numbers, people
from tests.program.lives.chain import (
    DEPLOYMENT,
    FIRST_TOKENS,
    FOREIGN_MINT,
    canonical,
    key,
    second,
)
from tests.program.lives.spoils import UNSPOILED, Spoil, spoils
from tests.program.model.window import FULL_WORD, LARGEST
from tests.program.world import USDC

_USER_CODE = bytes.fromhex("00ff10a2b3c4d5e6")
_REFERENCES = (bytes(16), b"reference number")
_MASKS = (1, 0b101, FULL_WORD, 0xFF << 56, 1 << 63, (1 << 63) | 1, FULL_WORD - 1, 0)
_STRAYS = (
    *[(name, canonical(name)) for name in ("config", "payouts")],
    *[(name, second(name)) for name in ("till", "escrow")],
    *[(name, canonical(name, FOREIGN_MINT)) for name in ("till", "escrow", "config", "payouts")],
    ("config", second("till")),
    ("till", DEPLOYMENT.till_vault),
    ("escrow", DEPLOYMENT.bond_vault),
    ("alice", canonical("alice")),
)

FIRST_MINTS = {address: token.mint for address, token in FIRST_TOKENS.items()}

references = st.sampled_from((*_REFERENCES, *("approved",) * 4))


class TillRules(Aims):
    """Money in, money out."""

    def _reference(self, aim: bytes | str) -> bytes:
        return self.state.numbers.approval.reference if isinstance(aim, str) else aim

    @rule(
        by=st.sampled_from(("alice", "bob", "payer")),
        source=destinations,
        amount=amounts,
        spoil=spoils,
    )
    def deposit(self, by: str, source: str, amount: str | int, spoil: Spoil) -> None:
        purse = self.destination(source, canonical(by))
        token = self.state.tokens.get(purse)
        self.act(
            DepositUsdc(
                depositor=key(by),
                depositor_ata=purse,
                code=_USER_CODE,
                amount_microusdc=MicroUsdc(self.amount(amount, token.amount if token else 0)),
            ),
            spoil,
        )

    @rule(
        number=numbers,
        amount=amounts,
        to=destinations,
        reference=references,
        by=people,
        spoil=spoils,
    )
    def pay(
        self,
        number: str,
        amount: str | int,
        to: str,
        reference: bytes | str,
        by: str,
        spoil: Spoil,
    ) -> None:
        self.act(
            Pay(
                payer=self.who(by, self.config.payer),
                destination=self.destination(to, canonical("bob")),
                sequence=self.number(number),
                amount_microusdc=MicroUsdc(self.amount(amount)),
                code=_USER_CODE,
                reference=self._reference(reference),
            ),
            spoil,
        )

    @rule(
        number=st.sampled_from(("approved",) * 5 + ("free",)),
        amount=st.sampled_from(("approved",) * 5 + ("above it",)),
        to=st.sampled_from(("approved",) * 5 + ("first:alice",)),
        reference=references,
        idle=idle,
        offset=st.sampled_from((None, None, None, None, -1, 0)),
        spoil=spoils,
    )
    def pay_as_approved(
        self,
        number: str,
        amount: str,
        to: str,
        reference: bytes | str,
        idle: bool,
        offset: int | None,
        spoil: Spoil,
    ) -> None:
        if not idle and self.now >= self.state.numbers.approval.expires_at:
            self.approve_pay("free", "above it", "right", _REFERENCES[0], "right", UNSPOILED)
        self.wait_for(self.state.numbers.approval.expires_at, offset)
        self.pay(number, amount, to, reference, "right", spoil)

    @rule(
        number=numbers,
        amount=amounts,
        to=destinations,
        reference=st.sampled_from(_REFERENCES),
        by=people,
        spoil=spoils,
    )
    def approve_pay(
        self, number: str, amount: str | int, to: str, reference: bytes, by: str, spoil: Spoil
    ) -> None:
        self.act(
            ApprovePay(
                admin=self.who(by, self.config.admin),
                sequence=self.number(number),
                amount_microusdc=MicroUsdc(self.amount(amount)),
                destination=self.destination(to, canonical("bob")),
                reference=reference,
            ),
            spoil,
        )

    @rule(
        number=numbers,
        shift=st.sampled_from((0, 0, 0, 1, 63, -1, -63)),
        mask=st.sampled_from(_MASKS),
        by=people,
        spoil=spoils,
    )
    def skip(self, number: str, shift: int, mask: int, by: str, spoil: Spoil) -> None:
        first = min(max(self.number(number) + shift, 0), LARGEST)
        self.act(Skip(signer=self.who(by, self.config.payer), first=first, mask=mask), spoil)

    @rule(
        number=numbers,
        amount=st.sampled_from((1, USDC)),
        order=st.permutations(("one", "other", "burn")),
        rivals=st.integers(2, 3),
        shift=st.sampled_from((0, 1, 63)),
        at_once=st.booleans(),
    )
    def several_use_one_number(
        self,
        number: str,
        amount: int,
        order: list[str],
        rivals: int,
        shift: int,
        at_once: bool,
    ) -> None:
        """Two senders that know nothing of each other, and somebody who gave the number up."""
        sequence, config = self.number(number), self.config
        payment = Pay(
            payer=self.who("right", config.payer),
            destination=canonical("bob"),
            sequence=sequence,
            amount_microusdc=MicroUsdc(amount),
            code=_USER_CODE,
            reference=_REFERENCES[0],
        )
        burned = max(sequence - shift, 0)
        mask = 1 << sequence - burned
        acts: dict[str, Pay | Skip] = {
            "one": payment,
            "other": replace(payment, destination=canonical("carol")),
            "burn": Skip(signer=config.admin, first=burned, mask=mask),
        }
        self.flush()
        self.wanted_together = rivals if at_once else 1
        for name in order[:rivals]:
            self.act(acts[name])

    @rule(word=st.integers(0, 5), holes=st.sampled_from((0, 0, 0, 1 << 5)))
    def burn_a_word(self, word: int, holes: int) -> None:
        """The window moves only when its lowest word is full."""
        taken = self.state.numbers
        first = min(taken.base + 64 * word, LARGEST - 63)
        paid = taken.paid >> first - taken.origin & FULL_WORD
        self.act(Skip(signer=self.config.admin, first=first, mask=FULL_WORD & ~paid & ~holes or 1))

    @rule(spoil=spoils)
    def sweep_surplus(self, spoil: Spoil) -> None:
        self.act(SweepSurplus(), spoil)

    @rule(
        stray=st.sampled_from(_STRAYS),
        to=st.sampled_from(("right", "right", "right", "till", "escrow", "alice", "same")),
        mint=st.sampled_from(("its own", "its own", "its own", "its own", "usdc", "foreign")),
        by=people,
        frost=frost,
        spoil=spoils,
    )
    def recover_stray(
        self, stray: tuple[str, Pubkey], to: str, mint: str, by: str, frost: str, spoil: Spoil
    ) -> None:
        owner, address = stray
        own = FIRST_MINTS.get(address, DEPLOYMENT.mint)
        named = {"its own": own, "usdc": DEPLOYMENT.mint, "foreign": FOREIGN_MINT}[mint]
        right = DEPLOYMENT.till_vault if own == DEPLOYMENT.mint else canonical("admin", own)
        destination = {"right": right, "same": address}
        chosen = destination[to] if to in destination else canonical(to, own)
        self.freeze_one(frost, address, chosen)
        self.act(
            RecoverStray(
                admin=self.who(by, self.config.admin),
                authority=key(owner),
                stray=address,
                destination=chosen,
                stray_mint=named,
            ),
            spoil,
        )
