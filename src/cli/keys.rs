//! `tollgate credential rotations`, `pending` and `claim`: what became of keys that were made.

use clap::Args;
use serde::Serialize;

use super::{
    Desk,
    failure::Failure,
    output::{Column, time},
    remote::{Call, path},
};
use crate::operations::keys::{self, KeyClaim, KeyRotation, PendingKey};

/// What to do with the keys of a rotation that has ended; nothing lists all of them.
#[derive(Debug, Args)]
pub struct Rotations {
    /// Give the credential the new key that the ended rotation of this number has kept
    #[arg(long = "use", value_name = "ID", conflicts_with = "forget")]
    pub take: Option<i64>,
    /// Forget the keys that it has kept; the panel keeps them, and replies may show them
    #[arg(long, value_name = "ID")]
    pub forget: Option<i64>,
}

/// What to do with a key that waits for an owner; nothing lists all of them.
#[derive(Debug, Args)]
pub struct Pending {
    /// Forget the key of this number; the panel keeps it, and replies may show it
    #[arg(long, value_name = "ID")]
    pub forget: Option<i64>,
}

/// A pending key, and who gets it.
#[derive(Debug, Args)]
pub struct ClaimKey {
    /// The pending key, by its number
    pub id: i64,
    /// The credential that gets it; it is added if there is none
    pub name: String,
}

#[derive(Serialize)]
struct Forgotten {
    forgotten: i64,
}

const ROTATIONS: [Column<KeyRotation>; 8] = [
    ("ID", |r| r.id.to_string()),
    ("CREDENTIAL", |r| r.credential.clone()),
    ("WAY", |r| r.way.clone()),
    ("STEP", |r| r.step.clone()),
    ("NOTE", |r| r.note.clone().unwrap_or_else(|| "-".to_owned())),
    ("BEGUN", |r| time(Some(r.begun))),
    ("ENDED", |r| time(r.ended)),
    ("KEPT", |r| kept(r).to_owned()),
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

/// Lists the rotations, the latest first, or does something with the keys of one.
pub fn rotations(asked: &Rotations, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let at = |id: i64, what: &str| path(&[KEY_ROTATIONS, &id.to_string(), what]);
    if let Some(id) = asked.take {
        let call = Call::post_nothing(at(id, "use"));
        let used = desk.edit(call, |edit, means| keys::use_kept(edit, means, id))?;
        let (name, generation) = (&used.credential, used.generation);
        let text = format!(
            "credential {name} has the key, generation {generation}; `tollgate credential test \
             {name}` says whether the panel takes it"
        );
        return desk.output.one(&used, &text);
    }
    if let Some(id) = asked.forget {
        let call = Call::post_nothing(at(id, "forget"));
        desk.edit(call, |edit, _| keys::forget_kept(edit, id))?;
        let text = format!("the keys of rotation {id} are forgotten");
        return desk.output.one(&Forgotten { forgotten: id }, &text);
    }
    let shown = desk.list(&format!("{KEY_ROTATIONS}?"), keys::rotations)?;
    desk.output.list(&shown, &ROTATIONS)
}

/// Lists the keys that wait for an owner, or forgets one.
pub fn pending(asked: &Pending, desk: &mut Desk<'_>) -> Result<(), Failure> {
    if let Some(id) = asked.forget {
        let call = Call::delete(path(&[PENDING_KEYS, &id.to_string()]));
        desk.edit(call, |edit, _| keys::forget(edit, id))?;
        let text = format!("the pending key {id} is forgotten");
        return desk.output.one(&Forgotten { forgotten: id }, &text);
    }
    let shown = desk.list(&format!("{PENDING_KEYS}?"), keys::pending)?;
    desk.output.list(&shown, &PENDING)
}

fn kept(rotation: &KeyRotation) -> &'static str {
    match (rotation.new_kept, rotation.old_kept) {
        (true, true) => "new, old",
        (true, false) => "new",
        (false, true) => "old",
        (false, false) => "-",
    }
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

const KEY_ROTATIONS: &str = "/v1/key-rotations";
const PENDING_KEYS: &str = "/v1/pending-keys";
