//! `propose_seizure`: accuse an operator. From here the clocks of the bond's own terms run.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::{Code, Key, UnalignedU16};
use crate::runtime::now;
use crate::state::bond::Bond;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:propose_seizure")[..8]`
pub const NAME: [u8; 8] = [229, 10, 3, 143, 214, 87, 112, 250];

account_list! {
    /// The proposer only.
    ProposeSeizure {
        /// Holds the proposer role.
        proposer: [signer],
        /// The bond.
        bond: [writable],
        /// Names the proposer; the pause.
        config: [],
    }
}

arguments! {
    /// Which enrollment, and why.
    Arguments {
        /// The bond's code.
        pub code: Code,
        /// Hash of the evidence, which is kept elsewhere; each may be used once.
        pub evidence_hash: [u8; 32],
        /// Which rule was broken, as the operator's terms number them.
        pub reason: UnalignedU16,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments { code, evidence_hash, reason } = Arguments::parse(data)?;
    let evidence_hash = Key::read(evidence_hash);
    if evidence_hash.is_nobody() {
        return Err(Error::InvalidInstruction);
    }
    let given = ProposeSeizure::exactly(views)?;
    let config = Config::load(given.config, program)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.proposer, key(given.proposer))?;
    let now = now()?;
    config.seizures_pause.check(now)?;
    bond.propose(&evidence_hash, reason.get(), now)
}
