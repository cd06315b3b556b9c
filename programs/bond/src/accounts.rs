//! Taking accounts: the list of an instruction, and an account of ours inside its bytes.
//!
//! `account_list!` is the one table of an instruction's accounts: it checks their number, who must
//! be writable and who must sign, and the IDL is read from it. `Stored` finds a struct in an
//! account's bytes after the checks of owner, length, tag and version, in that order.

use pinocchio::AccountView;

use crate::error::Error;
use crate::key::Key;

pub const VERSION: u8 = 1;

/// Declare the accounts of an instruction, in order, each with what it must be.
#[macro_export]
macro_rules! account_list {
    ($(#[$about:meta])* $list:ident { $($(#[$doc:meta])* $name:ident: [$($flag:ident),*],)* }) => {
        $(#[$about])*
        pub struct $list<'a> {
            $($(#[$doc])* pub $name: &'a pinocchio::AccountView,)*
        }

        impl<'a> $list<'a> {
            /// Exactly these accounts.
            #[inline(always)]
            pub fn exactly(
                views: &'a [pinocchio::AccountView],
            ) -> Result<Self, $crate::error::Error> {
                let [$($name,)*] = views else {
                    return Err($crate::error::Error::WrongAccountCount);
                };
                Ok(Self { $($name,)* })
            }

            #[inline(always)]
            pub fn check_writable(&self) -> Result<(), $crate::error::Error> {
                $($(account_list!(@writable $flag, self.$name);)*)*
                Ok(())
            }

            #[inline(always)]
            pub fn check_signers(&self) -> Result<(), $crate::error::Error> {
                $($(account_list!(@signer $flag, self.$name);)*)*
                Ok(())
            }
        }
    };
    (@writable writable, $view:expr) => {
        if !$view.is_writable() {
            return Err($crate::error::Error::NotWritable);
        }
    };
    (@writable signer, $view:expr) => {};
    (@signer signer, $view:expr) => {
        if !$view.is_signer() {
            return Err($crate::error::Error::MissingSignature);
        }
    };
    (@signer writable, $view:expr) => {};
}

/// Declare the arguments of an instruction: they follow the eight bytes of its name, unpadded.
#[macro_export]
macro_rules! arguments {
    ($(#[$about:meta])* $args:ident { $($(#[$doc:meta])* pub $name:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[repr(C)]
        pub struct $args {
            $($(#[$doc])* pub $name: $kind,)*
        }

        impl $args {
            /// Exactly these bytes: truncated and trailing data are refused.
            #[inline(always)]
            pub fn parse(data: &[u8]) -> Result<&Self, $crate::error::Error> {
                const { assert!(size_of::<Self>() == 0 $(+ size_of::<$kind>())*) }
                // The runtime aligns an instruction's data to eight bytes; asked, not trusted.
                let at = data.as_ptr().cast::<Self>();
                if data.len() != size_of::<Self>() || !at.is_aligned() {
                    return Err($crate::error::Error::InvalidInstruction);
                }
                // SAFETY: length and alignment were checked; every field is valid for any bytes.
                Ok(unsafe { &*at })
            }
        }
    };
}

/// An account of this program, laid out as `repr(C)` without padding.
///
/// # Safety
/// Every field is valid for any bytes, none needs an alignment above eight, `VERSION_AT` lies
/// inside, and the first eight bytes are the tag.
pub unsafe trait Stored: Sized {
    /// `sha256("account:<Name>")[..8]`
    const TAG: [u8; 8];
    /// Where the version is.
    const VERSION_AT: usize = 8;
}

#[inline(always)]
fn check<T: Stored>(view: &AccountView, program: &Key) -> Result<(), Error> {
    if !is_owned(view, program) {
        return Err(Error::WrongOwner);
    }
    if view.data_len() != size_of::<T>() || tag(view) != T::TAG {
        return Err(Error::WrongTag);
    }
    if bytes(view)[T::VERSION_AT] != VERSION {
        return Err(Error::WrongVersion);
    }
    Ok(())
}

/// The account, to read.
#[inline(always)]
pub fn load<'a, T: Stored>(view: &'a AccountView, program: &Key) -> Result<&'a T, Error> {
    check::<T>(view, program)?;
    // SAFETY: length and tag were checked, the runtime aligns account data to eight bytes, and
    // `Stored` promises the rest.
    Ok(unsafe { &*bytes(view).as_ptr().cast::<T>() })
}

/// The account, to change. A handler calls this once per account: tags differ, so two accounts
/// of one list never give two references to the same bytes.
#[inline(always)]
#[allow(clippy::mut_from_ref)] // a view is a pointer the runtime gave, not the bytes
pub fn load_mut<'a, T: Stored>(view: &'a AccountView, program: &Key) -> Result<&'a mut T, Error> {
    check::<T>(view, program)?;
    let mut raw = *view;
    // SAFETY: as in `load`, and no other reference into these bytes is alive.
    Ok(unsafe { &mut *raw.data_mut_ptr().cast::<T>() })
}

/// A fresh account of this program, all zero, to fill in.
#[inline(always)]
#[allow(clippy::mut_from_ref)] // as above
pub fn open<T: Stored>(view: &AccountView) -> &mut T {
    assert!(view.data_len() == size_of::<T>());
    let mut raw = *view;
    // SAFETY: this program just created the account at this size; `Stored` promises the rest.
    unsafe { &mut *raw.data_mut_ptr().cast::<T>() }
}

/// An account's bytes.
#[inline(always)]
pub fn bytes(view: &AccountView) -> &[u8] {
    // SAFETY: this program never holds a mutable reference to bytes it reads this way.
    unsafe { view.borrow_unchecked() }
}

/// The first eight bytes; zero when there are fewer.
#[inline(always)]
pub fn tag(view: &AccountView) -> [u8; 8] {
    match bytes(view).first_chunk::<8>() {
        Some(tag) => *tag,
        None => [0; 8],
    }
}

#[inline(always)]
pub fn is_owned(view: &AccountView, program: &Key) -> bool {
    // SAFETY: as in `key`; the owner is only reassigned by the runtime, during a call.
    *program == unsafe { *core::ptr::from_ref(&(*view.account_ptr()).owner).cast::<Key>() }
}

#[inline(always)]
pub fn key(view: &AccountView) -> &Key {
    // SAFETY: the runtime aligns an account's header, and in it the two keys, to eight bytes.
    unsafe { &*core::ptr::from_ref(view.address()).cast::<Key>() }
}

/// The account is this one, or it stands in for another: an account substituted.
#[inline(always)]
pub fn expect(view: &AccountView, address: &Key) -> Result<(), Error> {
    if key(view) == address { Ok(()) } else { Err(Error::WrongAddress) }
}

/// The program is this one: a program substituted would be called with our signature.
#[inline(always)]
pub fn expect_program(view: &AccountView, address: &Key) -> Result<(), Error> {
    if key(view) == address { Ok(()) } else { Err(Error::WrongProgram) }
}
