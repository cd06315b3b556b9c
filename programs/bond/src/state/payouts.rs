//! Payouts: which numbers are gone, what was paid, what may be paid next.

use pinocchio::AccountView;

use crate::accounts::{Stored, VERSION, expect, load_mut};
use crate::error::Error;
use crate::key::{Key, NOBODY};
use crate::rules::caps::Spending;
use crate::rules::ring::Ring;
use crate::state::config::Config;

/// The one payment above the caps that the admin approved.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Approval {
    /// Its number.
    pub sequence: u64,
    /// Its microunits.
    pub amount: u64,
    /// Its token account.
    pub destination: Key,
    /// Its reference.
    pub reference: [u8; 16],
    /// When the approval lapses; zero for none.
    pub expires_at: i64,
}

impl Approval {
    pub const NONE: Self =
        Self { sequence: 0, amount: 0, destination: NOBODY, reference: [0; 16], expires_at: 0 };

    /// It is open, and for exactly this payment.
    pub fn check(&self, payment: &Self, now: i64) -> Result<(), Error> {
        if now >= self.expires_at {
            return Err(Error::CapExceeded);
        }
        let exact = self.sequence == payment.sequence
            && self.amount == payment.amount
            && self.destination == payment.destination
            && self.reference == payment.reference;
        if exact { Ok(()) } else { Err(Error::ApprovalMismatch) }
    }
}

/// At `"payouts"`.
#[repr(C)]
pub struct Payouts {
    /// `sha256("account:Payouts")[..8]`
    pub discriminator: [u8; 8],
    /// Layout version.
    pub version: u8,
    /// Bump of this account.
    pub bump: u8,
    /// Zero.
    pub reserved: [u8; 6],
    /// The numbers.
    pub ring: Ring,
    /// How many payments were made: `pay` and `fund_bond`.
    pub paid_count: u64,
    /// Their sum in microunits.
    pub paid_total: u64,
    /// What counts against the window cap.
    pub spending: Spending,
    /// What may go above the caps.
    pub approval: Approval,
}

const _: () = assert!(size_of::<Payouts>() == 2_184);

// SAFETY: keys, bytes and 64-bit integers only, eight-aligned without padding (asserted by size).
unsafe impl Stored for Payouts {
    const TAG: [u8; 8] = [127, 152, 30, 170, 51, 68, 96, 38];
}

impl Payouts {
    /// The Payouts of this deployment.
    #[inline(always)]
    pub fn load_mut<'a>(
        view: &'a AccountView,
        config: &Config,
        program: &Key,
    ) -> Result<&'a mut Self, Error> {
        let payouts = load_mut::<Self>(view, program)?;
        expect(view, &config.payouts)?;
        Ok(payouts)
    }

    pub fn fill(&mut self, bump: u8) {
        self.discriminator = Self::TAG;
        self.version = VERSION;
        self.bump = bump;
    }

    /// Count one payment under this number, against the window cap too. The caller has checked
    /// number and caps.
    pub fn record(&mut self, sequence: u64, amount: u64, now: i64) -> Result<(), Error> {
        self.spending.count(amount, now)?;
        self.record_number(sequence, amount)
    }

    /// Count the approved payment: above the caps by two keys' word, it takes nothing from what
    /// the payer may pay alone. The approval is used up.
    pub fn record_approved(&mut self, sequence: u64, amount: u64) -> Result<(), Error> {
        self.approval = Approval::NONE;
        self.record_number(sequence, amount)
    }

    #[inline(always)]
    fn record_number(&mut self, sequence: u64, amount: u64) -> Result<(), Error> {
        self.ring.pay(sequence)?;
        self.paid_count = self.paid_count.checked_add(1).ok_or(Error::Overflow)?;
        self.paid_total = self.paid_total.checked_add(amount).ok_or(Error::Overflow)?;
        self.invariant()
    }

    /// What must hold whenever this account was written.
    pub fn invariant(&self) -> Result<(), Error> {
        let covered = self.paid_total >= self.paid_count;
        if covered && self.ring.base.is_multiple_of(64) { Ok(()) } else { Err(Error::Overflow) }
    }
}
