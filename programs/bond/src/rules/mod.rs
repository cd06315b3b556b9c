//! The rules: pure, without Solana, tested on the host.
//!
//! Integers of at most 64 bits and no checked product of two of them: the chain's target has
//! neither. Sums are checked, and products are of constants.

pub mod caps;
pub mod code;
pub mod evidence;
pub mod params;
pub mod ring;
pub mod roles;
pub mod times;
