//! That what tokens have used is written once, in an order that lets others go on, and for a month
//! that can be.

use super::*;
use crate::{
    policy::{PolicyName, allowance::Exhausted},
    tenants::{
        fixture::{Fixture, NOW, surroundings},
        record::TokenTerms,
        store::{Successor, get, loss},
    },
};

/// One of the processes on a store.
struct Process {
    store: Store,
    snapshot: Snapshot,
    written: Written,
}

impl Process {
    fn on(fixture: &mut Fixture) -> Self {
        Self::under(fixture, r#"{"monthly":{"reads":100}}"#)
    }

    /// With a cap of three in an hour.
    fn capped(fixture: &mut Fixture) -> Self {
        Self::under(fixture, r#"{"creates":{"at_most":3,"window_seconds":3600}}"#)
    }

    fn under(fixture: &mut Fixture, policies: &str) -> Self {
        fixture.store.script(&format!("UPDATE tokens SET policies = '{policies}'"));
        let mut store = Store::open(&fixture.config()).expect("a store");
        let records = store.records().expect("read");
        let empty = Snapshot::default();
        let snapshot = Snapshot::build(&records, &fixture.keyring, &surroundings(), &empty);
        Self { store, snapshot, written: Written::default() }
    }

    fn reads(&self, token: &str, count: usize) {
        let grant = self.snapshot.grant(token).expect("a grant");
        grant.allowance.touch(NOW);
        for _ in 0..count {
            grant.allowance.count_in_month(NOW, false).expect("within the quota");
        }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.write_at(NOW)
    }

    fn write_at(&mut self, now: i64) -> Result<(), StoreError> {
        self.written.write(&self.snapshot, &mut self.store, now)
    }

    /// Makes something at the time; its date.
    fn create(&self, token: &str, now: i64) -> Result<u64, Exhausted> {
        let grant = self.snapshot.grant(token).expect("a grant");
        let now = u64::try_from(now).expect("after 1970") * 1000;
        let date = grant.allowance.count_in_window(PolicyName::Creates, now)?;
        Ok(date.expect("it is counted"))
    }

    /// Gives a token another secret, of which it hears at once.
    fn rotate(&mut self, fixture: &mut Fixture, token: &str, new: &str) {
        let Fixture { store, keyring, .. } = fixture;
        let (mac, key_id) = (keyring.mac(new.as_bytes()), keyring.id());
        let successor = Successor { id: new, mac, key_id, expires: None };
        store.edit(NOW, |edit| edit.rotate_token(token, &successor, NOW + 60)).expect("rotated");
        let records = store.records().expect("read");
        self.snapshot = Snapshot::build(&records, keyring, &surroundings(), &self.snapshot);
    }

    /// Gives all tokens other policies, of which it hears at once.
    fn follow(&mut self, fixture: &mut Fixture, policies: &str) {
        fixture.store.script(&format!("UPDATE tokens SET policies = '{policies}'"));
        let (records, keyring) = (self.store.records().expect("read"), &fixture.keyring);
        self.snapshot = Snapshot::build(&records, keyring, &surroundings(), &self.snapshot);
    }

    fn give_back(&self, token: &str, date: u64) {
        let grant = self.snapshot.grant(token).expect("a grant");
        grant.allowance.give_back(PolicyName::Creates, date);
    }

    fn used(&mut self, token: &str) -> (String, i64) {
        let used = self.store.view::<_, StoreError>(NOW, |view| view.used(token));
        let used = used.expect("read").expect("used");
        (used.month, used.reads)
    }

    /// What it holds to be used of the quota.
    fn counted(&self, token: &str) -> u64 {
        self.snapshot.grant(token).expect("a grant").allowance.usage().snapshot().1
    }
}

fn january(reads: i64) -> (String, i64) {
    ("2027-01".to_owned(), reads)
}

#[test]
fn what_two_processes_count_is_one_sum() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let (mut one, mut other) = (Process::on(&mut fixture), Process::on(&mut fixture));
    one.reads(&token, 3);
    other.reads(&token, 4);
    for _ in 0..2 {
        one.write().expect("written");
        other.write().expect("written");
    }
    assert_eq!((one.used(&token), one.counted(&token)), (january(7), 7));
    assert_eq!(other.counted(&token), 7);
}

#[test]
fn what_others_have_counted_is_not_written_again_when_nobody_asked_for_a_while() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let (mut one, mut other) = (Process::on(&mut fixture), Process::on(&mut fixture));
    one.reads(&token, 3);
    one.write().expect("written");
    other.write().expect("written");
    for policies in ["{}", r#"{"monthly":{"reads":100}}"#] {
        other.follow(&mut fixture, policies);
        other.write().expect("written");
    }
    assert_eq!((other.used(&token), other.counted(&token)), (january(3), 3));
}

#[test]
fn what_may_be_written_is_not_written_again() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let mut process = Process::on(&mut fixture);
    process.reads(&token, 3);
    loss::of_the_next_reply();
    let lost = process.write().expect_err("the reply is lost");
    assert!(matches!(lost, StoreError::Unsettled(_)), "{lost:?}");
    process.write().expect("written");
    assert_eq!((process.used(&token), process.counted(&token)), (january(3), 3));
    process.reads(&token, 1);
    process.write().expect("written");
    assert_eq!((process.used(&token), process.counted(&token)), (january(4), 4));
}

/// Two processes that took the same rows in different orders would wait for each other.
#[test]
fn rows_are_taken_in_the_order_of_their_tokens() {
    let mut fixture = Fixture::new();
    let tokens: Vec<String> =
        (0..20).map(|n| fixture.add(&format!("tenant-{n}"), &format!("key {n}"))).collect();
    fixture.store.script(
        "CREATE TABLE taken (token TEXT);
         CREATE TRIGGER takes AFTER INSERT ON uses
             BEGIN INSERT INTO taken VALUES (new.token); END",
    );
    let mut process = Process::on(&mut fixture);
    tokens.iter().for_each(|token| process.reads(token, 1));
    process.write().expect("written");
    let select = sqlx::query("SELECT token FROM taken ORDER BY rowid");
    let taken: Vec<String> =
        fixture.store.look(|session| session.all(select, |row| get(row, "token")));
    let mut sorted = tokens;
    sorted.sort();
    assert_eq!(taken, sorted);
}

#[test]
fn a_clock_that_is_far_ahead_spoils_nobodys_month() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let wrote = |month: &str| {
        format!(
            "INSERT INTO uses (token, last_used, month, reads, writes)
             VALUES ('{token}', {NOW}, '{month}', 99, 0)"
        )
    };
    fixture.store.script(&wrote("2027-03"));
    let mut process = Process::on(&mut fixture);
    process.write().expect("written");
    assert_eq!(process.counted(&token), 0, "it is passed over");
    process.reads(&token, 2);
    process.write().expect("written");
    assert_eq!((process.used(&token), process.counted(&token)), (january(2), 2));

    // Somebody whose clock is a little ahead is believed.
    fixture.store.script(&format!("DELETE FROM uses; {}", wrote("2027-02")));
    process.reads(&token, 1);
    process.write().expect("written");
    assert_eq!(process.used(&token), ("2027-02".to_owned(), 99));
    assert_eq!(process.counted(&token), 99);
}

/// How many rows there are of what tokens have made.
fn rows(fixture: &mut Fixture) -> i64 {
    let count = sqlx::query("SELECT count(*) AS rows FROM acts");
    let rows = fixture.store.look(|session| session.first(count, |row| get(row, "rows")));
    rows.expect("a number")
}

#[test]
fn what_two_processes_make_is_one_sum_that_outlives_them() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let (mut one, mut other) = (Process::capped(&mut fixture), Process::capped(&mut fixture));
    let first = one.create(&token, NOW).expect("within the cap");
    other.create(&token, NOW).expect("within the cap");
    other.create(&token, NOW + 100).expect("within the cap");
    one.write().expect("written");
    other.write().expect("written");
    one.write().expect("written");
    for process in [&one, &other] {
        assert!(process.create(&token, NOW + 101).is_err());
    }
    // What is given back is free for the other, too, and taken by it once.
    one.give_back(&token, first);
    one.write().expect("written");
    assert!(other.create(&token, NOW + 102).is_err(), "it has not heard of it");
    other.write().expect("written");
    other.create(&token, NOW + 103).expect("within the cap");
    other.write().expect("written");

    let mut later = Process::capped(&mut fixture);
    later.write_at(NOW + 200).expect("read");
    let full = later.create(&token, NOW + 200).expect_err("full");
    // An hour has slots of a minute: the first of all was made at most a minute before its date.
    let wait = i64::try_from(full.limited.retry_after.as_secs()).expect("short");
    assert!((3400..=3460).contains(&wait), "{wait}");
    later.create(&token, NOW + 200 + wait).expect("within the cap");
}

#[test]
fn what_was_made_is_written_once_and_deleted_when_it_counts_no_more() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let mut process = Process::capped(&mut fixture);
    process.create(&token, NOW).expect("within the cap");
    process.create(&token, NOW).expect("within the cap");
    loss::of_the_next_reply();
    let lost = process.write().expect_err("the reply is lost");
    assert!(matches!(lost, StoreError::Unsettled(_)), "{lost:?}");
    for _ in 0..2 {
        process.write().expect("written");
    }
    assert_eq!(rows(&mut fixture), 1);
    process.create(&token, NOW).expect("within the cap");
    process.write().expect("written");
    assert!(process.create(&token, NOW).is_err());
    assert_eq!(rows(&mut fixture), 1);
    process.create(&token, NOW + 7200).expect("within the cap");
    process.write_at(NOW + 7200).expect("written");
    assert_eq!(rows(&mut fixture), 1);
}

#[test]
fn what_is_dated_far_ahead_is_passed_over() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let wrote = |at: i64| {
        let (dated, ends) = (at * 1000, at * 1000 + 3_600_000);
        format!("INSERT INTO acts VALUES ('{token}', 'creates', {dated}, 3, {ends})")
    };
    fixture.store.script(&wrote(NOW + 100_000));
    let mut process = Process::capped(&mut fixture);
    process.write().expect("read");
    process.create(&token, NOW).expect("within the cap");
    // Somebody whose clock is a little ahead is believed.
    fixture.store.script(&wrote(NOW + 60));
    process.write().expect("read");
    assert!(process.create(&token, NOW).is_err());
}

#[test]
fn another_secret_is_no_other_cap() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let mut process = Process::capped(&mut fixture);
    process.create(&token, NOW).expect("within the cap");
    process.write().expect("written");
    for _ in 0..2 {
        process.create(&token, NOW).expect("within the cap");
    }
    // Two of three are not written yet.
    for (old, new) in [(&*token, "second"), ("second", "third")] {
        process.rotate(&mut fixture, old, new);
        process.create(new, NOW).expect_err("used up");
    }
    for _ in 0..2 {
        process.write().expect("written");
        process.create("third", NOW).expect_err("used up");
    }
    let mut later = Process::capped(&mut fixture);
    later.write().expect("read");
    for token in [&*token, "second", "third"] {
        later.create(token, NOW).expect_err("used up");
    }
}

#[test]
fn another_secret_is_no_other_quota() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let mut process = Process::on(&mut fixture);
    process.reads(&token, 40);
    process.write().expect("written");
    process.reads(&token, 30);
    process.rotate(&mut fixture, &token, "second");
    assert_eq!(process.counted("second"), 70, "at once");
    process.rotate(&mut fixture, "second", "third");
    process.reads("third", 5);
    for _ in 0..2 {
        process.write().expect("written");
        let used = [&*token, "second", "third"].map(|token| process.used(token).1);
        assert_eq!(used, [70, 70, 75]);
        assert_eq!(process.counted("third"), 75);
    }
    // What was made by a process that knows neither is counted for both of them by what is written.
    let mut later = Process::on(&mut fixture);
    later.write().expect("read");
    assert_eq!((later.counted(&token), later.counted("third")), (70, 75));
}

#[test]
fn a_window_that_is_narrower_for_a_moment_forgets_nothing() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let text = |seconds| format!(r#"{{"creates":{{"at_most":3,"window_seconds":{seconds}}}}}"#);
    let mut process = Process::under(&mut fixture, &text(86_400));
    for _ in 0..3 {
        process.create(&token, NOW).expect("within the cap");
    }
    process.write().expect("written");
    for seconds in [3600, 86_400] {
        let policies = serde_json::from_str(&text(seconds)).expect("a document");
        let set = fixture.store.edit(NOW, |edit| edit.set_policies(&token, &policies));
        set.expect("set");
        let mut later = Process::under(&mut fixture, &text(seconds));
        later.write_at(NOW + 7200).expect("written");
        let full = later.create(&token, NOW + 7200).is_err();
        assert_eq!(full, seconds == 86_400, "in {seconds} seconds");
        // Whoever writes deletes what counts no more.
        later.write_at(NOW + 7200).expect("written");
    }
}

#[test]
fn a_wider_window_forgets_nothing_that_the_narrower_one_knew() {
    let mut fixture = Fixture::new();
    let token = fixture.add("acme", "a key");
    let mut process = Process::capped(&mut fixture);
    for _ in 0..3 {
        process.create(&token, NOW).expect("within the cap");
    }
    process.write().expect("written");
    let wider = r#"{"creates":{"at_most":3,"window_seconds":86400}}"#;
    let policies = serde_json::from_str(wider).expect("a document");
    let set = fixture.store.edit(NOW, |edit| edit.set_policies(&token, &policies));
    set.expect("set");
    let mut later = Process::under(&mut fixture, wider);
    later.write_at(NOW + 7200).expect("read");
    later.create(&token, NOW + 7200).expect_err("used up");
    // The same with all of its terms, and back.
    for (window, full) in [(3600, false), (86400, true)] {
        let text = format!(r#"{{"creates":{{"at_most":3,"window_seconds":{window}}}}}"#);
        let policies = serde_json::from_str(&text).expect("a document");
        let terms = TokenTerms { policies, ..TokenTerms::default() };
        let set = fixture.store.edit(NOW, |edit| edit.set_terms(&token, "acme", &terms));
        set.expect("set");
        let mut later = Process::under(&mut fixture, &text);
        later.write_at(NOW + 3600 + 60).expect("read");
        assert_eq!(later.create(&token, NOW + 3600 + 60).is_err(), full, "{window}");
    }
}
