//! Caps: how much may be paid at once, and in any window of time.
//!
//! A window is two halves; the half before still counts. So no two payments at a boundary get
//! the cap twice: within any half window, at most the cap is paid.

use crate::error::Error;
use crate::rules::params::Parameters;

/// Half of the window of 24 hours, in seconds.
pub const HALF_WINDOW: i64 = 43_200;

/// What was paid lately.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// When the current half began.
    pub half_started_at: i64,
    /// Paid in it.
    pub current: u64,
    /// Paid in the half before.
    pub previous: u64,
}

impl Spending {
    /// Refuse what is above a cap.
    pub fn check(&self, amount: u64, now: i64, parameters: &Parameters) -> Result<(), Error> {
        let rolled = self.rolled(now)?;
        let recent = rolled.current.checked_add(rolled.previous).ok_or(Error::Overflow)?;
        let total = recent.checked_add(amount).ok_or(Error::CapExceeded)?;
        if amount > parameters.payout_single_cap || total > parameters.payout_window_cap {
            return Err(Error::CapExceeded);
        }
        Ok(())
    }

    /// Count a payment.
    pub fn count(&mut self, amount: u64, now: i64) -> Result<(), Error> {
        let rolled = self.rolled(now)?;
        let current = rolled.current.checked_add(amount).ok_or(Error::Overflow)?;
        *self = Self { current, ..rolled };
        Ok(())
    }

    /// As of now. A clock that stepped back finds the same halves.
    fn rolled(&self, now: i64) -> Result<Self, Error> {
        let next = self.half_started_at.checked_add(HALF_WINDOW).ok_or(Error::Overflow)?;
        let after_next = next.checked_add(HALF_WINDOW).ok_or(Error::Overflow)?;
        Ok(if now >= after_next {
            Self { half_started_at: now, current: 0, previous: 0 }
        } else if now >= next {
            Self { half_started_at: next, current: 0, previous: self.current }
        } else {
            *self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::params::NO_CAP;

    const T: i64 = 1_800_000_000;

    fn caps(single: u64, window: u64) -> Parameters {
        Parameters {
            bond_amount: 0,
            cooldown: 0,
            dispute: 0,
            decision: 0,
            execution: 0,
            payout_single_cap: single,
            payout_window_cap: window,
        }
    }

    #[test]
    fn single_cap_at_its_edge() {
        let spending = Spending::default();
        assert_eq!(spending.check(10, T, &caps(10, NO_CAP)), Ok(()));
        assert_eq!(spending.check(11, T, &caps(10, NO_CAP)), Err(Error::CapExceeded));
        assert_eq!(spending.check(1, T, &caps(0, NO_CAP)), Err(Error::CapExceeded));
    }

    #[test]
    fn nothing_is_doubled_at_a_boundary() {
        let mut spending = Spending::default();
        spending.count(60, T).unwrap();
        let edge = T + HALF_WINDOW;
        for now in [T, edge - 1, edge, edge + HALF_WINDOW - 1] {
            assert_eq!(spending.check(40, now, &caps(NO_CAP, 100)), Ok(()), "{now}");
            assert_eq!(spending.check(41, now, &caps(NO_CAP, 100)), Err(Error::CapExceeded));
        }
        assert_eq!(spending.check(100, edge + HALF_WINDOW, &caps(NO_CAP, 100)), Ok(()));
        assert_eq!(
            spending.check(101, edge + HALF_WINDOW, &caps(NO_CAP, 100)),
            Err(Error::CapExceeded)
        );
    }

    #[test]
    fn a_clock_that_steps_back_frees_nothing() {
        let mut spending = Spending::default();
        spending.count(60, T).unwrap();
        spending.count(30, T - 10 * HALF_WINDOW).unwrap();
        assert_eq!(spending.check(11, T, &caps(NO_CAP, 100)), Err(Error::CapExceeded));
    }

    #[test]
    fn any_half_window_holds_at_most_the_cap() {
        let parameters = caps(NO_CAP, 100);
        let mut spending = Spending::default();
        let mut paid: Vec<(i64, u64)> = Vec::new();
        let mut seed = 7u64;
        for _ in 0..5_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let now = paid.last().map_or(T, |last| last.0) + (seed >> 33) as i64 % 9_000;
            let amount = (seed >> 20) % 60 + 1;
            if spending.check(amount, now, &parameters).is_ok() {
                spending.count(amount, now).unwrap();
                paid.push((now, amount));
                let recent = paid.iter().rev().take_while(|p| p.0 > now - HALF_WINDOW);
                assert!(recent.map(|p| p.1).sum::<u64>() <= 100);
            } else {
                paid.push((now, 0));
            }
        }
    }
}
