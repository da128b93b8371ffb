//! The keys of the store: listed, and rotated while servers serve.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Means, OperationError};
use crate::{
    tenants::{
        rotation::{self, Rotation},
        store::{KeyUse, Store},
    },
    vocabulary::Closed as _,
};

/// A key of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VaultKey {
    /// What it is for.
    pub purpose: String,
    /// Its public name.
    pub id: String,
    /// How many secrets are sealed with it, or tokens recognized by it.
    pub used_by: Option<i64>,
    /// When it was made, as a Unix time.
    pub created: i64,
    /// When another took its place, as a Unix time.
    pub retired: Option<i64>,
    /// The id of the master key that it is wrapped with.
    pub master_key: String,
}

/// What a rotation of the data key came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotatedVault {
    /// The id of the new key.
    pub key: String,
    /// How many secrets were sealed anew.
    pub resealed: u64,
    /// How many keys were deleted.
    pub discarded: u64,
    /// The secrets that do not open, and why: their keys stay.
    pub left: Vec<String>,
}

/// The keys of the store.
pub fn keys(store: &mut Store) -> Result<Vec<VaultKey>, OperationError> {
    Ok(store.key_uses()?.into_iter().map(VaultKey::from).collect())
}

/// Seals every secret with a new data key, in many transactions, and deletes the old one.
pub fn rotate(
    store: &mut Store,
    means: &Means<'_>,
    now: i64,
) -> Result<RotatedVault, OperationError> {
    let rotated = Rotation::default().run(store, &means.vault, now)?;
    let rotation::Rotated { key, resealed, discarded, left } = rotated;
    let left = left.iter().map(ToString::to_string).collect();
    Ok(RotatedVault { key, resealed, discarded, left })
}

impl From<KeyUse> for VaultKey {
    fn from(key: KeyUse) -> Self {
        Self {
            purpose: key.purpose.as_str().to_owned(),
            id: key.id,
            used_by: key.used_by,
            created: key.created,
            retired: key.retired,
            master_key: key.wrapped_by,
        }
    }
}
