//! Keys of upstreams: what became of their rotations, and those that wait for an owner.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Listed, Means, OperationError, Page, credentials::RotatedCredential};
use crate::{
    tenants::{
        course::{Facts, Note, Way},
        record::{PendingRecord, RotationRecord},
        store::{Edit, View},
    },
    vocabulary::Closed as _,
};

/// The rotation of a credential's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRotation {
    /// Its number.
    pub id: i64,
    /// The credential.
    pub credential: String,
    /// How often the credential's secret was changed, from one, until now.
    pub generation: i64,
    /// Whether a key is added, or replaces the one that there is.
    pub way: String,
    /// How far it is.
    pub step: String,
    /// What is to be said of it.
    pub note: Option<String>,
    /// When it began, as a Unix time.
    pub begun: i64,
    /// When it ended, as a Unix time.
    pub ended: Option<i64>,
    /// Whether it has ended and keeps the key that the upstream made, which no credential has.
    pub new_kept: bool,
    /// Whether it has ended and keeps the key that there was before, which may still work.
    pub old_kept: bool,
}

/// Whose key is to be rotated, and how.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKeyRotation {
    /// The credential.
    pub credential: String,
    /// Whether the key of the profile is replaced, where the panel adds none; requests wait meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// Whether it is replaced although nobody else could read the new key if the panel's answer were lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecoverable: bool,
}

/// A key that a client had the upstream make, for a user who is behind no credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingKey {
    /// Its number.
    pub id: i64,
    /// The upstream that it is for.
    pub upstream: String,
    /// The number of its user there.
    pub user: i64,
    /// The e-mail address of that user.
    pub login: String,
    /// The public id of the token that asked for it.
    pub token: String,
    /// Whether the upstream's answer came, and the key is kept.
    pub kept: bool,
    /// When it was asked for, as a Unix time.
    pub asked: i64,
}

/// Who gets a pending key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyClaim {
    /// The credential that gets it; it is added if there is none.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._@][A-Za-z0-9._@-]*$")]
    pub credential: String,
}

/// The rotations, the latest first.
pub fn rotations(view: &View<'_>, page: &Page) -> Result<Listed<KeyRotation>, OperationError> {
    let found = view.rotations(page.before_number()?, page.probe())?;
    Ok(page.of(found, |rotation| rotation.row.to_string()).map(KeyRotation::from))
}

/// Gives the credential of a rotation that has ended the new key that it has kept.
pub fn use_kept(
    edit: &Edit<'_>,
    means: &Means<'_>,
    id: i64,
) -> Result<RotatedCredential, OperationError> {
    let (credential, generation) = edit.use_kept(&means.vault, id)?;
    Ok(RotatedCredential { credential, generation })
}

/// Forgets the keys that a rotation has kept which has ended.
pub fn forget_kept(edit: &Edit<'_>, id: i64) -> Result<(), OperationError> {
    Ok(edit.forget_kept(id)?)
}

/// A rotation; none if there is none of this number.
pub fn rotation(view: &View<'_>, id: i64) -> Result<Option<KeyRotation>, OperationError> {
    Ok(view.rotation(id)?.map(KeyRotation::from))
}

/// Plans the rotation of a credential's key. Whoever keeps the journal works on it: a server, as soon as
/// it sees it.
pub fn begin(
    edit: &Edit<'_>,
    means: &Means<'_>,
    new: &NewKeyRotation,
) -> Result<KeyRotation, OperationError> {
    let NewKeyRotation { credential, replace, unrecoverable } = new;
    if *unrecoverable && !replace {
        return Err(OperationError::NothingToLose);
    }
    let way = if *replace { Way::Replace } else { Way::Add };
    let facts = Facts { unrecoverable: *unrecoverable, ..Facts::default() };
    let row = edit.plan_rotation(&means.vault, credential, way, &facts)?;
    let planned = edit.rotation(row)?;
    Ok(planned.expect("it was planned in this transaction").into())
}

/// The keys that wait for an owner.
pub fn pending(view: &View<'_>, page: &Page) -> Result<Listed<PendingKey>, OperationError> {
    let found = view.pending(page.after_number()?, page.probe())?;
    Ok(page.of(found, |key| key.row.to_string()).map(PendingKey::from))
}

/// Forgets one of them; the upstream keeps it, if it was made.
pub fn forget(edit: &Edit<'_>, id: i64) -> Result<(), OperationError> {
    Ok(edit.forget_key(id)?)
}

/// Gives one of them to a credential.
pub fn claim(
    edit: &Edit<'_>,
    means: &Means<'_>,
    id: i64,
    claim: &KeyClaim,
) -> Result<RotatedCredential, OperationError> {
    let generation = edit.claim_key(&means.vault, id, &claim.credential)?;
    Ok(RotatedCredential { credential: claim.credential.clone(), generation })
}

impl From<RotationRecord> for KeyRotation {
    fn from(record: RotationRecord) -> Self {
        let RotationRecord { row, name, course, old, now_generation, created, ended, .. } = record;
        Self {
            id: row,
            credential: name,
            generation: now_generation,
            way: course.way.as_str().to_owned(),
            step: course.step.as_str().to_owned(),
            note: course.note.map(|note| Note::as_str(note).to_owned()),
            begun: created,
            ended,
            new_kept: ended.is_some() && course.new.is_some(),
            old_kept: ended.is_some() && !old.bytes.is_empty(),
        }
    }
}

impl From<PendingRecord> for PendingKey {
    fn from(record: PendingRecord) -> Self {
        let PendingRecord { row, upstream, user, login, token, sealed, created } = record;
        let kept = !sealed.bytes.is_empty();
        Self { id: row, upstream, user, login, token, kept, asked: created }
    }
}
