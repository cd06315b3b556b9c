//! The calls this program makes: token transfers and new accounts.
//!
//! Calls are made unchecked: the runtime's own checks remain, and no reference into the bytes of
//! an account handed to a call is alive while it runs (handlers read token amounts before, and
//! accounts of ours are not handed over). A call that fails ends the whole transaction.

use pinocchio::AccountView;
use pinocchio::cpi::{CpiAccount, Seed, Signer, invoke_signed_unchecked};
use pinocchio::instruction::{InstructionAccount, InstructionView};

use crate::error::Error;
use crate::key::Key;
use crate::runtime::rent_for;
use crate::seeds::SYSTEM_PROGRAM;
use crate::token::DECIMALS;

const TRANSFER_CHECKED: u8 = 12;
const CREATE_IDEMPOTENT: u8 = 1;

/// The four accounts of a token transfer.
pub struct Transfer<'a> {
    pub from: &'a AccountView,
    pub mint: &'a AccountView,
    pub to: &'a AccountView,
    pub authority: &'a AccountView,
    pub amount: u64,
}

impl Transfer<'_> {
    /// Move the tokens, the authority having signed the transaction.
    #[inline(always)]
    pub fn send(&self) {
        self.send_as(&[], DECIMALS);
    }

    /// Move the tokens, this program signing for the authority it derived.
    #[inline(always)]
    pub fn send_derived(&self, seeds: &[u8], bump: u8) {
        self.send_foreign(seeds, bump, DECIMALS);
    }

    /// As `send_derived`, for a mint that is not ours.
    #[inline(always)]
    pub fn send_foreign(&self, seeds: &[u8], bump: u8, decimals: u8) {
        let bump = [bump];
        let seeds = [Seed::from(seeds), Seed::from(&bump)];
        self.send_as(&[Signer::from(&seeds)], decimals);
    }

    #[inline(always)]
    fn send_as(&self, signers: &[Signer], decimals: u8) {
        let metas = [
            InstructionAccount::writable(self.from.address()),
            InstructionAccount::readonly(self.mint.address()),
            InstructionAccount::writable(self.to.address()),
            InstructionAccount::readonly_signer(self.authority.address()),
        ];
        let mut data = [0u8; 10];
        data[0] = TRANSFER_CHECKED;
        data[1..9].copy_from_slice(&self.amount.to_le_bytes());
        data[9] = decimals;
        let views = [self.from, self.mint, self.to, self.authority];
        call(&crate::seeds::TOKEN_PROGRAM, &metas, &data, views, signers);
    }
}

/// A new account of this program at a derived address.
pub struct NewAccount<'a> {
    pub funder: &'a AccountView,
    pub account: &'a AccountView,
    pub size: usize,
    pub program: &'a Key,
}

impl NewAccount<'_> {
    /// Create it; the caller has checked that it is not there. Lamports sent to the address beforehand neither stop it nor are lost: then the
    /// rest is topped up, as plain creation would refuse.
    #[inline(always)]
    pub fn create(&self, seeds: &[Seed]) -> Result<(), Error> {
        let rent = rent_for(self.size)?;
        let held = self.account.lamports();
        let signers = [Signer::from(seeds)];
        if held == 0 {
            self.create_plain(rent, &signers);
            return Ok(());
        }
        if held < rent {
            self.top_up(rent - held);
        }
        self.allocate_and_assign(&signers);
        Ok(())
    }

    #[inline(always)]
    fn create_plain(&self, rent: u64, signers: &[Signer]) {
        let metas = [
            InstructionAccount::writable_signer(self.funder.address()),
            InstructionAccount::writable_signer(self.account.address()),
        ];
        let mut data = [0u8; 52];
        data[4..12].copy_from_slice(&rent.to_le_bytes());
        data[12..20].copy_from_slice(&(self.size as u64).to_le_bytes());
        data[20..52].copy_from_slice(self.program.bytes());
        call(&SYSTEM_PROGRAM, &metas, &data, [self.funder, self.account], signers);
    }

    #[inline(never)]
    fn top_up(&self, lamports: u64) {
        let metas = [
            InstructionAccount::writable_signer(self.funder.address()),
            InstructionAccount::writable(self.account.address()),
        ];
        let mut data = [0u8; 12];
        data[0] = 2;
        data[4..12].copy_from_slice(&lamports.to_le_bytes());
        call(&SYSTEM_PROGRAM, &metas, &data, [self.funder, self.account], &[]);
    }

    #[inline(never)]
    fn allocate_and_assign(&self, signers: &[Signer]) {
        let metas = [InstructionAccount::writable_signer(self.account.address())];
        let mut allocate = [0u8; 12];
        allocate[0] = 8;
        allocate[4..12].copy_from_slice(&(self.size as u64).to_le_bytes());
        call(&SYSTEM_PROGRAM, &metas, &allocate, [self.account], signers);
        let mut assign = [0u8; 36];
        assign[0] = 1;
        assign[4..36].copy_from_slice(self.program.bytes());
        call(&SYSTEM_PROGRAM, &metas, &assign, [self.account], signers);
    }
}

/// The accounts of making an associated token account.
pub struct NewVault<'a> {
    pub funder: &'a AccountView,
    pub vault: &'a AccountView,
    pub owner: &'a AccountView,
    pub mint: &'a AccountView,
    pub system_program: &'a AccountView,
    pub token_program: &'a AccountView,
}

impl NewVault<'_> {
    /// Create it unless it is there: somebody may have been first, which does no harm.
    #[inline(never)]
    pub fn create(&self) {
        let metas = [
            InstructionAccount::writable_signer(self.funder.address()),
            InstructionAccount::writable(self.vault.address()),
            InstructionAccount::readonly(self.owner.address()),
            InstructionAccount::readonly(self.mint.address()),
            InstructionAccount::readonly(self.system_program.address()),
            InstructionAccount::readonly(self.token_program.address()),
        ];
        let views = [
            self.funder,
            self.vault,
            self.owner,
            self.mint,
            self.system_program,
            self.token_program,
        ];
        call(&crate::seeds::ATA_PROGRAM, &metas, &[CREATE_IDEMPOTENT], views, &[]);
    }
}

#[inline(always)]
fn call<const N: usize>(
    program: &Key,
    metas: &[InstructionAccount; N],
    data: &[u8],
    views: [&AccountView; N],
    signers: &[Signer],
) {
    // SAFETY: an `Address` is its 32 bytes (`repr(transparent)`).
    let program_id = unsafe { &*core::ptr::from_ref(program).cast::<pinocchio::Address>() };
    let instruction = InstructionView { program_id, accounts: metas, data };
    let accounts = views.map(CpiAccount::from);
    // SAFETY: see the head of this file.
    unsafe { invoke_signed_unchecked(&instruction, &accounts, signers) }
}
