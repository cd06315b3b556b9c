//! `recover_stray`: tokens sent by mistake to another account of ours than the vaults.
//!
//! USDC goes to the till vault and nowhere else; a foreign mint where the admin says. The vaults themselves
//! are never touched: their money moves by `pay`, `fund_bond`, `release`, `execute_seizure` and the sweep.

use pinocchio::AccountView;

use crate::accounts::{expect, expect_program, key};
use crate::cpi::Transfer;
use crate::error::Error;
use crate::key::Key;
use crate::seeds;
use crate::state::config::Config;
use crate::token::{TokenAccount, decimals_of};
use crate::{account_list, arguments};

/// `sha256("global:recover_stray")[..8]`
pub const NAME: [u8; 8] = [41, 207, 136, 36, 202, 233, 84, 38];

account_list! {
    /// The admin only.
    RecoverStray {
        /// The admin.
        admin: [signer],
        /// Config, Payouts, Escrow or the till authority: who owns what strayed.
        authority: [],
        /// A token account of theirs.
        stray: [writable],
        /// Gets it.
        destination: [writable],
        /// Names our accounts.
        config: [],
        /// The mint of what strayed.
        stray_mint: [],
        /// The classic token program.
        token_program: [],
    }
}

arguments! {
    /// None.
    Arguments {}
}

pub fn process(program: &Key, views: &[AccountView], data: &[u8]) -> Result<(), Error> {
    let Arguments {} = Arguments::parse(data)?;
    let given = RecoverStray::exactly(views)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    let config = Config::load(given.config, program)?;
    let (seeds, bump) = signing_for(&given, config)?;
    given.check_writable()?;
    if key(given.stray) == key(given.destination) {
        return Err(Error::DuplicateAccount);
    }
    let decimals = decimals_of(given.stray_mint)?;
    let stray_mint = key(given.stray_mint);
    let stray = TokenAccount::load_of(given.stray, stray_mint, key(given.authority))?;
    if *key(given.stray) == config.till_vault || *key(given.stray) == config.bond_vault {
        return Err(Error::ForbiddenAddress);
    }
    let destination = TokenAccount::load(given.destination, stray_mint)?;
    if *stray_mint == config.mint {
        expect(given.destination, &config.till_vault)?;
    } else if config.is_ours(&destination.owner()) {
        return Err(Error::ForbiddenAddress);
    }
    given.check_signers()?;
    Config::require(&config.admin, key(given.admin))?;
    let amount = stray.amount();
    if amount == 0 {
        return Err(Error::NothingToSweep);
    }
    stray.check_not_frozen()?;
    destination.check_not_frozen()?;

    let (from, mint, to) = (given.stray, given.stray_mint, given.destination);
    let authority = given.authority;
    Transfer { from, mint, to, authority, amount }.send_foreign(seeds, bump, decimals);
    Ok(())
}

/// The seeds of the one of our accounts that owns what strayed.
fn signing_for(given: &RecoverStray, config: &Config) -> Result<(&'static [u8], u8), Error> {
    let authority = key(given.authority);
    if *authority == config.ops_wallet {
        Ok((seeds::TILL, config.till_bump))
    } else if *authority == config.escrow {
        Ok((seeds::ESCROW, config.escrow_bump))
    } else if *authority == config.payouts {
        Ok((seeds::PAYOUTS, config.payouts_bump))
    } else if authority == key(given.config) {
        Ok((seeds::CONFIG, config.config_bump))
    } else {
        Err(Error::WrongAddress)
    }
}
