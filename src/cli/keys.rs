//! `tollgate credential rotations`, `pending` and `claim`: what became of keys that were made.

use clap::Args;

use super::{
    Counter, Desk,
    failure::Failure,
    output::{Column, time},
    remote::{Call, path},
};
use crate::operations::{
    Listed,
    keys::{self, KeyClaim, KeyRotation, PendingKey},
};

/// A pending key, and who gets it.
#[derive(Debug, Args)]
pub struct ClaimKey {
    /// The pending key, by its number
    pub id: i64,
    /// The credential that gets it; it is added if there is none
    pub name: String,
}

const ROTATIONS: [Column<KeyRotation>; 6] = [
    ("CREDENTIAL", |r| r.credential.clone()),
    ("WAY", |r| r.way.clone()),
    ("STEP", |r| r.step.clone()),
    ("NOTE", |r| r.note.clone().unwrap_or_else(|| "-".to_owned())),
    ("BEGUN", |r| time(Some(r.begun))),
    ("ENDED", |r| time(r.ended)),
];

const PENDING: [Column<PendingKey>; 7] = [
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
    let shown: Vec<KeyRotation> = match &mut desk.counter {
        Counter::Store { store, .. } => keys::rotations(store)?,
        Counter::Server(server) => server.ask::<Listed<_>>(Call::get("/v1/key-rotations"))?.items,
    };
    desk.output.list(&shown, &ROTATIONS)
}

/// Lists the keys that wait for an owner.
pub fn pending(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let shown: Vec<PendingKey> = match &mut desk.counter {
        Counter::Store { store, .. } => keys::pending(store)?,
        Counter::Server(server) => server.ask::<Listed<_>>(Call::get(PENDING_KEYS))?.items,
    };
    desk.output.list(&shown, &PENDING)
}

/// Gives one of them to a credential.
pub fn claim(ClaimKey { id, name }: &ClaimKey, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let claim = KeyClaim { credential: name.clone() };
    let call = Call::post(path(&[PENDING_KEYS, &id.to_string(), "claim"]), &claim);
    let claimed = desk.edit(call, |edit, means| keys::claim(edit, means, *id, &claim))?;
    let generation = claimed.generation;
    let text = format!("credential {name} has the key, generation {generation}");
    desk.output.one(&claimed, &text)
}

const PENDING_KEYS: &str = "/v1/pending-keys";
