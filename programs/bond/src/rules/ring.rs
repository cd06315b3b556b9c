//! Payout numbers: a window of 8,192 over all numbers there are; each is used at most once, ever.
//!
//! Two bits a number: used, and paid. Used without paid is skipped. Numbers below `base` are all
//! used. When the 64 numbers of the lowest word are used the word is freed for the numbers 8,192
//! higher; so a hole holds the window back until it is paid or skipped.

use crate::error::Error;

pub const WORDS: usize = 128;
pub const NUMBERS: u64 = 8_192;
/// Words freed by one instruction at most: bounds its compute.
const FREED_AT_ONCE: usize = 4;

/// Which numbers are gone.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Every number below is used. A multiple of 64.
    pub base: u64,
    /// One bit a number: paid or skipped.
    pub used: [u64; WORDS],
    /// One bit a number: paid.
    pub paid: [u64; WORDS],
}

impl Ring {
    /// The number is free: not paid, skipped, below or beyond the window.
    #[inline(always)]
    pub fn check(&self, sequence: u64) -> Result<(), Error> {
        self.check_window(sequence)?;
        let (word, bit) = place(sequence);
        if self.paid[word] & bit != 0 {
            Err(Error::AlreadyPaid)
        } else if self.used[word] & bit != 0 {
            Err(Error::AlreadySkipped)
        } else {
            Ok(())
        }
    }

    /// Use a free number for a payment.
    #[inline(always)]
    pub fn pay(&mut self, sequence: u64) -> Result<(), Error> {
        self.check(sequence)?;
        let (word, bit) = place(sequence);
        self.used[word] |= bit;
        self.paid[word] |= bit;
        self.advance()
    }

    /// Burn `first + i` for each bit `i` of the mask. Numbers skipped before stay skipped; one
    /// paid number refuses it all, so whoever sees a skip land knows that none of its numbers
    /// was or will be paid. There must be something to burn.
    pub fn skip(&mut self, first: u64, mask: u64) -> Result<(), Error> {
        if mask == 0 {
            return Err(Error::InvalidInstruction);
        }
        let lowest =
            first.checked_add(mask.trailing_zeros() as u64).ok_or(Error::SequenceTooFar)?;
        let highest =
            first.checked_add(63 - mask.leading_zeros() as u64).ok_or(Error::SequenceTooFar)?;
        let (word, _) = place(first);
        let next = (word + 1) % WORDS;
        let shift = first % 64;
        let low = mask << shift;
        // The bits that went over into the next word; in two steps, as a shift by 64 is none.
        let high = (mask >> 1) >> (63 - shift);
        if lowest >= self.base && highest - self.base < NUMBERS {
            if self.paid[word] & low != 0 || self.paid[next] & high != 0 {
                return Err(Error::AlreadyPaid);
            }
            if low & !self.used[word] == 0 && high & !self.used[next] == 0 {
                return Err(Error::AlreadySkipped);
            }
        }
        self.check_window(lowest)?;
        self.check_window(highest)?;
        self.used[word] |= low;
        self.used[next] |= high;
        self.advance()
    }

    #[inline(always)]
    fn check_window(&self, sequence: u64) -> Result<(), Error> {
        if sequence < self.base {
            return Err(Error::SequenceTooOld);
        }
        if sequence - self.base >= NUMBERS {
            return Err(Error::SequenceTooFar);
        }
        Ok(())
    }

    /// Free the lowest words while every number in them is used.
    #[inline(always)]
    fn advance(&mut self) -> Result<(), Error> {
        for _ in 0..FREED_AT_ONCE {
            let (word, _) = place(self.base);
            if self.used[word] != u64::MAX {
                break;
            }
            self.used[word] = 0;
            self.paid[word] = 0;
            self.base = self.base.checked_add(64).ok_or(Error::Overflow)?;
        }
        Ok(())
    }
}

#[inline(always)]
fn place(sequence: u64) -> (usize, u64) {
    ((sequence / 64) as usize % WORDS, 1 << (sequence % 64))
}

#[cfg(test)]
mod tests;
