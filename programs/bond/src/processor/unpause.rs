//! `unpause`: end a pause early.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::runtime::now;
use crate::state::config::Config;
use crate::state::pause::check_bit;
use crate::{account_list, arguments};

/// `sha256("global:unpause")[..8]`
pub const NAME: [u8; 8] = [169, 144, 4, 38, 10, 141, 188, 255];

account_list! {
    /// The admin only.
    Unpause {
        /// The admin.
        admin: [signer],
        /// Holds the pauses.
        config: [writable],
    }
}

arguments! {
    /// What.
    Arguments {
        /// 0 deposits, 1 payouts, 2 seizures, 3 releases.
        pub bit: u8,
    }
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let &Arguments { bit } = Arguments::parse(data)?;
    check_bit(bit)?;
    let given = Unpause::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    Config::require(&config.admin, key(given.admin))?;
    config.pause_mut(bit)?.end(now()?)?;
    config.invariant()
}
