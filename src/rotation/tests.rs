//! When the schedule says that a key is too old.

use super::*;
use crate::tenants::{
    course::{Course, Step},
    record::Standing,
    secret::SealedSecret,
};

const DAY: i64 = 86_400;
const INTERVAL: Duration = Duration::from_secs(90 * 86_400);
const NOW: i64 = 1_800_000_000;

fn credential(kind: SecretKind, created: i64) -> CredentialRecord {
    CredentialRecord {
        row: 1,
        name: "acme".to_owned(),
        upstream: "main".to_owned(),
        kind,
        standing: Standing::default(),
        sealed: Vec::new(),
        key_id: String::new(),
        key: None,
        generation: 1,
        created,
    }
}

fn rotation(step: Step, ended: Option<i64>) -> RotationRecord {
    RotationRecord {
        row: 1,
        credential: 1,
        name: "acme".to_owned(),
        upstream: "main".to_owned(),
        course: Course { step, ..Course::planned(Way::Add, Facts::default()) },
        old: SealedSecret::default(),
        generation: 1,
        now_generation: 1,
        due: 0,
        since: 0,
        holder: String::new(),
        leased: 0,
        created: 0,
        ended,
    }
}

fn due(kind: SecretKind, created: i64, rotations: &[RotationRecord]) -> bool {
    is_due(&credential(kind, created), rotations, INTERVAL, NOW)
}

#[test]
fn a_key_is_due_when_it_is_old_and_nobody_is_at_it() {
    let (old, young) = (NOW - 90 * DAY, NOW - 89 * DAY);
    let done = |at| rotation(Step::Done, Some(at));
    let undone = |at| rotation(Step::Undone, Some(at));
    let open = rotation(Step::Minted, None);
    for (created, rotations, expected) in [
        (old, vec![], true),
        (young, vec![], false),
        (old, vec![done(young)], false),
        (0, vec![done(old)], true),
        (old, vec![open], false),
        // What failed is tried again, but not at once.
        (old, vec![undone(NOW - 2 * DAY)], true),
        (old, vec![undone(NOW - DAY / 2)], false),
        (0, vec![done(old), undone(NOW)], false),
    ] {
        assert_eq!(due(SecretKind::Key, created, &rotations), expected, "{created} {rotations:?}");
    }
}

#[test]
fn a_password_is_never_due() {
    assert!(!due(SecretKind::Password, 0, &[]));
}
