//! Keys that were left, and for how long what is known of a rotation stays.

use super::{
    super::tests::{Journal, LEASE, at, key},
    *,
};
use crate::tenants::{
    course::{Course, Facts, Note, Step, Way},
    fixture::{NOW, origin, surroundings},
    snapshot::Snapshot,
    store::{pending::NewPending, rotations::Entry},
};

const PENDING: NewPending<'static> =
    NewPending { upstream: "main", user: 7, login: "ann@example.com", token: "t" };

impl Journal {
    /// Does something with the vault.
    fn edit<T>(
        &mut self,
        change: impl FnOnce(&Edit<'_>, &Vault<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let vault = Vault { keyring: &self.fixture.keyring, origin: &origin };
        self.fixture.store.edit(NOW, |edit| change(edit, &vault))
    }

    /// One more rotation of the same credential, which ends at once.
    fn ends_again(&mut self, step: Step, ended: i64) -> i64 {
        let row = self.edit(|edit, vault| {
            let row = edit.plan_rotation(vault, "acme", Way::Add, &Facts::default())?;
            edit.claim_rotation(row, LEASE, i64::MAX - 1)?.expect("nobody else has it");
            let course = Course { step, new: None, ..at(Way::Add, step) };
            let entry = Entry { row, course: &course, due: 0, since: 0 };
            assert!(edit.advance_rotation(vault, &entry, LEASE)?);
            Ok(row)
        });
        let row = row.expect("written");
        self.fixture
            .store
            .script(&format!("UPDATE rotations SET ended = {ended} WHERE row = {row}"));
        row
    }

    fn rows(&mut self) -> Vec<i64> {
        self.fixture.store.rotations().expect("read").iter().map(|r| r.row).collect()
    }

    fn hidden(&mut self) -> Vec<String> {
        let records = self.fixture.store.records().expect("read");
        let (keyring, none) = (&self.fixture.keyring, Snapshot::default());
        let snapshot = Snapshot::build(&records, keyring, &surroundings(), &none);
        let mut hidden: Vec<_> =
            snapshot.upstream_secrets("main").map(|(_, secret)| secret.to_owned()).collect();
        hidden.sort();
        hidden
    }

    /// What came of a refusal.
    fn refused<T: std::fmt::Debug>(
        &mut self,
        change: impl FnOnce(&Edit<'_>, &Vault<'_>) -> Result<T, StoreError>,
    ) -> RotationRefusal {
        match self.edit(change).expect_err("it is refused") {
            StoreError::Rotation(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

/// A rotation that has lost its key, or seems to have.
fn lost() -> Journal {
    let mut journal = Journal::new(Way::Replace, &Facts::default());
    let note = Some(Note::NotRecovered);
    assert!(journal.advance(&Course { note, ..at(Way::Replace, Step::Lost) }));
    journal
}

#[test]
fn a_key_that_was_kept_becomes_its_credentials_once() {
    let mut journal = lost();
    let row = journal.row;
    assert_eq!(journal.hidden(), ["planted-new-key", "planted-old-key"]);
    let used = journal.edit(|edit, vault| edit.use_kept(vault, row)).expect("used");
    assert_eq!(used, ("acme".to_owned(), 2));
    assert_eq!(journal.hidden(), ["planted-new-key"]);
    assert_eq!(journal.record().course.new, None, "it is kept once");
    let again = journal.refused(|edit, vault| edit.use_kept(vault, row));
    assert_eq!(again, RotationRefusal::NothingKept(row));
}

#[test]
fn what_is_not_kept_or_not_ended_is_not_used_or_forgotten() {
    let mut journal = Journal::new(Way::Add, &Facts::default());
    let row = journal.row;
    assert!(journal.advance(&at(Way::Add, Step::Minted)));
    for row in [row, row + 1] {
        let nothing = RotationRefusal::NothingKept(row);
        assert_eq!(journal.refused(|edit, vault| edit.use_kept(vault, row)), nothing);
        assert_eq!(journal.refused(|edit, _| edit.forget_kept(row)), nothing);
    }
    assert_eq!(journal.hidden(), ["planted-new-key", "planted-old-key"]);
}

#[test]
fn what_is_forgotten_is_not_hidden_any_more() {
    let mut journal = lost();
    let row = journal.row;
    journal.edit(|edit, _| edit.forget_kept(row)).expect("forgotten");
    assert_eq!(journal.hidden(), ["planted-old-key"], "the credential has it");
    assert_eq!(journal.refused(|edit, _| edit.forget_kept(row)), RotationRefusal::NothingKept(row));

    // The old key of one that came to its end, too.
    let kept = Facts { keeps_old: true, ..Facts::default() };
    let mut journal = Journal::new(Way::Add, &kept);
    let row = journal.row;
    assert!(journal.advance(&Course { facts: kept, ..at(Way::Add, Step::Probed) }));
    journal.set_by_hand("planted-own-key").expect("set");
    let done = Course { new: None, ..at(Way::Add, Step::Done) };
    assert!(
        journal.advance(&Course { facts: Facts { keeps_old: true, ..Facts::default() }, ..done })
    );
    assert_eq!(journal.hidden(), ["planted-old-key", "planted-own-key"]);
    journal.edit(|edit, _| edit.forget_kept(row)).expect("forgotten");
    assert_eq!(journal.hidden(), ["planted-own-key"]);
}

#[test]
fn so_many_keys_are_kept_of_an_upstream_and_no_more() {
    let mut journal = lost();
    let room = |journal: &mut Journal, upstream: &str, most| {
        journal.edit(|edit, _| edit.require_room(upstream, most)).is_ok()
    };
    assert!(room(&mut journal, "main", 2) && !room(&mut journal, "main", 1));
    assert!(room(&mut journal, "other", 1));
    let row = journal.edit(|edit, vault| edit.expect_key(vault, &PENDING)).expect("expected");
    assert!(room(&mut journal, "main", 3) && !room(&mut journal, "main", 2));
    let full = journal.refused(|edit, _| edit.require_room("main", 2)).to_string();
    assert!(full.contains("rotation.max_kept") && full.contains("--forget"), "{full}");
    journal.edit(|edit, _| edit.forget_key(row)).expect("forgotten");
    assert!(room(&mut journal, "main", 2));
    assert_eq!(journal.refused(|edit, _| edit.forget_key(row)), RotationRefusal::NoPending(row));
}

#[test]
fn a_key_that_comes_after_it_was_forgotten_is_kept_all_the_same() {
    let mut journal = lost();
    let row = journal.edit(|edit, vault| edit.expect_key(vault, &PENDING)).expect("expected");
    journal.edit(|edit, _| edit.forget_key(row)).expect("forgotten");
    let late = key("planted-late-key");
    journal.edit(|edit, vault| edit.keep_key(vault, row, &PENDING, &late)).expect("kept");
    assert!(journal.hidden().contains(&"planted-late-key".to_owned()));
    let claimed = journal.edit(|edit, vault| edit.claim_key(vault, row, "ann"));
    assert_eq!(claimed.expect("it opens"), 1);
}

#[test]
fn what_ended_long_ago_goes_but_for_keys_and_the_last_success() {
    let mut journal = lost();
    let first = journal.row;
    let old = journal.ends_again(Step::Done, NOW);
    let last = journal.ends_again(Step::Done, NOW);
    let failed = journal.ends_again(Step::Undone, NOW);
    let young = journal.ends_again(Step::Undone, NOW + 1);
    assert_eq!(journal.rows(), [young, failed, last, old, first]);
    let prune = |journal: &mut Journal, before| {
        assert!(!journal.fixture.store.prune_rotations(before).expect("pruned"));
        journal.rows()
    };
    assert_eq!(prune(&mut journal, NOW), [young, failed, last, old, first]);
    assert_eq!(prune(&mut journal, NOW + 1), [young, last, first]);
    journal.edit(|edit, _| edit.forget_kept(first)).expect("forgotten");
    assert_eq!(prune(&mut journal, NOW + 2), [last], "the age of the key is counted from it");
}
