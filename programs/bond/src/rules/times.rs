//! Times: seconds of the chain's clock. `now >= t` is the only question ever asked, so a clock
//! that steps back changes nothing.

use crate::error::Error;

/// When a bond retired now can be released.
pub fn release_time(now: i64, cooldown: i64) -> Result<i64, Error> {
    now.checked_add(cooldown).ok_or(Error::Overflow)
}

/// The cooldown is over.
pub fn check_release(now: i64, release_at: i64) -> Result<(), Error> {
    if now >= release_at { Ok(()) } else { Err(Error::CooldownNotOver) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_at_the_second_and_not_before() {
        let at = release_time(1_000, 90).unwrap();
        assert_eq!(check_release(at - 1, at), Err(Error::CooldownNotOver));
        assert_eq!(check_release(at, at), Ok(()));
    }

    #[test]
    fn the_end_of_time_is_refused() {
        assert_eq!(release_time(i64::MAX, 1), Err(Error::Overflow));
    }
}
