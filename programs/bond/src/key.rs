//! Addresses and codes as plain words, so that accounts and rules need no Solana types.
//!
//! A key is four words, not 32 bytes: the chain's target copies and compares by what it knows of
//! the alignment, and words are eight times cheaper.

pub type Code = [u8; 8];
/// Thirty-two bytes that are no address: a hash of something kept elsewhere.
pub type Hash = Key;

/// An address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq)]
pub struct Key([u64; 4]);

/// A vacant role, nobody, nothing.
pub const NOBODY: Key = Key([0; 4]);

impl Key {
    /// From 32 bytes standing anywhere.
    #[inline(always)]
    pub fn read(bytes: &[u8; 32]) -> Self {
        // SAFETY: 32 bytes are four words, and any bytes are valid.
        Self(unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast::<[u64; 4]>()) })
    }

    /// As `read`, for the addresses written in this program.
    pub const fn constant(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        let mut at = 0;
        while at < 4 {
            words[at] = u64::from_le_bytes([
                bytes[at * 8],
                bytes[at * 8 + 1],
                bytes[at * 8 + 2],
                bytes[at * 8 + 3],
                bytes[at * 8 + 4],
                bytes[at * 8 + 5],
                bytes[at * 8 + 6],
                bytes[at * 8 + 7],
            ]);
            at += 1;
        }
        Self(words)
    }

    /// Its 32 bytes, as seeds and calls want them.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8; 32] {
        // SAFETY: four words are 32 bytes, and any bytes are valid.
        unsafe { &*core::ptr::from_ref(&self.0).cast::<[u8; 32]>() }
    }

    #[inline(always)]
    pub fn is_nobody(&self) -> bool {
        *self == NOBODY
    }
}

/// A key in the middle of packed arguments, at any byte.
#[repr(transparent)]
pub struct UnalignedKey([u8; 32]);

impl UnalignedKey {
    #[inline(always)]
    pub fn get(&self) -> Key {
        Key::read(&self.0)
    }
}

/// A 16-bit number in the middle of packed arguments, at any byte.
#[repr(transparent)]
pub struct UnalignedU16([u8; 2]);

impl UnalignedU16 {
    #[inline(always)]
    pub fn get(&self) -> u16 {
        u16::from_le_bytes(self.0)
    }
}

impl PartialEq for Key {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.0[0] == other.0[0]
            && self.0[1] == other.0[1]
            && self.0[2] == other.0[2]
            && self.0[3] == other.0[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let bytes: [u8; 32] = core::array::from_fn(|at| at as u8 + 1);
        let key = Key::read(&bytes);
        assert_eq!(key, Key::constant(&bytes));
        assert_eq!(key.bytes(), &bytes);
        assert_eq!(key, Key::read(&bytes));
        for at in 0..32 {
            let mut other = bytes;
            other[at] ^= 0x80;
            assert_ne!(key, Key::read(&other), "byte {at}");
        }
        assert!(NOBODY.is_nobody() && !key.is_nobody());
    }
}
