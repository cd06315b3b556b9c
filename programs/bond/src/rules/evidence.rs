//! Evidence: which hashes a bond remembers, so that the same one is not tried again.
//!
//! The last three, and while it retires no more than three seizures may be proposed: so none is
//! ever tried twice while it could hold the money back.

use crate::error::Error;
use crate::key::Hash;

pub const REMEMBERED: usize = 3;
/// Seizures proposed while one cooldown runs, at most.
const MOST_WHILE_RETIRING: u8 = 3;

/// Not among those remembered.
pub fn check_fresh(used: &[Hash; REMEMBERED], count: u8, evidence: &Hash) -> Result<(), Error> {
    let known = used.iter().take(count as usize).any(|each| each == evidence);
    if known { Err(Error::EvidenceReused) } else { Ok(()) }
}

/// One more may be proposed while retiring.
pub fn check_limit(proposals_while_retiring: u8) -> Result<(), Error> {
    if proposals_while_retiring >= MOST_WHILE_RETIRING {
        return Err(Error::SeizureLimit);
    }
    Ok(())
}

/// Keep it; the oldest goes when there is no room.
pub fn remember(used: &mut [Hash; REMEMBERED], count: &mut u8, evidence: &Hash) {
    if (*count as usize) < REMEMBERED {
        used[*count as usize] = *evidence;
        *count += 1;
    } else {
        used[0] = used[1];
        used[1] = used[2];
        used[2] = *evidence;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, NOBODY};

    fn hash(number: u8) -> Hash {
        Key::constant(&[number; 32])
    }

    #[test]
    fn the_last_three_are_known() {
        let (mut used, mut count) = ([NOBODY; REMEMBERED], 0);
        for number in 1..=5 {
            assert_eq!(check_fresh(&used, count, &hash(number)), Ok(()));
            remember(&mut used, &mut count, &hash(number));
            let last = 1.max(number.saturating_sub(2));
            for known in last..=number {
                assert_eq!(check_fresh(&used, count, &hash(known)), Err(Error::EvidenceReused));
            }
            assert_eq!(check_fresh(&used, count, &hash(last - 1)), Ok(()));
        }
        assert_eq!((used, count), ([hash(3), hash(4), hash(5)], 3));
    }

    #[test]
    fn three_while_retiring() {
        let told: Vec<bool> = (0..5).map(|count| check_limit(count).is_ok()).collect();
        assert_eq!(told, [true, true, true, false, false]);
    }
}
