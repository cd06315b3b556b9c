//! `dismiss`: the arbiter finds for the beneficiary. Never pausable: it only helps.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::runtime::now;
use crate::state::bond::Bond;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:dismiss")[..8]`
pub const NAME: [u8; 8] = [158, 40, 138, 185, 201, 166, 151, 166];

account_list! {
    /// The arbiter only.
    Dismiss {
        /// Holds the arbiter role.
        arbiter: [signer],
        /// The bond.
        bond: [writable],
        /// Names the arbiter.
        config: [],
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
    let given = Dismiss::exactly(views)?;
    let config = Config::load(given.config, program)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.arbiter, key(given.arbiter))?;
    bond.dismiss(now()?)
}
