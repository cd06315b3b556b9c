"""Everything the owners govern, told to people as tables. Pure.

What waits is told with the time from which it can be applied, and whether that time has come.
"""

from dataclasses import dataclass

from cli.admin.overview import Overview, VaultAt
from cli.admin.plans.holders import holders, named
from cli.admin.plans.parameters import label
from cli.admin.plans.pauses import STOPPED, record_of
from cli.admin.plans.policy import BOUNDS, changes, policy_of, value_of, written
from cli.transaction.moments import moment
from settlement.chain.abi import PauseBit, Role
from settlement.chain.layouts import VACANT
from settlement.money import format_usdc


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table: a title, headings, rows."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sections(overview: Overview) -> tuple[Section, ...]:
    """The tables, in the order they are shown."""
    every = (
        _deployment(overview),
        _places(overview),
        _parameters(overview),
        _waiting(overview),
        _pauses(overview),
        _vaults(overview),
        _payouts(overview),
    )
    return tuple(section for section in every if section.rows)


def _deployment(overview: Overview) -> Section:
    deployment = overview.deployment
    rows = (
        ("program", str(deployment.program_id)),
        ("upgrade authority", str(overview.upgrade_authority or "nobody")),
        ("mint", str(deployment.mint)),
        ("config", str(deployment.config)),
        ("chain time", moment(overview.now, overview.now).removesuffix(" (now)")),
        ("slot", str(overview.slot)),
    )
    return Section(title="deployment", headings=("", ""), rows=rows)


def _places(overview: Overview) -> Section:
    rows = tuple((place, named(key)) for place, key in holders(overview.config).items())
    return Section(title="roles", headings=("", ""), rows=rows)


def _waiting(overview: Overview) -> Section:
    config, now = overview.config, overview.now
    rows: list[tuple[str, ...]] = []
    if config.pending_admin != VACANT:
        ready, ends = config.pending_admin_ready_at, config.pending_admin_expires_at
        when = f"can accept from {moment(ready, now)}, before {moment(ends, now)}"
        if now >= ends:
            when = f"did not accept before {moment(ends, now)}"
        rows.append(("admin", str(config.pending_admin), when))
    if config.pending_role_ready_at:
        place = Role(config.pending_role).name.lower()
        when = f"can be applied from {moment(config.pending_role_ready_at, now)}"
        rows.append((place, str(config.pending_role_key), when))
    policy = policy_of(config)
    for one in () if policy.waiting is None else changes(policy.in_force, policy.waiting):
        when = f"can be applied from {moment(policy.ready_at, now)}"
        told = f"{written(one.name, one.old)} → {written(one.name, one.new)}"
        rows.append((label(one.name), told, when))
    return Section(title="waiting", headings=("", "", ""), rows=tuple(rows))


def _parameters(overview: Overview) -> Section:
    rows = tuple(
        (
            label(name),
            written(name, value_of(overview.config.parameters, name)),
            f"{written(name, bounds.floor)} … {written(name, bounds.ceiling)}",
        )
        for name, bounds in BOUNDS.items()
    )
    return Section(title="parameters", headings=("", "in force", "bounds"), rows=rows)


def _pauses(overview: Overview) -> Section:
    now = overview.now

    def row(bit: PauseBit) -> tuple[str, ...]:
        record = record_of(overview.config, bit)
        paused = now < record.paused_until
        state = f"paused until {moment(record.paused_until, now)}" if paused else "open"
        again = moment(record.not_before, now) if now < record.not_before else ""
        by = named(record.by) if record.not_before else ""
        return (bit.name.lower(), STOPPED[bit], state, again, by)

    headings = ("", "stops", "state", "next pause from", "last by")
    return Section(title="pauses", headings=headings, rows=tuple(row(bit) for bit in PauseBit))


def _vaults(overview: Overview) -> Section:
    escrow = overview.escrow
    surplus = overview.bonds.amount_microusdc - escrow.total_bonded_microusdc
    counted = f"{escrow.open_count} bond{'' if escrow.open_count == 1 else 's'}"
    bonds = f"{format_usdc(escrow.total_bonded_microusdc)} in {counted}"
    if surplus:
        bonds += f", surplus {format_usdc(surplus)}"
    rows = (
        ("till", *_vault(overview.till), "prepaid money and earnings"),
        ("bonds", *_vault(overview.bonds), bonds),
    )
    return Section(title="vaults", headings=("", "address", "USDC", ""), rows=rows)


def _vault(vault: VaultAt) -> tuple[str, str]:
    frozen = " (frozen)" if vault.frozen else ""
    return str(vault.address), f"{format_usdc(vault.amount_microusdc)}{frozen}"


def _payouts(overview: Overview) -> Section:
    payouts, now = overview.payouts, overview.now
    spent = payouts.half_window_spent_microusdc + payouts.previous_half_window_spent_microusdc
    rows = [
        (
            "paid",
            f"{payouts.paid_count} payments, {format_usdc(payouts.paid_total_microusdc)} USDC",
        ),
        ("lowest free number", str(payouts.first_free)),
        ("every number is used below", str(payouts.base)),
    ]
    if payouts.half_window_started_at:
        since = moment(payouts.half_window_started_at, now)
        rows.append(("counted in the window", f"{format_usdc(spent)} USDC, its half began {since}"))
    if payouts.approval_expires_at:
        amount = format_usdc(payouts.approved_amount_microusdc)
        ends = moment(payouts.approval_expires_at, now)
        over = "over since" if now >= payouts.approval_expires_at else "until"
        rows.append(
            (
                "approved above the caps",
                f"number {payouts.approved_sequence}, {amount} USDC to"
                f" {payouts.approved_destination}, reference"
                f" {payouts.approved_reference.hex()}, {over} {ends}",
            )
        )
    return Section(title="payouts", headings=("", ""), rows=tuple(rows))
