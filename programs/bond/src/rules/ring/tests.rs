use std::collections::HashMap;

use super::*;

fn ring(base: u64) -> Ring {
    Ring { base, used: [0; WORDS], paid: [0; WORDS] }
}

#[test]
fn a_number_is_used_once() {
    let mut ring = ring(0);
    ring.pay(5).unwrap();
    assert_eq!(ring.check(5), Err(Error::AlreadyPaid));
    assert_eq!(ring.skip(5, 1), Err(Error::AlreadyPaid));
    ring.skip(6, 1).unwrap();
    assert_eq!(ring.pay(6), Err(Error::AlreadySkipped));
    assert_eq!(ring.skip(6, 1), Err(Error::AlreadySkipped));
    ring.skip(6, 0b11).unwrap();
    assert_eq!(ring.pay(7), Err(Error::AlreadySkipped));
}

#[test]
fn window_edges() {
    let mut ring = ring(128);
    assert_eq!(ring.check(127), Err(Error::SequenceTooOld));
    assert_eq!(ring.check(128), Ok(()));
    assert_eq!(ring.check(128 + NUMBERS - 1), Ok(()));
    assert_eq!(ring.check(128 + NUMBERS), Err(Error::SequenceTooFar));
    assert_eq!(ring.skip(127, 1), Err(Error::SequenceTooOld));
    assert_eq!(ring.skip(127, 2), Ok(()));
    assert_eq!(ring.skip(128 + NUMBERS - 1, 2), Err(Error::SequenceTooFar));
    assert_eq!(ring.skip(128 + NUMBERS - 1, 1), Ok(()));
    assert_eq!(ring.skip(u64::MAX, 2), Err(Error::SequenceTooFar));
    assert_eq!(ring.skip(u64::MAX, 1), Err(Error::SequenceTooFar));
    assert_eq!(ring.skip(200, 0), Err(Error::InvalidInstruction));
}

#[test]
fn a_hole_holds_the_window_back() {
    let mut ring = ring(0);
    for sequence in 0..320 {
        if sequence != 3 {
            ring.pay(sequence).unwrap();
        }
    }
    assert_eq!(ring.base, 0);
    ring.skip(3, 1).unwrap();
    assert_eq!(ring.base, 256, "at most four words at once");
    ring.pay(320).unwrap();
    assert_eq!(ring.base, 320);
    assert_eq!(ring.check(3), Err(Error::SequenceTooOld));
}

#[test]
fn the_ring_wraps_and_forgets_nothing() {
    let mut ring = ring(0);
    for sequence in 0..3 * NUMBERS {
        ring.pay(sequence).unwrap();
        assert!(ring.check(sequence).is_err());
    }
    assert_eq!(ring.base, 3 * NUMBERS);
    assert_eq!(ring.used, [0; WORDS]);
}

/// Against a map of every number: random payments and skips, near both edges of the window.
#[test]
fn agrees_with_a_map() {
    let mut ring = ring(0);
    let mut truth: HashMap<u64, bool> = HashMap::new();
    let mut seed = 42u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 16
    };
    for step in 0..60_000 {
        let offset = if step % 3 == 0 { random() % (NUMBERS + 100) } else { random() % 200 };
        let first = ring.base.saturating_sub(20) + offset;
        if random() % 4 == 0 {
            let mask = if random() % 2 == 0 { 1 } else { random() & random() };
            let numbers: Vec<u64> =
                (0..64).filter(|i| mask >> i & 1 == 1).map(|i| first + i).collect();
            let within = |n: &u64| *n >= ring.base && *n - ring.base < NUMBERS;
            let expected = !numbers.is_empty()
                && numbers.iter().all(within)
                && numbers.iter().all(|n| truth.get(n) != Some(&true))
                && numbers.iter().any(|n| !truth.contains_key(n));
            assert_eq!(ring.skip(first, mask).is_ok(), expected);
            if expected {
                truth.extend(numbers.into_iter().map(|n| (n, false)));
            }
        } else {
            let free =
                first >= ring.base && first - ring.base < NUMBERS && !truth.contains_key(&first);
            assert_eq!(ring.pay(first).is_ok(), free);
            if free {
                truth.insert(first, true);
            }
        }
    }
    assert!(ring.base > 0);
    assert!((0..ring.base).all(|n| truth.contains_key(&n)));
}
