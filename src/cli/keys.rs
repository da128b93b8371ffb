//! `tollgate credential rotations`, `pending` and `claim`: what became of keys that were made.

use clap::Args;
use serde::Serialize;

use super::{
    Desk,
    failure::Failure,
    output::{Column, time},
};
use crate::{
    tenants::{
        course::Note,
        record::{PendingRecord, RotationRecord},
    },
    vocabulary::Closed as _,
};

/// A pending key, and who gets it.
#[derive(Debug, Args)]
pub struct ClaimKey {
    /// The pending key, by its number
    pub id: i64,
    /// The credential that gets it; it is added if there is none
    pub name: String,
}

#[derive(Serialize)]
struct RotationShown {
    credential: String,
    way: &'static str,
    step: &'static str,
    note: Option<&'static str>,
    begun: i64,
    ended: Option<i64>,
}

#[derive(Serialize)]
struct PendingShown {
    id: i64,
    upstream: String,
    user: i64,
    login: String,
    token: String,
    kept: bool,
    asked: i64,
}

#[derive(Serialize)]
struct Claimed<'a> {
    credential: &'a str,
    generation: i64,
}

const ROTATIONS: [Column<RotationShown>; 6] = [
    ("CREDENTIAL", |r| r.credential.clone()),
    ("WAY", |r| r.way.to_owned()),
    ("STEP", |r| r.step.to_owned()),
    ("NOTE", |r| r.note.unwrap_or("-").to_owned()),
    ("BEGUN", |r| time(Some(r.begun))),
    ("ENDED", |r| time(r.ended)),
];

const PENDING: [Column<PendingShown>; 7] = [
    ("ID", |p| p.id.to_string()),
    ("UPSTREAM", |p| p.upstream.clone()),
    ("USER", |p| p.user.to_string()),
    ("LOGIN", |p| p.login.clone()),
    ("TOKEN", |p| p.token.clone()),
    ("KEPT", |p| if p.kept { "yes" } else { "no" }.to_owned()),
    ("ASKED", |p| time(Some(p.asked))),
];

/// Lists the rotations, the latest first.
pub fn rotations(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let rotations = desk.at_store()?.0.rotations()?;
    let shown: Vec<_> = rotations.into_iter().map(RotationShown::from).collect();
    desk.output.list(&shown, &ROTATIONS)
}

/// Lists the keys that wait for an owner.
pub fn pending(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let pending = desk.at_store()?.0.pending()?;
    let shown: Vec<_> = pending.into_iter().map(PendingShown::from).collect();
    desk.output.list(&shown, &PENDING)
}

/// Gives one of them to a credential.
pub fn claim(claim: &ClaimKey, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let ClaimKey { id, name } = claim;
    let now = desk.now;
    let (store, means) = desk.at_store()?;
    let generation = store.edit(now, |edit| edit.claim_key(&means.vault, *id, name))?;
    let text = format!("credential {name} has the key, generation {generation}");
    desk.output.one(&Claimed { credential: name, generation }, &text)
}

impl From<RotationRecord> for RotationShown {
    fn from(record: RotationRecord) -> Self {
        let RotationRecord { name, course, created, ended, .. } = record;
        Self {
            credential: name,
            way: course.way.as_str(),
            step: course.step.as_str(),
            note: course.note.map(Note::as_str),
            begun: created,
            ended,
        }
    }
}

impl From<PendingRecord> for PendingShown {
    fn from(record: PendingRecord) -> Self {
        let PendingRecord { row, upstream, user, login, token, sealed, created } = record;
        let kept = !sealed.bytes.is_empty();
        Self { id: row, upstream, user, login, token, kept, asked: created }
    }
}
