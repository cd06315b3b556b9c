//! `release`: a bond goes back to its beneficiary after the cooldown. Anybody may call it.
//!
//! Unsigned it goes only to the beneficiary's canonical token account, and only while that still
//! is theirs (token accounts can be given away). Signed by the beneficiary it goes where they say.

use pinocchio::AccountView;

use crate::accounts::{expect, expect_program, key};
use crate::cpi::Transfer;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::rules::times::check_release;
use crate::runtime::now;
use crate::seeds;
use crate::state::bond::{Bond, RELEASED, RETIRING};
use crate::state::config::Config;
use crate::state::escrow::Escrow;
use crate::state::seizure;
use crate::token::{TokenAccount, expect_mint};
use crate::{account_list, arguments};

/// `sha256("global:release")[..8]`
pub const NAME: [u8; 8] = [253, 249, 15, 206, 28, 127, 193, 241];

account_list! {
    /// No signature is needed; the beneficiary's opens other destinations.
    Release {
        /// The bond.
        bond: [writable],
        /// Gets the bond back; signs or not.
        beneficiary: [],
        /// A token account for it.
        destination: [writable],
        /// Gets the rent back.
        rent_payer: [writable],
        /// Where bonds are held.
        bond_vault: [writable],
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
    let given = Release::exactly(views)?;
    expect_program(given.token_program, &seeds::TOKEN_PROGRAM)?;
    let config = Config::load(given.config, program)?;
    let escrow = Escrow::load_mut(given.escrow, config, program)?;
    let bond = Bond::load_mut(given.bond, code, program)?;
    expect(given.beneficiary, &bond.beneficiary)?;
    expect(given.rent_payer, &bond.rent_payer)?;
    expect(given.bond_vault, &config.bond_vault)?;
    given.check_writable()?;
    if key(given.destination) == key(given.bond_vault) {
        return Err(Error::DuplicateAccount);
    }
    expect_mint(given.mint, &config.mint)?;
    let vault = TokenAccount::load(given.bond_vault, &config.mint)?;
    let destination = check_destination(&given, config)?;
    let now = now()?;
    config.releases_pause.check(now)?;
    if bond.state != RETIRING {
        return Err(Error::WrongState);
    }
    if bond.seizure_state != seizure::NONE {
        return Err(Error::SeizureOpen);
    }
    check_release(now, bond.release_at)?;
    destination.check_not_frozen()?;
    vault.check_not_frozen()?;
    let amount = bond.amount;
    if amount > vault.amount() {
        return Err(Error::InsufficientVault);
    }

    let (from, mint, to) = (given.bond_vault, given.mint, given.destination);
    let authority = given.escrow;
    Transfer { from, mint, to, authority, amount }.send_derived(seeds::ESCROW, config.escrow_bump);
    escrow.remove(amount)?;
    Bond::bury(given.bond, given.rent_payer, RELEASED)
}

/// Where the money may go; the beneficiary's word opens every account but ours.
#[inline(always)]
fn check_destination<'a>(given: &Release<'a>, config: &Config) -> Result<TokenAccount<'a>, Error> {
    let beneficiary = key(given.beneficiary);
    if given.beneficiary.is_signer() {
        let destination = TokenAccount::load(given.destination, &config.mint)?;
        if config.is_ours(&destination.owner()) {
            return Err(Error::ForbiddenAddress);
        }
        return Ok(destination);
    }
    let destination = TokenAccount::load_of(given.destination, &config.mint, beneficiary)?;
    if !seeds::is_associated(key(given.destination), beneficiary, &config.mint) {
        return Err(Error::WrongTokenAccount);
    }
    Ok(destination)
}
