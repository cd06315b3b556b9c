//! `retire`: start a bond's cooldown.

use pinocchio::AccountView;

use crate::account_list;
use crate::accounts::key;
use crate::arguments;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::runtime::now;
use crate::state::bond::{Bond, POSTED};
use crate::state::config::Config;

/// `sha256("global:retire")[..8]`
pub const NAME: [u8; 8] = [44, 138, 153, 31, 222, 53, 21, 16];

account_list! {
    /// The beneficiary leaves, or the proposer sends them away.
    Retire {
        /// The beneficiary or the proposer.
        signer: [signer],
        /// The bond.
        bond: [writable],
        /// Names the proposer.
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
    let given = Retire::exactly(views)?;
    let config = Config::load(given.config, program)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    given.check_writable()?;
    given.check_signers()?;
    let signer = key(given.signer);
    // A vacant proposer is the zero key, the system program's, which never signs.
    if *signer != bond.beneficiary && *signer != config.proposer {
        return Err(Error::Unauthorized);
    }
    if bond.state != POSTED {
        return Err(Error::WrongState);
    }
    bond.retire(now()?)
}
