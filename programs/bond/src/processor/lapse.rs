//! `lapse`: clear a seizure past its time: undecided, or not executed. Anybody may call it.
//!
//! Never pausable, and nobody's word is needed: a seizure cannot hold a bond longer than its terms.

use pinocchio::AccountView;

use crate::error::Error;
use crate::key::{Code, Key};
use crate::runtime::now;
use crate::state::bond::Bond;
use crate::{account_list, arguments};

/// `sha256("global:lapse")[..8]`
pub const NAME: [u8; 8] = [205, 33, 49, 152, 88, 16, 152, 13];

account_list! {
    /// No signature is needed.
    Lapse {
        /// The bond.
        bond: [writable],
    }
}

arguments! {
    /// Which enrollment.
    Arguments {
        /// The bond's code.
        pub code: Code,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments { code } = Arguments::parse(data)?;
    let given = Lapse::exactly(views)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    bond.lapse(now()?)
}
