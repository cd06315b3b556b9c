"""Everything the owners govern, told to programs as one JSON object. Pure.

Addresses as text, amounts in microunits, times in the chain's seconds; null for vacant or none.
What waits says from when it can be applied, and whether that time has come.
"""

from dataclasses import asdict

from solders.pubkey import Pubkey

from cli.admin.overview import Overview, VaultAt
from cli.admin.plans.holders import holders
from cli.admin.plans.pauses import record_of
from settlement.chain.abi import PauseBit, Role
from settlement.chain.layouts import VACANT


def as_json(overview: Overview) -> dict[str, object]:
    """The whole overview."""
    config, payouts, escrow = overview.config, overview.payouts, overview.escrow
    return {
        "program": str(overview.deployment.program_id),
        "mint": str(overview.deployment.mint),
        "slot": overview.slot,
        "chain_time": overview.now,
        "upgrade_authority": _key(overview.upgrade_authority),
        "roles": {place: _key(key) for place, key in holders(config).items()},
        "pending": _pending(overview),
        "parameters": asdict(config.parameters),
        "pauses": {bit.name.lower(): _pause_json(overview, bit) for bit in PauseBit},
        "till": _vault_json(overview.till),
        "bonds": _vault_json(overview.bonds),
        "escrow": {
            "total_bonded_microusdc": escrow.total_bonded_microusdc,
            "open_count": escrow.open_count,
        },
        "payouts": {
            "base": payouts.base,
            "first_free": payouts.first_free,
            "paid_count": payouts.paid_count,
            "paid_total_microusdc": payouts.paid_total_microusdc,
            "half_window_started_at": payouts.half_window_started_at,
            "half_window_spent_microusdc": payouts.half_window_spent_microusdc,
            "previous_half_window_spent_microusdc": payouts.previous_half_window_spent_microusdc,
            "approval": _approval(overview),
        },
    }


def _pending(overview: Overview) -> dict[str, object]:
    config, now = overview.config, overview.now
    admin = role = parameters = None
    if config.pending_admin != VACANT:
        ready_at, expires_at = config.pending_admin_ready_at, config.pending_admin_expires_at
        admin = {
            "nominee": str(config.pending_admin),
            "can_be_accepted_at": ready_at,
            "expires_at": expires_at,
            "ready": ready_at <= now < expires_at,
        }
    if config.pending_role_ready_at:
        role = {
            "role": Role(config.pending_role).name.lower(),
            "holder": str(config.pending_role_key),
            **_ready(config.pending_role_ready_at, now),
        }
    if config.pending_parameters_ready_at:
        parameters = {
            **asdict(config.pending_parameters),
            **_ready(config.pending_parameters_ready_at, now),
        }
    return {"admin": admin, "role": role, "parameters": parameters}


def _ready(at: int, now: int) -> dict[str, object]:
    return {"can_be_applied_at": at, "ready": now >= at}


def _pause_json(overview: Overview, bit: PauseBit) -> dict[str, object]:
    record = record_of(overview.config, bit)
    return {
        "paused": overview.now < record.paused_until,
        "paused_until": record.paused_until,
        "not_before": record.not_before,
        "by": _key(record.by),
    }


def _vault_json(vault: VaultAt) -> dict[str, object]:
    return {
        "address": str(vault.address),
        "amount_microusdc": vault.amount_microusdc,
        "frozen": vault.frozen,
    }


def _approval(overview: Overview) -> dict[str, object] | None:
    payouts = overview.payouts
    if not payouts.approval_expires_at:
        return None
    return {
        "sequence": payouts.approved_sequence,
        "amount_microusdc": payouts.approved_amount_microusdc,
        "destination": str(payouts.approved_destination),
        "reference": payouts.approved_reference.hex(),
        "expires_at": payouts.approval_expires_at,
        "open": overview.now < payouts.approval_expires_at,
    }


def _key(key: Pubkey | None) -> str | None:
    return None if key is None or key == VACANT else str(key)
