//! Parameters and the bounds no admin can leave.

use crate::error::Error;
use crate::rules::times::after;

const DAY: i64 = 86_400;
const USDC: u64 = 1_000_000;
/// A cap of this is no cap.
pub const NO_CAP: u64 = u64::MAX;

/// The policy new bonds and payouts fall under.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Microunits of every new bond.
    pub bond_amount: u64,
    /// Seconds from retiring to release.
    pub cooldown: i64,
    /// Seconds to contest a seizure.
    pub dispute: i64,
    /// Seconds to decide a contested seizure.
    pub decision: i64,
    /// Seconds to execute a seizure.
    pub execution: i64,
    /// Most microunits of one payment; the largest number for no cap.
    pub payout_single_cap: u64,
    /// Most microunits paid in a window; the largest number for no cap.
    pub payout_window_cap: u64,
}

/// Floor and ceiling, both allowed.
pub const BOND_AMOUNT: (u64, u64) = (USDC, 10_000 * USDC);
pub const COOLDOWN: (i64, i64) = (7 * DAY, 90 * DAY);
pub const DISPUTE: (i64, i64) = (3 * DAY, 14 * DAY);
pub const DECISION: (i64, i64) = (7 * DAY, 21 * DAY);
pub const EXECUTION: (i64, i64) = (7 * DAY, 21 * DAY);

/// How long a looser policy is announced before it can hold, in seconds.
pub const LOOSENING_DELAY: i64 = 7 * DAY;
/// Nothing waits.
const NONE: Parameters = Parameters {
    bond_amount: 0,
    cooldown: 0,
    dispute: 0,
    decision: 0,
    execution: 0,
    payout_single_cap: 0,
    payout_window_cap: 0,
};

impl Parameters {
    /// Every value within its bounds; caps may be anything.
    pub fn check(&self) -> Result<(), Error> {
        let amount = BOND_AMOUNT.0 <= self.bond_amount && self.bond_amount <= BOND_AMOUNT.1;
        let within = |value: i64, bounds: (i64, i64)| bounds.0 <= value && value <= bounds.1;
        let times = within(self.cooldown, COOLDOWN)
            && within(self.dispute, DISPUTE)
            && within(self.decision, DECISION)
            && within(self.execution, EXECUTION);
        if amount && times { Ok(()) } else { Err(Error::ParamOutOfBounds) }
    }

    /// Field by field the tighter of the two: what no operator or owner of money need be warned of.
    #[inline(always)]
    fn tightest(&self, other: &Self) -> Self {
        Self {
            bond_amount: self.bond_amount.min(other.bond_amount),
            cooldown: self.cooldown.min(other.cooldown),
            dispute: self.dispute.max(other.dispute),
            decision: self.decision.max(other.decision),
            execution: self.execution.min(other.execution),
            payout_single_cap: self.payout_single_cap.min(other.payout_single_cap),
            payout_window_cap: self.payout_window_cap.min(other.payout_window_cap),
        }
    }

    /// Take over every field in which `new` differs from `old`.
    #[inline(always)]
    fn follow(&mut self, old: &Self, new: &Self) {
        let taken = |mine: u64, old: u64, new: u64| if new == old { mine } else { new };
        let moved = |mine: i64, old: i64, new: i64| if new == old { mine } else { new };
        self.bond_amount = taken(self.bond_amount, old.bond_amount, new.bond_amount);
        self.cooldown = moved(self.cooldown, old.cooldown, new.cooldown);
        self.dispute = moved(self.dispute, old.dispute, new.dispute);
        self.decision = moved(self.decision, old.decision, new.decision);
        self.execution = moved(self.execution, old.execution, new.execution);
        self.payout_single_cap =
            taken(self.payout_single_cap, old.payout_single_cap, new.payout_single_cap);
        self.payout_window_cap =
            taken(self.payout_window_cap, old.payout_window_cap, new.payout_window_cap);
    }
}

/// The parameters in force, those that wait, and since when they may be applied (zero: none wait).
pub struct Policy<'a> {
    pub in_force: &'a mut Parameters,
    pub waiting: &'a mut Parameters,
    pub ready_at: &'a mut i64,
}

impl Policy<'_> {
    /// What is tighter holds at once; anything looser waits. A tightening also takes its fields
    /// out of what waits, so that applying that later does not undo it.
    pub fn change(&mut self, new: &Parameters, now: i64) -> Result<(), Error> {
        new.check()?;
        let tightened = self.in_force.tightest(new);
        if tightened != *new {
            if *self.ready_at != 0 {
                return Err(Error::PolicyPending);
            }
            *self.waiting = *new;
            *self.ready_at = after(now, LOOSENING_DELAY)?;
        } else if *self.ready_at != 0 {
            self.waiting.follow(self.in_force, new);
            if *self.waiting == *new {
                self.cancel()?;
            }
        }
        *self.in_force = tightened;
        Ok(())
    }

    /// What waits comes into force, once its time has come.
    pub fn apply(&mut self, now: i64) -> Result<(), Error> {
        if *self.ready_at == 0 {
            return Err(Error::NothingPending);
        }
        if now < *self.ready_at {
            return Err(Error::PolicyPending);
        }
        *self.in_force = *self.waiting;
        self.cancel()
    }

    /// What waits is dropped.
    pub fn cancel(&mut self) -> Result<(), Error> {
        if *self.ready_at == 0 {
            return Err(Error::NothingPending);
        }
        *self.waiting = NONE;
        *self.ready_at = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
