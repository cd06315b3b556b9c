//! `uphold`: the arbiter finds for the proposer. The seizure can then be executed by anybody.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::runtime::now;
use crate::state::bond::Bond;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:uphold")[..8]`
pub const NAME: [u8; 8] = [153, 135, 59, 87, 246, 29, 170, 163];

account_list! {
    /// The arbiter only.
    Uphold {
        /// Holds the arbiter role.
        arbiter: [signer],
        /// The bond.
        bond: [writable],
        /// Names the arbiter; the pause.
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
    let given = Uphold::exactly(views)?;
    let config = Config::load(given.config, program)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.arbiter, key(given.arbiter))?;
    let now = now()?;
    config.seizures_pause.check(now)?;
    bond.uphold(now)
}
