//! Times: seconds of the chain's clock. `now >= t` is the only question ever asked, so a clock
//! that steps back changes nothing.

use crate::error::Error;

/// When something that waits this long from now has its time.
#[inline(always)]
pub fn after(now: i64, wait: i64) -> Result<i64, Error> {
    now.checked_add(wait).ok_or(Error::Overflow)
}

/// The cooldown is over.
pub fn check_release(now: i64, release_at: i64) -> Result<(), Error> {
    if now >= release_at { Ok(()) } else { Err(Error::CooldownNotOver) }
}

/// What must happen before a time still can.
pub fn check_before(now: i64, end: i64) -> Result<(), Error> {
    if now >= end { Err(Error::WindowOver) } else { Ok(()) }
}

/// What must wait for a time has waited.
pub fn check_reached(now: i64, start: i64) -> Result<(), Error> {
    if now >= start { Ok(()) } else { Err(Error::WindowNotOver) }
}

/// A seizure can be executed: its dispute window is over, and it has not died.
pub fn check_execution(now: i64, execute_after: i64, dies_at: i64) -> Result<(), Error> {
    check_reached(now, execute_after)?;
    if now >= dies_at { Err(Error::SeizureExpired) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_at_the_second_and_not_before() {
        let at = after(1_000, 90).unwrap();
        assert_eq!(check_release(at - 1, at), Err(Error::CooldownNotOver));
        assert_eq!(check_release(at, at), Ok(()));
    }

    #[test]
    fn a_window_ends_at_the_second() {
        assert_eq!(check_before(99, 100), Ok(()));
        assert_eq!(check_before(100, 100), Err(Error::WindowOver));
        assert_eq!(check_reached(99, 100), Err(Error::WindowNotOver));
        assert_eq!(check_reached(100, 100), Ok(()));
    }

    #[test]
    fn executed_between_its_two_times() {
        let told = [
            (99, Err(Error::WindowNotOver)),
            (100, Ok(())),
            (199, Ok(())),
            (200, Err(Error::SeizureExpired)),
        ];
        for (now, expected) in told {
            assert_eq!(check_execution(now, 100, 200), expected, "{now}");
        }
    }

    #[test]
    fn the_end_of_time_is_refused() {
        assert_eq!(after(i64::MAX, 1), Err(Error::Overflow));
    }
}
