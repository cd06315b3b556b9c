//! Token accounts of the classic token program, read from bytes: everything that program would
//! refuse is refused here first, with an error of ours.

use pinocchio::AccountView;

use crate::accounts::{bytes, is_owned, key};
use crate::error::Error;
use crate::key::Key;
use crate::seeds::TOKEN_PROGRAM;

pub const DECIMALS: u8 = 6;
const MINT_SIZE: usize = 82;
const DECIMALS_AT: usize = 44;
const MINT_INITIALIZED_AT: usize = 45;
const ACCOUNT_SIZE: usize = 165;
const OWNER_AT: usize = 32;
const AMOUNT_AT: usize = 64;
const DELEGATE_AT: usize = 72;
const STATE_AT: usize = 108;
const CLOSE_AUTHORITY_AT: usize = 129;
const INITIALIZED: u8 = 1;
const FROZEN: u8 = 2;

/// An initialized token account of the right mint.
#[derive(Clone, Copy)]
pub struct TokenAccount<'a> {
    bytes: &'a [u8; ACCOUNT_SIZE],
}

impl<'a> TokenAccount<'a> {
    /// Token-2022 accounts are refused by their owner: they may take fees or call hooks.
    #[inline(always)]
    pub fn load(view: &'a AccountView, mint: &Key) -> Result<Self, Error> {
        if !is_owned(view, &TOKEN_PROGRAM) {
            return Err(Error::WrongTokenAccount);
        }
        let Ok(bytes) = <&[u8; ACCOUNT_SIZE]>::try_from(bytes(view)) else {
            return Err(Error::WrongTokenAccount);
        };
        let account = Self { bytes };
        if bytes[STATE_AT] != INITIALIZED && bytes[STATE_AT] != FROZEN {
            return Err(Error::WrongTokenAccount);
        }
        if account.key_at(0) == *mint { Ok(account) } else { Err(Error::WrongMint) }
    }

    /// As `load`, and it belongs to this owner: a delegate may not stand in for them.
    #[inline(always)]
    pub fn load_of(view: &'a AccountView, mint: &Key, owner: &Key) -> Result<Self, Error> {
        let account = Self::load(view, mint)?;
        if account.owner() == *owner { Ok(account) } else { Err(Error::WrongTokenAccount) }
    }

    #[inline(always)]
    pub fn owner(&self) -> Key {
        self.key_at(OWNER_AT)
    }

    #[inline(always)]
    pub fn amount(&self) -> u64 {
        match self.bytes[AMOUNT_AT..].first_chunk::<8>() {
            Some(amount) => u64::from_le_bytes(*amount),
            None => 0,
        }
    }

    #[inline(always)]
    pub fn check_not_frozen(&self) -> Result<(), Error> {
        if self.bytes[STATE_AT] == FROZEN { Err(Error::FrozenTokenAccount) } else { Ok(()) }
    }

    /// Nobody but the owner can ever move or close it.
    pub fn check_unshared(&self) -> Result<(), Error> {
        let none = [0u8; 4];
        let delegate = self.bytes[DELEGATE_AT..DELEGATE_AT + 4] != none;
        let close_authority = self.bytes[CLOSE_AUTHORITY_AT..CLOSE_AUTHORITY_AT + 4] != none;
        if delegate || close_authority { Err(Error::WrongTokenAccount) } else { Ok(()) }
    }

    #[inline(always)]
    fn key_at(&self, at: usize) -> Key {
        match self.bytes[at..].first_chunk::<32>() {
            Some(key) => Key::read(key),
            None => crate::key::NOBODY,
        }
    }
}

/// The mint of the deployment.
#[inline(always)]
pub fn expect_mint(view: &AccountView, mint: &Key) -> Result<(), Error> {
    if key(view) == mint { Ok(()) } else { Err(Error::WrongMint) }
}

/// An initialized mint of the classic token program with the decimals of USDC.
pub fn check_mint(view: &AccountView) -> Result<(), Error> {
    if decimals_of(view)? == DECIMALS { Ok(()) } else { Err(Error::WrongMint) }
}

/// The decimals of an initialized mint of the classic token program.
pub fn decimals_of(view: &AccountView) -> Result<u8, Error> {
    let data = bytes(view);
    let usable =
        is_owned(view, &TOKEN_PROGRAM) && data.len() == MINT_SIZE && data[MINT_INITIALIZED_AT] == 1;
    if usable { Ok(data[DECIMALS_AT]) } else { Err(Error::WrongMint) }
}
