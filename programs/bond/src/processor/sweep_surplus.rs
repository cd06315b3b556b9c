//! `sweep_surplus`: what the bond vault holds beyond the bonds goes to the till vault. Anybody may call it.
//!
//! Money sent to the vault by mistake would otherwise stay there for ever.

use pinocchio::AccountView;

use crate::accounts::{expect, expect_program};
use crate::cpi::Transfer;
use crate::error::Error;
use crate::key::Key;
use crate::seeds;
use crate::state::config::Config;
use crate::state::escrow::Escrow;
use crate::token::{TokenAccount, expect_mint};
use crate::{account_list, arguments};

/// `sha256("global:sweep_surplus")[..8]`
pub const NAME: [u8; 8] = [144, 67, 197, 177, 218, 200, 50, 24];

account_list! {
    /// No signature is needed.
    SweepSurplus {
        /// What the bond vault owes; its owner.
        escrow: [],
        /// Where bonds are held.
        bond_vault: [writable],
        /// Gets the rest.
        till_vault: [writable],
        /// Names the vaults.
        config: [],
        /// The deployment's mint.
        mint: [],
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
    let given = SweepSurplus::exactly(views)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    let config = Config::load(given.config, program)?;
    let escrow = Escrow::load(given.escrow, config, program)?;
    expect(given.bond_vault, &config.bond_vault)?;
    expect(given.till_vault, &config.till_vault)?;
    given.check_writable()?;
    expect_mint(given.mint, &config.mint)?;
    let vault = TokenAccount::load(given.bond_vault, &config.mint)?;
    let till = TokenAccount::load(given.till_vault, &config.mint)?;
    if vault.amount() == escrow.total_bonded {
        return Err(Error::NothingToSweep);
    }
    vault.check_not_frozen()?;
    till.check_not_frozen()?;
    let Some(amount) = vault.amount().checked_sub(escrow.total_bonded) else {
        return Err(Error::InsufficientVault);
    };

    let (from, mint, to) = (given.bond_vault, given.mint, given.till_vault);
    let authority = given.escrow;
    Transfer { from, mint, to, authority, amount }.send_derived(seeds::ESCROW, config.escrow_bump);
    Ok(())
}
