//! A bond's seizure: proposed, perhaps contested and decided, and over by itself if nothing
//! follows. Its times are fixed when it is proposed; every step only reads them.

use crate::error::Error;
use crate::key::{Hash, NOBODY};
use crate::rules::{evidence, times};
use crate::state::bond::{Bond, RETIRING};

pub const NONE: u8 = 0;
pub const PROPOSED: u8 = 1;
pub const CONTESTED: u8 = 2;
pub const UPHELD: u8 = 3;

impl Bond {
    /// Open a seizure.
    pub fn propose(&mut self, evidence_hash: &Hash, reason: u16, now: i64) -> Result<(), Error> {
        if self.seizure_state != NONE {
            return Err(Error::SeizureOpen);
        }
        evidence::check_fresh(&self.evidence_used, self.evidence_count, evidence_hash)?;
        if self.state == RETIRING {
            // At its release time the money is the beneficiary's: nothing may be opened any more.
            if now >= self.release_at {
                return Err(Error::SeizureTooLate);
            }
            evidence::check_limit(self.proposals_while_retiring)?;
            self.proposals_while_retiring += 1;
        }
        evidence::remember(&mut self.evidence_used, &mut self.evidence_count, evidence_hash);
        self.seizure_state = PROPOSED;
        self.evidence_hash = *evidence_hash;
        self.reason = reason;
        self.proposed_at = now;
        self.execute_after = times::after(now, self.dispute)?;
        self.decide_by = times::after(self.execute_after, self.decision)?;
        self.dies_at = times::after(self.execute_after, self.execution)?;
        self.seizure_invariant()
    }

    /// The proposer takes it back; what the arbiter upheld is no longer theirs.
    pub fn withdraw(&mut self) -> Result<(), Error> {
        self.check_seizure_open()?;
        if self.seizure_state == UPHELD {
            return Err(Error::WrongState);
        }
        self.clear_seizure()
    }

    /// The beneficiary answers: from now on the arbiter decides.
    pub fn contest(&mut self, reply_hash: &Hash, now: i64) -> Result<(), Error> {
        self.check_seizure_open()?;
        if self.seizure_state != PROPOSED {
            return Err(Error::AlreadyContested);
        }
        times::check_before(now, self.execute_after)?;
        self.seizure_state = CONTESTED;
        self.reply_hash = *reply_hash;
        self.dies_at = times::after(self.decide_by, self.execution)?;
        self.seizure_invariant()
    }

    /// The arbiter finds for the proposer.
    pub fn uphold(&mut self, now: i64) -> Result<(), Error> {
        self.check_decision(now)?;
        self.seizure_state = UPHELD;
        self.seizure_invariant()
    }

    /// The arbiter finds for the beneficiary.
    pub fn dismiss(&mut self, now: i64) -> Result<(), Error> {
        self.check_decision(now)?;
        self.clear_seizure()
    }

    /// It can be executed now: uncontested or upheld, after the dispute window, before it dies.
    pub fn check_execution(&self, now: i64) -> Result<(), Error> {
        self.check_seizure_open()?;
        if self.seizure_state == CONTESTED {
            return Err(Error::WrongState);
        }
        times::check_execution(now, self.execute_after, self.dies_at)
    }

    /// It is past its time: nobody decided, or nobody executed.
    pub fn lapse(&mut self, now: i64) -> Result<(), Error> {
        self.check_seizure_open()?;
        let end = if self.seizure_state == CONTESTED { self.decide_by } else { self.dies_at };
        times::check_reached(now, end)?;
        self.clear_seizure()
    }

    fn check_seizure_open(&self) -> Result<(), Error> {
        if self.seizure_state == NONE { Err(Error::NoSeizure) } else { Ok(()) }
    }

    fn check_decision(&self, now: i64) -> Result<(), Error> {
        self.check_seizure_open()?;
        match self.seizure_state {
            PROPOSED => return Err(Error::NotContested),
            CONTESTED => {}
            _ => return Err(Error::WrongState),
        }
        times::check_before(now, self.decide_by)
    }

    /// No seizure is open; what was proposed stays remembered.
    fn clear_seizure(&mut self) -> Result<(), Error> {
        self.seizure_state = NONE;
        self.reason = 0;
        self.proposed_at = 0;
        self.execute_after = 0;
        self.decide_by = 0;
        self.dies_at = 0;
        self.evidence_hash = NOBODY;
        self.reply_hash = NOBODY;
        self.seizure_invariant()
    }

    /// What must hold whenever a seizure was written: its times are in order, and without one
    /// there is none of them.
    fn seizure_invariant(&self) -> Result<(), Error> {
        let ordered = self.proposed_at < self.execute_after
            && self.execute_after < self.decide_by
            && self.execute_after < self.dies_at
            && (self.seizure_state == PROPOSED || self.decide_by < self.dies_at);
        let held = match self.seizure_state {
            NONE => self.dies_at == 0,
            PROPOSED | CONTESTED | UPHELD => ordered && self.evidence_hash != NOBODY,
            _ => false,
        };
        if held { self.invariant() } else { Err(Error::WrongState) }
    }
}
