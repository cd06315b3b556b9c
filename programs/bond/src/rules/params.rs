//! Parameters and the bounds no admin can leave.

use crate::error::Error;

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
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: Parameters = Parameters {
        bond_amount: 50 * USDC,
        cooldown: 90 * DAY,
        dispute: 7 * DAY,
        decision: 14 * DAY,
        execution: 14 * DAY,
        payout_single_cap: NO_CAP,
        payout_window_cap: 0,
    };

    #[test]
    fn the_real_ones_are_within() {
        assert_eq!(REAL.check(), Ok(()));
    }

    #[test]
    fn every_bound_holds_at_its_edge() {
        let refused = Err(Error::ParamOutOfBounds);
        for (value, expected) in [
            (USDC - 1, refused),
            (USDC, Ok(())),
            (10_000 * USDC, Ok(())),
            (10_000 * USDC + 1, refused),
        ] {
            assert_eq!(Parameters { bond_amount: value, ..REAL }.check(), expected);
        }
        type Put = fn(&mut Parameters, i64);
        let set: [(Put, (i64, i64)); 4] = [
            (|p, v| p.cooldown = v, (7, 90)),
            (|p, v| p.dispute = v, (3, 14)),
            (|p, v| p.decision = v, (7, 21)),
            (|p, v| p.execution = v, (7, 21)),
        ];
        for (put, (floor, ceiling)) in set {
            for (value, expected) in [
                (floor * DAY - 1, refused),
                (floor * DAY, Ok(())),
                (ceiling * DAY, Ok(())),
                (ceiling * DAY + 1, refused),
            ] {
                let mut changed = REAL;
                put(&mut changed, value);
                assert_eq!(changed.check(), expected, "{value}");
            }
        }
    }
}
