//! Opening a bond: the address, the checks on its words, and the account itself. Shared by
//! `post_bond` (a depositor pays) and `fund_bond` (the till pays).

use pinocchio::AccountView;
use pinocchio::cpi::Seed;

use crate::accounts::{expect, key};
use crate::cpi::NewAccount;
use crate::error::Error;
use crate::key::{Code, Key};
use crate::rules;
use crate::runtime::find_address;
use crate::seeds;
use crate::state::bond::{Bond, Terms};
use crate::state::config::Config;

/// The bond's bump, its account standing at the one address of this code and beneficiary.
#[inline(always)]
pub fn check_address(
    bond: &AccountView,
    code: &Code,
    beneficiary: &Key,
    program: &Key,
) -> Result<u8, Error> {
    let (address, bump) = find_address(&[seeds::BOND, code, beneficiary.bytes()], program)?;
    expect(bond, &address)?;
    Ok(bump)
}

/// Bond codes never look like user codes.
#[inline(always)]
pub fn check_code(code: &Code) -> Result<(), Error> {
    rules::code::check(code)
}

/// A bond for one of our own addresses, or for nobody, could never be released.
#[inline(always)]
pub fn check_beneficiary(config: &Config, beneficiary: &Key) -> Result<(), Error> {
    if config.is_ours(beneficiary) { Err(Error::ForbiddenAddress) } else { Ok(()) }
}

/// Create the account, the funder paying its rent, and write the bond.
#[inline(always)]
pub fn open(
    bond: &AccountView,
    funder: &AccountView,
    program: &Key,
    terms: &Terms,
) -> Result<(), Error> {
    let bump = [terms.bump];
    let seeds = [
        Seed::from(seeds::BOND),
        Seed::from(terms.code),
        Seed::from(terms.beneficiary.bytes()),
        Seed::from(&bump),
    ];
    NewAccount { funder, account: bond, size: size_of::<Bond>(), program }.create(&seeds)?;
    debug_assert!(key(funder) == terms.rent_payer);
    Bond::create(bond, terms)
}
