//! What settles when, by what was seen.

use super::*;

type Book = Ledger<&'static str, &'static str>;

const TERMS: Terms = Terms { window: 100, cap: 1000 };

fn machine(id: u64) -> Subject {
    Subject { kind: "VirtualMachine".into(), id }
}

fn row(id: u64, open: bool, about: u64) -> Transaction {
    Transaction { id, open, parent: Some(machine(about)), ..Transaction::default() }
}

fn entry(name: &'static str, subject: Option<u64>) -> Entry<&'static str, &'static str> {
    Entry { key: name, guard: name, subject: subject.map(machine), unknown: false }
}

fn ids(seen: &Seen<&'static str>) -> Vec<u64> {
    seen.changed.iter().map(|row| row.id).collect()
}

/// A ledger that holds a write to machine 1 since the time 10.
fn holding() -> Book {
    let mut ledger = Ledger::new(TERMS);
    ledger.add(10, entry("one", Some(1)));
    ledger
}

#[test]
fn what_is_held_settles_when_its_transaction_has_ended() {
    let mut ledger = holding();
    let seen = ledger.look(20, 15, &[row(7, true, 1)], true);
    assert_eq!((ids(&seen), seen.settled), (vec![], vec![]), "nothing was known before");
    let seen = ledger.look(30, 25, &[row(7, true, 1)], true);
    assert_eq!((ids(&seen), seen.settled), (vec![], vec![]));
    let seen = ledger.look(40, 35, &[row(7, false, 1)], true);
    assert_eq!((ids(&seen), seen.settled), (vec![7], vec!["one"]));
    assert!(ledger.is_idle());
}

#[test]
fn a_look_from_before_the_end_of_the_write_says_nothing() {
    let mut ledger = holding();
    for _ in 0..3 {
        assert!(ledger.look(20, 9, &[], true).settled.is_empty());
    }
    assert!(ledger.look(20, 10, &[], true).settled.is_empty());
    assert_eq!(ledger.look(20, 10, &[], true).settled, ["one"]);
}

#[test]
fn without_a_transaction_two_quiet_looks_are_enough_and_one_is_not() {
    let mut ledger = holding();
    assert!(ledger.look(20, 15, &[row(3, false, 1)], true).settled.is_empty());
    assert_eq!(ledger.look(30, 25, &[row(3, false, 1)], true).settled, ["one"]);
}

#[test]
fn a_row_that_comes_late_is_waited_for() {
    let mut ledger = holding();
    assert!(ledger.look(20, 15, &[], true).settled.is_empty());
    let seen = ledger.look(30, 25, &[row(7, true, 1)], true);
    assert_eq!((ids(&seen), seen.settled), (vec![7], vec![]));
    assert_eq!(ledger.look(40, 35, &[row(7, false, 1)], true).settled, ["one"]);
}

#[test]
fn a_transaction_that_came_and_ended_between_two_looks_is_enough() {
    let mut ledger: Book = Ledger::new(TERMS);
    ledger.look(5, 5, &[row(6, false, 2)], true);
    ledger.add(10, entry("one", Some(1)));
    let seen = ledger.look(20, 15, &[row(7, false, 1), row(6, false, 2)], true);
    assert_eq!((ids(&seen), seen.settled), (vec![7], vec!["one"]));
}

#[test]
fn other_machines_transactions_neither_hold_nor_settle() {
    let mut ledger = holding();
    assert!(ledger.look(20, 15, &[row(7, true, 2)], true).settled.is_empty());
    assert_eq!(ledger.look(30, 25, &[row(7, true, 2)], true).settled, ["one"]);
}

#[test]
fn what_depends_on_a_followed_one_is_followed() {
    let mut ledger = holding();
    ledger.look(20, 15, &[row(7, true, 1)], true);
    let next = Transaction { depends_on: Some(7), ..row(8, true, 9) };
    let rows = vec![next.clone(), row(7, false, 1)];
    assert!(ledger.look(30, 25, &rows, true).settled.is_empty());
    let rows = vec![Transaction { open: false, ..next }, row(7, false, 1)];
    assert_eq!(ledger.look(40, 35, &rows, true).settled, ["one"]);
}

#[test]
fn a_write_without_a_subject_waits_for_what_came_after_it() {
    let mut ledger: Book = Ledger::new(TERMS);
    ledger.look(5, 5, &[row(6, true, 2)], true);
    ledger.add(10, entry("some", None));
    let rows = |open| vec![row(7, open, 3), row(6, true, 2)];
    assert!(ledger.look(20, 15, &rows(true), true).settled.is_empty());
    assert_eq!(ledger.look(30, 25, &rows(false), true).settled, ["some"], "6 was there before");
}

#[test]
fn an_outcome_that_nobody_knows_has_its_window_first() {
    let mut ledger: Book = Ledger::new(TERMS);
    ledger.add(10, Entry { unknown: true, ..entry("one", Some(1)) });
    for now in [20, 60, 109] {
        assert!(ledger.look(now, now, &[], true).settled.is_empty());
    }
    assert_eq!(ledger.look(110, 110, &[], true).settled, ["one"]);
}

#[test]
fn every_wait_ends() {
    let mut ledger = holding();
    ledger.look(20, 15, &[row(7, true, 1)], true);
    assert_eq!((ledger.next_due(false), ledger.due(1009, false)), (Some(1010), vec![]));
    assert_eq!(ledger.due(1010, false), ["one"]);
    assert!(ledger.is_idle());
}

#[test]
fn where_nobody_can_look_the_window_is_all() {
    let mut ledger = holding();
    assert_eq!((ledger.next_due(true), ledger.due(109, true)), (Some(110), vec![]));
    // Only for as long as nobody can.
    assert_eq!((ledger.next_due(false), ledger.due(110, false)), (Some(1010), vec![]));
    assert_eq!(ledger.due(110, true), ["one"]);
}

#[test]
fn the_same_is_held_once_and_anew() {
    let mut ledger = holding();
    ledger.look(20, 15, &[], true);
    assert_eq!(ledger.add(30, entry("one", Some(1))), Some("one"));
    assert!(ledger.holds(&"one") && !ledger.holds(&"two"));
    assert!(ledger.look(40, 25, &[], true).settled.is_empty(), "from before the second");
    assert!(ledger.look(40, 35, &[], true).settled.is_empty());
    assert_eq!(ledger.look(50, 45, &[], true).settled, ["one"]);
}

#[test]
fn a_look_goes_down_to_the_first_that_was_open() {
    let mut ledger: Book = Ledger::new(TERMS);
    assert_eq!(ledger.from(), None);
    ledger.look(5, 5, &[row(9, false, 1), row(4, true, 1)], true);
    assert_eq!(ledger.from(), Some(4));
    ledger.look(6, 6, &[row(9, false, 1), row(4, false, 1)], true);
    assert_eq!(ledger.from(), Some(10));
}

#[test]
fn what_is_gone_from_the_list_has_changed_what_it_was_about() {
    let mut ledger: Book = Ledger::new(TERMS);
    ledger.look(5, 5, &[row(4, true, 1)], true);
    let seen = ledger.look(6, 6, &[], true);
    assert_eq!((ids(&seen), seen.gap), (vec![4], false));
    let mut ledger: Book = Ledger::new(TERMS);
    ledger.look(5, 5, &[row(4, true, 1)], true);
    let seen = ledger.look(6, 6, &[row(900, false, 2)], false);
    assert_eq!((ids(&seen), seen.gap), (vec![900], true), "it may be further down");
}

#[test]
fn who_waits_for_what_went_out_of_sight_waits_until_the_cap() {
    let mut ledger = holding();
    ledger.look(20, 15, &[row(7, true, 1)], true);
    assert!(ledger.look(30, 25, &[row(900, false, 2)], false).gap);
    for now in [40, 50, 60] {
        let seen = ledger.look(now, now, &[row(900, false, 2)], true);
        assert_eq!((seen.gap, seen.settled), (false, vec![]), "one gap, and no settling");
    }
    assert_eq!(ledger.from(), Some(901));
    assert_eq!(ledger.due(1010, false), ["one"]);
}

#[test]
fn a_write_without_a_subject_does_not_wait_for_all_that_comes() {
    let mut ledger: Book = Ledger::new(TERMS);
    ledger.look(5, 5, &[row(6, false, 2)], true);
    ledger.add(10, entry("some", None));
    let settled = (0..10).any(|n| {
        // Another begins before the last has ended, for ever.
        let rows = [row(8 + n, true, 4), row(7 + n, n == 0, 3)];
        !ledger.look(20 + n, 20 + n, &rows, true).settled.is_empty()
    });
    assert!(settled);
}

#[test]
fn a_row_that_was_committed_late_is_new() {
    let mut ledger: Book = Ledger::new(TERMS);
    ledger.look(5, 5, &[row(9, false, 1), row(4, false, 1)], true);
    let seen = ledger.look(6, 6, &[row(9, false, 1), row(8, false, 2), row(4, false, 1)], true);
    assert_eq!(ids(&seen), [8]);
    let seen = ledger.look(7, 7, &[row(9, false, 1), row(8, false, 2), row(4, false, 1)], true);
    assert_eq!(ids(&seen), [0; 0]);
}

#[test]
fn what_has_settled_is_told_its_newest_transaction() {
    let mut ledger = holding();
    let named = std::cell::RefCell::new(Vec::new());
    let name = |guard: &mut &'static str, id| named.borrow_mut().push((*guard, id));
    let (both, ended) = ([row(8, true, 1), row(7, false, 1)], [row(8, false, 1), row(7, false, 1)]);
    assert!(ledger.look_and_name(20, 15, &both, true, name).settled.is_empty());
    assert_eq!(ledger.look_and_name(30, 25, &ended, true, name).settled, ["one"]);
    assert_eq!(named.into_inner(), [("one", 8)]);
}
