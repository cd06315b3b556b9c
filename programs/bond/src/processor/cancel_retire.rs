//! `cancel_retire`: stop a bond's cooldown; it is Posted again.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::state::bond::Bond;
use crate::{account_list, arguments};

/// `sha256("global:cancel_retire")[..8]`
pub const NAME: [u8; 8] = [81, 172, 225, 72, 18, 224, 124, 217];

account_list! {
    /// Only the beneficiary: nobody else may keep their money longer.
    CancelRetire {
        /// Gets the bond back one day.
        beneficiary: [signer],
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
    let given = CancelRetire::exactly(views)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    given.check_signers()?;
    bond.check_beneficiary(key(given.beneficiary))?;
    bond.cancel_retire()
}
