//! `contest`: the beneficiary answers a seizure, within the dispute window; then the arbiter decides.
//!
//! Never pausable: an operator's answer cannot be held up.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::runtime::now;
use crate::state::bond::Bond;
use crate::{account_list, arguments};

/// `sha256("global:contest")[..8]`
pub const NAME: [u8; 8] = [218, 11, 35, 94, 201, 156, 120, 251];

account_list! {
    /// Only the beneficiary.
    Contest {
        /// Whose bond it is.
        beneficiary: [signer],
        /// The bond.
        bond: [writable],
    }
}

arguments! {
    /// Which enrollment, and the answer.
    Arguments {
        /// The bond's code.
        pub code: Code,
        /// Hash of the answer, which is kept elsewhere.
        pub reply_hash: [u8; 32],
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments { code, reply_hash } = Arguments::parse(data)?;
    let given = Contest::exactly(views)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    given.check_signers()?;
    bond.check_beneficiary(key(given.beneficiary))?;
    bond.contest(&Key::read(reply_hash), now()?)
}
