use super::*;

const REAL: Parameters = Parameters {
    bond_amount: 50 * USDC,
    cooldown: 90 * DAY,
    dispute: 7 * DAY,
    decision: 14 * DAY,
    execution: 14 * DAY,
    payout_single_cap: NO_CAP,
    payout_window_cap: 0,
};

#[test]
fn the_real_ones_are_within() {
    assert_eq!(REAL.check(), Ok(()));
}

#[test]
fn every_bound_holds_at_its_edge() {
    let refused = Err(Error::ParamOutOfBounds);
    for (value, expected) in
        [(USDC - 1, refused), (USDC, Ok(())), (10_000 * USDC, Ok(())), (10_000 * USDC + 1, refused)]
    {
        assert_eq!(Parameters { bond_amount: value, ..REAL }.check(), expected);
    }
    type Put = fn(&mut Parameters, i64);
    let set: [(Put, (i64, i64)); 4] = [
        (|p, v| p.cooldown = v, (7, 90)),
        (|p, v| p.dispute = v, (3, 14)),
        (|p, v| p.decision = v, (7, 21)),
        (|p, v| p.execution = v, (7, 21)),
    ];
    for (put, (floor, ceiling)) in set {
        for (value, expected) in [
            (floor * DAY - 1, refused),
            (floor * DAY, Ok(())),
            (ceiling * DAY, Ok(())),
            (ceiling * DAY + 1, refused),
        ] {
            let mut changed = REAL;
            put(&mut changed, value);
            assert_eq!(changed.check(), expected, "{value}");
        }
    }
}

const NOW: i64 = 1_800_000_000;

struct Held {
    in_force: Parameters,
    waiting: Parameters,
    ready_at: i64,
}

impl Held {
    fn new() -> Self {
        Self { in_force: MIDDLE, waiting: NONE, ready_at: 0 }
    }

    fn policy(&mut self) -> Policy<'_> {
        Policy {
            in_force: &mut self.in_force,
            waiting: &mut self.waiting,
            ready_at: &mut self.ready_at,
        }
    }
}

/// Room on both sides of every field.
const MIDDLE: Parameters = Parameters {
    bond_amount: 50 * USDC,
    cooldown: 30 * DAY,
    dispute: 7 * DAY,
    decision: 14 * DAY,
    execution: 14 * DAY,
    payout_single_cap: 1_000,
    payout_window_cap: 9_000,
};
type Change = fn(&mut Parameters, i64);
/// Each field, and in which direction it is looser.
const FIELDS: [(Change, i64); 7] = [
    (|p, by| p.bond_amount = p.bond_amount.wrapping_add_signed(by), 1),
    (|p, by| p.cooldown += by, 1),
    (|p, by| p.dispute += by, -1),
    (|p, by| p.decision += by, -1),
    (|p, by| p.execution += by, 1),
    (|p, by| p.payout_single_cap = p.payout_single_cap.wrapping_add_signed(by), 1),
    (|p, by| p.payout_window_cap = p.payout_window_cap.wrapping_add_signed(by), 1),
];

fn changed(place: usize, by: i64) -> Parameters {
    let mut parameters = MIDDLE;
    FIELDS[place].0(&mut parameters, by);
    parameters
}

#[test]
fn tighter_holds_at_once_and_looser_waits() {
    for (place, (_, looser)) in FIELDS.iter().enumerate() {
        let mut held = Held::new();
        let tighter = changed(place, -looser);
        held.policy().change(&tighter, NOW).unwrap();
        assert_eq!((held.in_force, held.waiting, held.ready_at), (tighter, NONE, 0), "{place}");

        let mut held = Held::new();
        let looser = changed(place, *looser);
        held.policy().change(&looser, NOW).unwrap();
        let ready_at = NOW + LOOSENING_DELAY;
        assert_eq!((held.in_force, held.waiting, held.ready_at), (MIDDLE, looser, ready_at));
        assert_eq!(held.policy().apply(ready_at - 1), Err(Error::PolicyPending));
        assert_eq!(held.policy().change(&looser, NOW), Err(Error::PolicyPending));
        held.policy().apply(ready_at).unwrap();
        assert_eq!((held.in_force, held.waiting, held.ready_at), (looser, NONE, 0));
        assert_eq!(held.policy().apply(ready_at), Err(Error::NothingPending));
        assert_eq!(held.policy().cancel(), Err(Error::NothingPending));
    }
}

#[test]
fn a_tightening_is_not_undone_by_what_waited() {
    let mut held = Held::new();
    let mut announced = MIDDLE;
    announced.payout_single_cap = 5_000;
    announced.cooldown = 60 * DAY;
    held.policy().change(&announced, NOW).unwrap();
    let tighter = Parameters { payout_single_cap: 10, ..MIDDLE };
    held.policy().change(&tighter, NOW).unwrap();
    assert_eq!(held.in_force, tighter);
    held.policy().apply(NOW + LOOSENING_DELAY).unwrap();
    assert_eq!(held.in_force, Parameters { payout_single_cap: 10, cooldown: 60 * DAY, ..MIDDLE });
}

#[test]
fn nothing_is_left_waiting_once_a_tightening_took_it_all() {
    let mut held = Held::new();
    held.policy().change(&Parameters { cooldown: 60 * DAY, ..MIDDLE }, NOW).unwrap();
    held.policy().change(&Parameters { cooldown: 20 * DAY, ..MIDDLE }, NOW).unwrap();
    assert_eq!((held.waiting, held.ready_at, held.in_force.cooldown), (NONE, 0, 20 * DAY));
}

#[test]
fn one_call_may_tighten_and_announce() {
    let mut held = Held::new();
    let both = Parameters { cooldown: 60 * DAY, payout_single_cap: 10, ..MIDDLE };
    held.policy().change(&both, NOW).unwrap();
    assert_eq!(held.in_force, Parameters { payout_single_cap: 10, ..MIDDLE });
    assert_eq!(held.waiting, both);
}

#[test]
fn saying_the_same_again_changes_nothing() {
    let mut held = Held::new();
    held.policy().change(&MIDDLE, NOW).unwrap();
    assert_eq!((held.in_force, held.waiting, held.ready_at), (MIDDLE, NONE, 0));
}

#[test]
fn outside_its_bounds_nothing_is_set() {
    let mut held = Held::new();
    let outside = Parameters { dispute: 15 * DAY, ..MIDDLE };
    assert_eq!(held.policy().change(&outside, NOW), Err(Error::ParamOutOfBounds));
    assert_eq!((held.in_force, held.ready_at), (MIDDLE, 0));
}
