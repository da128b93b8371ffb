//! What a data key has sealed is sealed anew with the one in force, wherever it stands.

use sqlx::query;

use super::{
    super::{Edit, StoreError, get, word},
    sealed,
};
use crate::tenants::{
    record::SecretKind,
    secret::{SealedSecret, Vault, VaultRefusal},
};

/// Where sealed secrets stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holder {
    /// The credentials.
    #[default]
    Credentials,
    /// What a credential had when the rotation of its key began.
    OldKeys,
    /// What it is to have.
    NewKeys,
    /// The keys that wait for an owner.
    PendingKeys,
}

/// What one step of a rotation has done.
#[derive(Debug, Default)]
pub struct Resealed {
    /// How many secrets were sealed anew.
    pub count: u64,
    /// Those that do not open; their keys stay.
    pub left: Vec<LeftBehind>,
    /// The row up to which it came; none when there was nothing left to look at.
    pub up_to: Option<i64>,
}

/// A secret that could not be sealed anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {name}: {why}", holder.noun())]
pub struct LeftBehind {
    /// Where it stands.
    pub holder: Holder,
    /// The name of the credential, or the login of a key that has none.
    pub name: String,
    /// Why.
    pub why: VaultRefusal,
}

/// A secret that another key has sealed.
struct Other {
    row: i64,
    /// The row that it is sealed for.
    bound_to: i64,
    name: String,
    upstream: String,
    kind: SecretKind,
    secret: SealedSecret,
}

/// The key of every secret, by its id; what is no secret has none.
macro_rules! sealed_with {
    () => {
        "(SELECT key_id FROM credentials
          UNION ALL SELECT old_key_id AS key_id FROM rotations
          UNION ALL SELECT new_key_id AS key_id FROM rotations
          UNION ALL SELECT key_id FROM pending_keys) AS sealed"
    };
}
pub(super) use sealed_with;

/// Those of a table that another key has sealed, from behind a row on; with their keys.
macro_rules! others {
    ($columns:literal, $from:literal, $row:literal, $key:literal) => {
        concat!(
            "SELECT ",
            $row,
            " AS at_row, ",
            $columns,
            ", ",
            $key,
            " AS sealed_by,
                 data_keys.wrapped, data_keys.wrapped_by
             FROM ",
            $from,
            "
             LEFT JOIN data_keys ON data_keys.purpose = 'vault' AND data_keys.id = ",
            $key,
            "
             WHERE ",
            $key,
            " <> $1 AND ",
            $key,
            " <> '' AND ",
            $row,
            " > $2
             ORDER BY ",
            $row,
            " LIMIT $3"
        )
    };
}

impl Holder {
    /// Where to go on.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Credentials => Some(Self::OldKeys),
            Self::OldKeys => Some(Self::NewKeys),
            Self::NewKeys => Some(Self::PendingKeys),
            Self::PendingKeys => None,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Credentials => "credential",
            Self::OldKeys => "the key that is rotated of credential",
            Self::NewKeys => "the new key of credential",
            Self::PendingKeys => "the pending key of",
        }
    }

    fn select(self) -> &'static str {
        match self {
            Self::Credentials => others!(
                "credentials.row AS bound_to, name, upstream, kind, sealed",
                "credentials",
                "credentials.row",
                "credentials.key_id"
            ),
            Self::OldKeys => others!(
                "rotations.credential AS bound_to, credentials.name, credentials.upstream,
                     'key' AS kind, rotations.old_key AS sealed",
                "rotations JOIN credentials ON credentials.row = rotations.credential",
                "rotations.row",
                "rotations.old_key_id"
            ),
            Self::NewKeys => others!(
                "rotations.credential AS bound_to, credentials.name, credentials.upstream,
                     'key' AS kind, rotations.new_key AS sealed",
                "rotations JOIN credentials ON credentials.row = rotations.credential",
                "rotations.row",
                "rotations.new_key_id"
            ),
            Self::PendingKeys => others!(
                "-pending_keys.row AS bound_to, login AS name, upstream, 'key' AS kind, sealed",
                "pending_keys",
                "pending_keys.row",
                "pending_keys.key_id"
            ),
        }
    }

    fn update(self) -> &'static str {
        match self {
            Self::Credentials => "UPDATE credentials SET sealed = $2, key_id = $3 WHERE row = $1",
            Self::OldKeys => "UPDATE rotations SET old_key = $2, old_key_id = $3 WHERE row = $1",
            Self::NewKeys => "UPDATE rotations SET new_key = $2, new_key_id = $3 WHERE row = $1",
            Self::PendingKeys => "UPDATE pending_keys SET sealed = $2, key_id = $3 WHERE row = $1",
        }
    }
}

impl Edit<'_> {
    /// Seals secrets with the key in force that are sealed with another, from behind a row on, and so
    /// many at most.
    pub fn reseal(
        &self,
        vault: &Vault<'_>,
        holder: Holder,
        behind: i64,
        at_most: i64,
    ) -> Result<Resealed, StoreError> {
        let key = self.sealing_key(vault.keyring)?;
        let select = query(holder.select()).bind(key.id().as_str()).bind(behind).bind(at_most);
        let others = self.session.all(select, |row| {
            Ok(Other {
                row: get(row, "at_row")?,
                bound_to: get(row, "bound_to")?,
                name: get(row, "name")?,
                upstream: get(row, "upstream")?,
                kind: word(row, "kind")?,
                secret: sealed(row, ["sealed", "sealed_by", "wrapped", "wrapped_by"])?,
            })
        })?;
        let up_to = others.last().map(|last| last.row);
        let mut done = Resealed { up_to, ..Resealed::default() };
        for Other { row, bound_to, name, upstream, kind, secret } in others {
            let sealed = vault
                .open_sealed(bound_to, &upstream, kind, &secret)
                .and_then(|secret| vault.seal(&key, bound_to, &upstream, &secret));
            match sealed {
                Ok(sealed) => {
                    let update = query(holder.update()).bind(row).bind(sealed);
                    self.session.execute(update.bind(key.id().as_str()))?;
                    done.count += 1;
                }
                Err(why) => done.left.push(LeftBehind { holder, name, why }),
            }
        }
        Ok(done)
    }
}
