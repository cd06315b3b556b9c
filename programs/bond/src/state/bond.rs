//! Bond: one operator's escrowed money, from posting to release or seizure.

use core::mem::offset_of;

use pinocchio::AccountView;

use crate::accounts::{Stored, VERSION, bytes, is_owned, key, load_mut, open, tag};
use crate::error::Error;
use crate::key::{Code, Hash, Key, NOBODY};
use crate::rules::params::Parameters;
use crate::rules::times::after;
use crate::runtime::{move_lamports, rent_for};
use crate::seeds;
use crate::state::seizure;
use crate::state::tombstone::Tombstone;

pub const POSTED: u8 = 1;
pub const RETIRING: u8 = 2;
pub const RELEASED: u8 = 3;
pub const SEIZED: u8 = 4;

/// At `"bond"`, code, first beneficiary. The same code may be bonded by several beneficiaries:
/// each is a bond of its own.
#[repr(C)]
pub struct Bond {
    /// `sha256("account:Bond")[..8]`
    pub discriminator: [u8; 8],
    /// Layout version.
    pub version: u8,
    /// Bump of this account.
    pub bump: u8,
    /// 1 Posted, 2 Retiring.
    pub state: u8,
    /// 0 none, 1 proposed, 2 contested, 3 upheld.
    pub seizure_state: u8,
    /// Seizures proposed since retiring.
    pub proposals_while_retiring: u8,
    /// How many of `evidence_used` are filled.
    pub evidence_count: u8,
    /// Why the open seizure was proposed.
    pub reason: u16,
    /// The enrollment it belongs to.
    pub code: Code,
    /// Who it was posted for: with the code the address, and never changes.
    pub first_beneficiary: Key,
    /// Who gets it back.
    pub beneficiary: Key,
    /// Who gets the rent back.
    pub rent_payer: Key,
    /// Microunits held.
    pub amount: u64,
    /// When it was posted.
    pub posted_at: i64,
    /// When the cooldown started; zero while Posted.
    pub retiring_at: i64,
    /// When it can be released; zero while Posted.
    pub release_at: i64,
    /// Seconds, as of posting, like the three below.
    pub cooldown: i64,
    /// Seconds to contest a seizure.
    pub dispute: i64,
    /// Seconds to decide a contested one.
    pub decision: i64,
    /// Seconds to execute one.
    pub execution: i64,
    /// The open seizure was proposed then.
    pub proposed_at: i64,
    /// It can be executed from then on.
    pub execute_after: i64,
    /// It is cleared if undecided then.
    pub decide_by: i64,
    /// It is cleared if not executed then.
    pub dies_at: i64,
    /// Hash of the open seizure's evidence.
    pub evidence_hash: Hash,
    /// Hash of the reply.
    pub reply_hash: Hash,
    /// The last evidence, which cannot be used again; oldest first.
    pub evidence_used: [Hash; 3],
}

const _: () = assert!(size_of::<Bond>() == 376);

// SAFETY: keys, bytes and integers only, eight-aligned without padding (asserted by size).
unsafe impl Stored for Bond {
    const TAG: [u8; 8] = [224, 128, 48, 251, 182, 246, 111, 196];
}

/// What a new bond starts with.
pub struct Terms<'a> {
    pub bump: u8,
    pub code: &'a Code,
    pub beneficiary: &'a Key,
    pub rent_payer: &'a Key,
    pub parameters: &'a Parameters,
    pub now: i64,
}

impl Bond {
    /// An open bond of this code. A tombstone is named as such: it is final.
    #[inline(always)]
    pub fn load_mut<'a>(
        view: &'a AccountView,
        code: &Code,
        program: &Key,
    ) -> Result<&'a mut Self, Error> {
        let bond = match load_mut::<Self>(view, program) {
            Err(Error::WrongTag) if tag(view) == Tombstone::TAG => return Err(Error::Tombstoned),
            loaded => loaded?,
        };
        if !seeds::is_bond(key(view), bond.seeds(), bond.bump, program) {
            return Err(Error::WrongAddress);
        }
        if bond.code != *code {
            return Err(Error::WrongCode);
        }
        Ok(bond)
    }

    /// The address is free: never used, however many lamports somebody put there.
    #[inline(always)]
    pub fn check_free(view: &AccountView) -> Result<(), Error> {
        if tag(view) == Tombstone::TAG {
            return Err(Error::Tombstoned);
        }
        let untouched = is_owned(view, &seeds::SYSTEM_PROGRAM) && bytes(view).is_empty();
        if untouched { Ok(()) } else { Err(Error::AlreadyInitialized) }
    }

    /// Write a new bond into the account just created for it.
    pub fn create(view: &AccountView, terms: &Terms) -> Result<(), Error> {
        let bond = open::<Self>(view);
        bond.discriminator = Self::TAG;
        bond.version = VERSION;
        bond.bump = terms.bump;
        bond.state = POSTED;
        bond.code = *terms.code;
        bond.beneficiary = *terms.beneficiary;
        bond.first_beneficiary = *terms.beneficiary;
        bond.rent_payer = *terms.rent_payer;
        bond.amount = terms.parameters.bond_amount;
        bond.posted_at = terms.now;
        bond.cooldown = terms.parameters.cooldown;
        bond.dispute = terms.parameters.dispute;
        bond.decision = terms.parameters.decision;
        bond.execution = terms.parameters.execution;
        bond.invariant()
    }

    /// Code and first beneficiary as they stand: two seeds in one piece hash the same.
    #[inline(always)]
    fn seeds(&self) -> &[u8; 40] {
        const { assert!(offset_of!(Self, first_beneficiary) == offset_of!(Self, code) + 8) }
        // SAFETY: 8 and 32 bytes, one after the other (asserted), inside this struct.
        unsafe { &*core::ptr::from_ref(self).byte_add(offset_of!(Self, code)).cast() }
    }

    /// Only who gets it back may do this.
    pub fn check_beneficiary(&self, signer: &Key) -> Result<(), Error> {
        if *signer == self.beneficiary { Ok(()) } else { Err(Error::Unauthorized) }
    }

    /// Start the cooldown.
    pub fn retire(&mut self, now: i64) -> Result<(), Error> {
        self.state = RETIRING;
        self.retiring_at = now;
        self.release_at = after(now, self.cooldown)?;
        self.invariant()
    }

    /// Stop the cooldown. An open seizure stays open: it never needed one.
    pub fn cancel_retire(&mut self) -> Result<(), Error> {
        if self.state != RETIRING {
            return Err(Error::WrongState);
        }
        self.state = POSTED;
        self.retiring_at = 0;
        self.release_at = 0;
        self.proposals_while_retiring = 0;
        self.invariant()
    }

    /// Somebody else gets it back. The address keeps its first seeds.
    pub fn hand_over(&mut self, beneficiary: &Key) -> Result<(), Error> {
        if self.seizure_state != seizure::NONE {
            return Err(Error::SeizureOpen);
        }
        self.beneficiary = *beneficiary;
        self.invariant()
    }

    /// Shrink to a tombstone; the rent of what is gone returns to who paid it.
    pub fn bury(view: &AccountView, rent_payer: &AccountView, state: u8) -> Result<(), Error> {
        // SAFETY: nobody holds a reference into the bond any more: the caller's ended with this
        // call, and the two fields kept are copied out first.
        let (bump, code) = unsafe {
            let bond = &*bytes(view).as_ptr().cast::<Self>();
            (bond.bump, bond.code)
        };
        let mut raw = *view;
        // SAFETY: shrinking within the size the runtime gave; what follows writes only below it.
        unsafe { (*raw.account_mut_ptr()).data_len = size_of::<Tombstone>() as u64 };
        open::<Tombstone>(view).fill(bump, state, code);
        let kept = rent_for(size_of::<Tombstone>())?;
        let freed = view.lamports().checked_sub(kept).ok_or(Error::Overflow)?;
        move_lamports(view, rent_payer, freed)
    }

    /// What must hold whenever an open bond was written.
    pub fn invariant(&self) -> Result<(), Error> {
        let posted = self.state == POSTED && self.retiring_at == 0 && self.release_at == 0;
        let retiring = self.state == RETIRING && self.release_at >= self.retiring_at;
        let held = self.amount > 0 && self.beneficiary != NOBODY;
        if (posted || retiring) && held { Ok(()) } else { Err(Error::WrongState) }
    }
}
