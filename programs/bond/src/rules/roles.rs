//! Roles: their numbers, and how long a new holder waits. Taking a role away never waits.

use crate::error::Error;

pub const PROPOSER: u8 = 1;
pub const ARBITER: u8 = 2;
pub const GUARDIAN: u8 = 3;
pub const PAYER: u8 = 4;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// From granting a role to holding it, in seconds.
const GRANT_DELAY: i64 = 48 * HOUR;
/// The arbiter's is as long as a dispute and a decision take under the real terms: nobody can then
/// be put in the judge's place for a case that is already open. Under the longest terms they could.
const ARBITER_DELAY: i64 = 21 * DAY;
/// From a nomination by the admin to the first moment it can be accepted, in seconds.
pub const NOMINATION_DELAY: i64 = 48 * HOUR;
/// The same for a nomination by the upgrade authority, which is for an admin who lost their key.
pub const RESCUE_DELAY: i64 = 14 * DAY;
/// How long a nomination stands from then, or from the admin's word.
pub const NOMINATION_LIFE: i64 = 14 * DAY;

/// One of the four.
pub fn check(role: u8) -> Result<(), Error> {
    if (PROPOSER..=PAYER).contains(&role) { Ok(()) } else { Err(Error::InvalidInstruction) }
}

/// How long the new holder waits.
pub fn delay(role: u8) -> i64 {
    if role == ARBITER { ARBITER_DELAY } else { GRANT_DELAY }
}

/// The guardian stops those who act on money day by day, and nobody else.
pub fn guardian_may_revoke(role: u8) -> bool {
    role == PAYER || role == PROPOSER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_roles() {
        let known: Vec<u8> = (0..=255).filter(|role| check(*role).is_ok()).collect();
        assert_eq!(known, [PROPOSER, ARBITER, GUARDIAN, PAYER]);
    }

    #[test]
    fn the_arbiter_waits_longest() {
        assert_eq!([1, 2, 3, 4].map(delay), [172_800, 1_814_400, 172_800, 172_800]);
    }

    #[test]
    fn the_guardian_stops_payer_and_proposer() {
        assert_eq!([1, 2, 3, 4].map(guardian_may_revoke), [true, false, false, true]);
    }
}
