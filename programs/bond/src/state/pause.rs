//! Pauses: each lapses by itself, and leaves as long a time again in which nothing can be paused.
//! So nobody's money is ever held up for more than one pause at a time.

use crate::error::Error;
use crate::key::Key;
use crate::rules::times::after;

/// How long a pause lasts, and how long after it there can be none, in seconds.
const PAUSE: i64 = 72 * 3_600;

/// How many things can be paused, each alone.
const BITS: u8 = 4;

/// One of them.
pub fn check_bit(bit: u8) -> Result<(), Error> {
    if bit < BITS { Ok(()) } else { Err(Error::InvalidInstruction) }
}

/// One pausable bit.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PauseRecord {
    /// Paused until this time.
    pub paused_until: i64,
    /// May not be paused again before this time.
    pub not_before: i64,
    /// Who paused it.
    pub by: Key,
}

impl PauseRecord {
    /// Refuse while paused.
    #[inline(always)]
    pub fn check(&self, now: i64) -> Result<(), Error> {
        if now < self.paused_until { Err(Error::Paused) } else { Ok(()) }
    }

    /// Pause from now on.
    pub fn start(&mut self, now: i64, by: &Key) -> Result<(), Error> {
        if now < self.not_before {
            return Err(Error::PauseTooSoon);
        }
        self.paused_until = after(now, PAUSE)?;
        self.not_before = after(self.paused_until, PAUSE)?;
        self.by = *by;
        Ok(())
    }

    /// End it early; the time without pauses starts now.
    pub fn end(&mut self, now: i64) -> Result<(), Error> {
        if now >= self.paused_until {
            return Err(Error::WrongState);
        }
        self.paused_until = now;
        self.not_before = after(now, PAUSE)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NOBODY;

    const T: i64 = 1_800_000_000;

    fn fresh() -> PauseRecord {
        PauseRecord { paused_until: 0, not_before: 0, by: NOBODY }
    }

    #[test]
    fn a_pause_lapses_and_cannot_follow_itself() {
        let mut record = fresh();
        assert_eq!(record.check(T), Ok(()));
        record.start(T, &NOBODY).unwrap();
        assert_eq!(record.check(T + PAUSE - 1), Err(Error::Paused));
        assert_eq!(record.check(T + PAUSE), Ok(()));
        for early in [T, T + PAUSE, T + 2 * PAUSE - 1] {
            assert_eq!(record.start(early, &NOBODY), Err(Error::PauseTooSoon));
        }
        record.start(T + 2 * PAUSE, &NOBODY).unwrap();
    }

    #[test]
    fn ended_early_it_waits_from_then() {
        let mut record = fresh();
        assert_eq!(record.end(T), Err(Error::WrongState));
        record.start(T, &NOBODY).unwrap();
        record.end(T + 60).unwrap();
        assert_eq!(record.check(T + 60), Ok(()));
        assert_eq!(record.end(T + 60), Err(Error::WrongState));
        assert_eq!(record.start(T + 60 + PAUSE - 1, &NOBODY), Err(Error::PauseTooSoon));
        record.start(T + 60 + PAUSE, &NOBODY).unwrap();
    }
}
