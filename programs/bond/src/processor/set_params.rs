//! `set_params`: the whole policy anew. What is tighter holds at once, what is looser waits seven days.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::rules::params::Parameters;
use crate::runtime::now;
use crate::state::config::Config;
use crate::{account_list, arguments};

/// `sha256("global:set_params")[..8]`
pub const NAME: [u8; 8] = [27, 234, 178, 52, 147, 2, 187, 141];

account_list! {
    /// The admin only.
    SetParams {
        /// The admin.
        admin: [signer],
        /// Holds the parameters.
        config: [writable],
    }
}

arguments! {
    /// The policy.
    Arguments {
        /// Every value; one that stays is repeated.
        pub parameters: Parameters,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments { parameters } = Arguments::parse(data)?;
    let given = SetParams::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.admin, key(given.admin))?;
    config.policy().change(parameters, now()?)?;
    config.invariant()
}
