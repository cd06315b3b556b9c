//! `execute_seizure`: a bond goes to the till vault, after its windows. Anybody may call it.
//!
//! Uncontested once the dispute window is over, contested only if upheld; never once it has died.

use pinocchio::AccountView;

use crate::accounts::{expect, expect_program};
use crate::cpi::Transfer;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::runtime::now;
use crate::seeds;
use crate::state::bond::{Bond, SEIZED};
use crate::state::config::Config;
use crate::state::escrow::Escrow;
use crate::token::{TokenAccount, expect_mint};
use crate::{account_list, arguments};

/// `sha256("global:execute_seizure")[..8]`
pub const NAME: [u8; 8] = [121, 149, 127, 62, 185, 180, 109, 240];

account_list! {
    /// No signature is needed.
    ExecuteSeizure {
        /// The bond.
        bond: [writable],
        /// Gets the rent back.
        rent_payer: [writable],
        /// Where bonds are held.
        bond_vault: [writable],
        /// Gets the money.
        till_vault: [writable],
        /// What the bond vault owes; its owner.
        escrow: [writable],
        /// The pause.
        config: [],
        /// The deployment's mint.
        mint: [],
        /// The classic token program.
        token_program: [],
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
    let given = ExecuteSeizure::exactly(views)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    let config = Config::load(given.config, program)?;
    let escrow = Escrow::load_mut(given.escrow, config, program)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    expect(given.rent_payer, &bond.rent_payer)?;
    expect(given.bond_vault, &config.bond_vault)?;
    expect(given.till_vault, &config.till_vault)?;
    given.check_writable()?;
    expect_mint(given.mint, &config.mint)?;
    let vault = TokenAccount::load(given.bond_vault, &config.mint)?;
    let till = TokenAccount::load(given.till_vault, &config.mint)?;
    let now = now()?;
    config.seizures_pause.check(now)?;
    bond.check_execution(now)?;
    vault.check_not_frozen()?;
    till.check_not_frozen()?;
    let amount = bond.amount;
    if amount > vault.amount() {
        return Err(Error::InsufficientVault);
    }

    let (from, mint, to) = (given.bond_vault, given.mint, given.till_vault);
    let authority = given.escrow;
    Transfer { from, mint, to, authority, amount }.send_derived(seeds::ESCROW, config.escrow_bump);
    escrow.remove(amount)?;
    Bond::bury(given.bond, given.rent_payer, SEIZED)
}
