//! The accounts, one a file. Sizes and fields are final: what a later instruction needs is here
//! already, and zero.

pub mod bond;
pub mod config;
pub mod escrow;
pub mod pause;
pub mod payouts;
pub mod seizure;
pub mod tombstone;
