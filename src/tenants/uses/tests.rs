//! That what tokens have used is written once, in an order that lets others go on, and for a month
//! that can be.

use super::*;
use crate::tenants::{
    fixture::{Fixture, NOW, surroundings},
    store::{get, loss},
};

/// One of the processes on a store.
struct Process {
    store: Store,
    snapshot: Snapshot,
    written: Written,
}

impl Process {
    fn on(fixture: &mut Fixture) -> Self {
        fixture.store.script(r#"UPDATE tokens SET policies = '{"monthly":{"reads":100}}'"#);
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
        self.written.write(&self.snapshot, &mut self.store, NOW)
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
