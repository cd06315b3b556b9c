//! `pause`: stop one thing for 72 hours. It lapses by itself, and cannot follow itself for 72 hours.

use pinocchio::AccountView;

use crate::accounts::key;
use crate::error::Error;
use crate::key::Key;
use crate::runtime::now;
use crate::state::config::Config;
use crate::state::pause::check_bit;
use crate::{account_list, arguments};

/// `sha256("global:pause")[..8]`
pub const NAME: [u8; 8] = [211, 22, 221, 251, 74, 121, 193, 47];

account_list! {
    /// Whoever may stop things.
    Pause {
        /// The admin or the guardian.
        signer: [signer],
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
    let given = Pause::exactly(views)?;
    let config = Config::load_mut(given.config, program)?;
    given.check_writable()?;
    given.check_signers()?;
    let signer = key(given.signer);
    config.require_stopper(signer)?;
    config.pause_mut(bit)?.start(now()?, signer)?;
    config.invariant()
}
