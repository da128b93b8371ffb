//! What a window lets through, and what servers that share one agree on.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

/// Slots of 10.
const WINDOW: Window = Window { at_most: 2, window_ms: 600 };

fn full<T>(retry_after_ms: u64) -> Result<T, Full> {
    Err(Full { retry_after_ms })
}

#[test]
fn a_window_slides() {
    let acts = Acts::default();
    assert_eq!((acts.take(WINDOW, 0), acts.take(WINDOW, 365)), (Ok(10), Ok(370)));
    assert_eq!(acts.take(WINDOW, 609), full(1));
    assert_eq!(acts.take(WINDOW, 610), Ok(620));
    // A fixed window would begin anew here.
    assert_eq!(acts.take(WINDOW, 611), full(359));
    assert_eq!(acts.take(WINDOW, 970), Ok(980));
}

#[test]
fn what_was_refused_does_not_count() {
    let acts = Acts::default();
    let one = Window { at_most: 1, ..WINDOW };
    assert_eq!(acts.take(one, 0), Ok(10));
    assert!((1..610).all(|now| acts.take(one, now).is_err()));
    assert_eq!(acts.take(one, 610), Ok(620));
}

#[test]
fn what_is_given_back_is_free_again() {
    let acts = Acts::default();
    let one = Window { at_most: 1, ..WINDOW };
    let date = acts.take(one, 5).expect("free");
    acts.give_back(date + 10);
    assert!(acts.take(one, 6).is_err());
    acts.give_back(date);
    assert_eq!(acts.take(one, 25), Ok(30));
    // The first counts no more, and gives nobody a place.
    acts.give_back(date);
    assert!(acts.take(one, 26).is_err());
}

#[test]
fn an_earlier_time_counts_as_the_latest() {
    let acts = Acts::default();
    assert_eq!((acts.take(WINDOW, 50), acts.take(WINDOW, 40)), (Ok(60), Ok(60)));
    assert_eq!(acts.take(WINDOW, 659), full(1));
}

#[test]
fn with_none_at_most_it_is_full() {
    assert_eq!(Acts::default().take(Window { at_most: 0, ..WINDOW }, 7), full(600));
}

#[test]
fn what_others_take_counts_and_may_be_more_than_the_cap() {
    let acts = Acts::default();
    assert_eq!(acts.take(WINDOW, 0), Ok(10));
    for (date, all) in [(10, 1), (20, 2), (40, 1)] {
        acts.hear(date, all);
    }
    // The two of the first date, its own and another's, and the two of the second have to go.
    assert_eq!(acts.take(WINDOW, 1), full(619));
    acts.hear(20, 0);
    assert_eq!(acts.take(WINDOW, 1), full(609));
    // Another's that was given back.
    acts.hear(10, 0);
    acts.hear(40, -3);
    assert_eq!(acts.take(WINDOW, 1), Ok(10));
}

#[test]
fn what_is_new_is_to_be_written_once() {
    let acts = Acts::default();
    let of_three = Window { at_most: 3, ..WINDOW };
    assert_eq!((acts.take(of_three, 0), acts.take(of_three, 15)), (Ok(10), Ok(20)));
    assert_eq!(acts.unwritten(WINDOW, 15), [(10, 1), (20, 1)]);
    // More comes while it is being written.
    assert_eq!(acts.take(of_three, 16), Ok(20));
    acts.written(10, 1);
    acts.written(20, 1);
    acts.hear(10, 1);
    acts.hear(20, 1);
    assert_eq!(acts.unwritten(WINDOW, 16), [(20, 1)]);
    assert!(acts.take(of_three, 17).is_err(), "nothing was forgotten");
    acts.give_back(20);
    acts.give_back(10);
    assert_eq!(acts.unwritten(WINDOW, 17), [(10, -1)]);
    assert_eq!((acts.take(of_three, 17), acts.take(of_three, 17)), (Ok(20), Ok(20)));
    // What counts no more need not be written.
    assert_eq!(acts.unwritten(WINDOW, 615), [(20, 2)]);
    assert!(acts.unwritten(WINDOW, 620).is_empty());
}

proptest! {
    /// Held against whoever remembers every time.
    #[test]
    fn no_window_has_more_than_the_cap_and_no_place_is_kept_for_long(
        at_most in 1_u32..6,
        window_ms in 1_u64..400,
        steps in vec((0_u64..60, 0_u64..4, proptest::option::of(any::<Index>())), 1..200),
    ) {
        let (acts, window) = (Acts::default(), Window { at_most, window_ms });
        let slot = window_ms.div_ceil(SLOTS);
        // The time that each was taken at, the time that was said, and its date.
        let mut taken: Vec<(u64, u64, u64)> = Vec::new();
        let mut latest = 0;
        let mut now = 0;
        for (wait, behind, given_back) in steps {
            now += wait;
            let said = now.saturating_sub(behind);
            latest = latest.max(said);
            let counted = |longer: u64| {
                let counts = |at: &u64| at + window_ms + longer > latest;
                taken.iter().filter(|(at, ..)| counts(at)).count() as u64
            };
            match acts.take(window, said) {
                Ok(date) => {
                    prop_assert!(counted(0) < u64::from(at_most));
                    taken.push((latest, said, date));
                }
                Err(Full { retry_after_ms }) => {
                    prop_assert!(counted(slot) >= u64::from(at_most));
                    prop_assert!(retry_after_ms >= 1);
                    // It was said exactly.
                    let taken = acts.state().taken.clone();
                    let copy = Acts(Mutex::new(State { latest, taken, ..State::default() }));
                    let free = said + retry_after_ms;
                    prop_assert!(free <= latest || copy.take(window, free - 1).is_err());
                    prop_assert!(copy.take(window, free).is_ok());
                }
            }
            if let Some(index) = given_back.filter(|_| !taken.is_empty()) {
                let (.., date) = taken.swap_remove(index.index(taken.len()));
                acts.give_back(date);
            }
            let state = acts.state();
            let most = state.taken.len().max(state.unwritten.len()) as u64;
            prop_assert!(most <= SLOTS + 1);
        }
    }

    /// Servers that take, give back, write and hear in any order agree once all have written.
    #[test]
    fn servers_that_hear_of_each_other_agree(
        steps in vec((0_usize..3, 0_u8..4, any::<Index>()), 1..100),
    ) {
        let window = Window { at_most: 5, window_ms: 1_000_000 };
        let servers: [Acts; 3] = std::array::from_fn(|_| Acts::default());
        let mut store: BTreeMap<u64, i64> = BTreeMap::new();
        let (mut taken, mut now) = (Vec::new(), 0);
        let hear = |server: &Acts, store: &BTreeMap<u64, i64>| {
            store.iter().for_each(|(date, all)| server.hear(*date, *all));
        };
        let write = |server: &Acts, store: &mut BTreeMap<u64, i64>| {
            for (date, more) in server.unwritten(window, 0) {
                *store.entry(date).or_default() += more;
                server.written(date, more);
            }
        };
        for (at, step, index) in steps {
            now += 5000;
            let server = &servers[at];
            match step {
                0 => taken.extend(server.take(window, now).ok().map(|date| (at, date))),
                1 if !taken.is_empty() => {
                    let (by, date): (usize, u64) = taken.swap_remove(index.index(taken.len()));
                    servers[by].give_back(date);
                }
                2 => write(server, &mut store),
                _ => hear(server, &store),
            }
        }
        servers.iter().for_each(|server| write(server, &mut store));
        servers.iter().for_each(|server| hear(server, &store));
        for server in &servers {
            prop_assert_eq!(server.state().taken.values().sum::<u64>(), taken.len() as u64);
            prop_assert_eq!(server.take(window, now).is_ok(), taken.len() < 5);
            server.give_back(window.date(now));
        }
    }
}
