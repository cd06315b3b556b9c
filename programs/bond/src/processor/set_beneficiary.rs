//! `set_beneficiary`: hand a bond to somebody else, both signing. Its address keeps its first seeds.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::state::bond::Bond;
use crate::{account_list, arguments};

/// `sha256("global:set_beneficiary")[..8]`
pub const NAME: [u8; 8] = [10, 81, 219, 4, 237, 149, 57, 242];

account_list! {
    /// Both sign: nobody is given what they cannot hold.
    SetBeneficiary {
        /// Gives it away.
        beneficiary: [signer],
        /// Gets it from now on.
        new_beneficiary: [signer],
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
    let given = SetBeneficiary::exactly(views)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    if key(given.beneficiary) == key(given.new_beneficiary) {
        return Err(Error::DuplicateAccount);
    }
    given.check_signers()?;
    bond.check_beneficiary(key(given.beneficiary))?;
    // Nothing of ours can sign: our derived addresses sign transfers only.
    bond.hand_over(key(given.new_beneficiary))
}
