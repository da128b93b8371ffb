//! Why the store could not be read or changed.

use std::{io, path::PathBuf, time::Duration};

use super::{ACCOUNT_MAX, Location, NAME_MAX, audit, rotations};
use crate::{
    auth::{data_key::UnwrapError, keyring::VaultError},
    tenants::{record::Noun, schema, secret::VaultRefusal},
    vocabulary::Closed as _,
};

/// Why the store could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made, most likely because of its directory.
    #[error("the store {} cannot be created", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be opened, or not be reached.
    #[error("the store {place} cannot be opened")]
    Open {
        /// Where it is.
        place: Location,
        /// Why.
        source: sqlx::Error,
    },
    /// A database of another program.
    #[error("{place} is a database, but not a store of Tollgate")]
    Foreign {
        /// Where it is.
        place: Location,
    },
    /// Written by a later program.
    #[error(
        "the store {place} has version {found}, and this program knows up to {known}; \
         run the newer program that wrote it",
        known = schema::VERSION
    )]
    Newer {
        /// Where it is.
        place: Location,
        /// Its version.
        found: i64,
    },
    /// The database refused.
    #[error("the store could not be read or written")]
    Database(#[from] sqlx::Error),
    /// The database did not answer.
    #[error(
        "the store did not answer within {} ms (tenants.store_timeout)",
        after.as_millis()
    )]
    TimedOut {
        /// For how long it was waited.
        after: Duration,
    },
    /// The database went away while it was to make a change last.
    #[error("the store did not say whether the change was made; look before you repeat it")]
    Unsettled(#[source] Box<StoreError>),
    /// The audit log is not as it was signed.
    #[error(
        "nothing can be added to the audit log, and so nothing be changed, until an operator has \
         accepted it as it is (`tollgate audit accept`)"
    )]
    Untrusted(#[from] audit::Untrusted),
    /// A value that no program of ours has written.
    #[error("\"{}\" means nothing in the column {column}", value.escape_debug())]
    Meaningless {
        /// Where it stands.
        column: &'static str,
        /// What stands there.
        value: String,
    },
    /// The name is taken.
    #[error("there is already a {} \"{name}\"", noun.as_str())]
    Exists {
        /// What it would be.
        noun: Noun,
        /// Its name.
        name: String,
    },
    /// The name is unknown.
    #[error("there is no {} \"{name}\"", noun.as_str())]
    Missing {
        /// What it would be.
        noun: Noun,
        /// Its name.
        name: String,
    },
    /// It cannot go while others stand on it.
    #[error("the {} \"{name}\" is in use by {}; revoke them first", noun.as_str(), users(tokens))]
    InUse {
        /// What it is.
        noun: Noun,
        /// Its name.
        name: String,
        /// The ids of the tokens that use it.
        tokens: Vec<String>,
    },
    /// The name would not be safe in lists and logs.
    #[error(
        "\"{}\" is no name for a {}: use 1 to {NAME_MAX} letters, digits and \"._@-\"",
        name.escape_debug(), noun.as_str()
    )]
    BadName {
        /// What it would be.
        noun: Noun,
        /// The name.
        name: String,
    },
    /// The same key cannot be two tokens.
    #[error("this key is already the token {id}")]
    TokenTaken {
        /// The public id of the token that it is.
        id: String,
    },
    /// A token that is not good any more, so that nothing can take its place.
    #[error("the token {id} has been revoked or has expired; create another one")]
    Ended {
        /// Its public id.
        id: String,
    },
    /// A token whose place another one has taken.
    #[error(
        "the token {id} was rotated before: rotate {by}, which has taken its place, or create \
         another one"
    )]
    Replaced {
        /// Its public id.
        id: String,
        /// The public id of the one that nothing has replaced yet.
        by: String,
    },
    /// A token that is never good.
    #[error("the token would expire before it becomes good")]
    NeverGood,
    /// What belongs to an account cannot be known without it.
    #[error(
        "credential \"{name}\" reaches what its account owns (\"own\"), and has no account; \
         name its account, or let it reach \"all\""
    )]
    NoAccount {
        /// The credential.
        name: String,
    },
    /// The account would not be safe in lists and logs.
    #[error(
        "credential \"{name}\": its account must have 1 to {ACCOUNT_MAX} characters, and no \
         control character"
    )]
    BadAccount {
        /// The credential.
        name: String,
    },
    /// Its keys are another master key's.
    #[error("the keys of the store cannot be had with this master key (key id {given}): {why}")]
    Locked {
        /// The id of the master key.
        given: String,
        /// Why.
        why: UnwrapError,
    },
    /// No key could be made.
    #[error("no data key can be made")]
    NoNewKey(#[from] VaultError),
    /// The keys that rotate.
    #[error(transparent)]
    Rotation(#[from] rotations::RotationRefusal),
    /// The vault refuses.
    #[error("credential \"{name}\": {why}")]
    Vault {
        /// The credential.
        name: String,
        /// Why.
        why: VaultRefusal,
    },
}

impl StoreError {
    /// Whether the connection may be at fault, or what it is connected to: it is not asked again.
    pub fn is_of_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Database(_) | Self::TimedOut { .. } | Self::Unsettled(_) | Self::Newer { .. }
        )
    }

    pub(super) fn missing(noun: Noun, name: &str) -> Self {
        Self::Missing { noun, name: name.to_owned() }
    }

    pub(super) fn vault(name: &str) -> impl FnOnce(VaultRefusal) -> Self {
        let name = name.to_owned();
        |why| Self::Vault { name, why }
    }
}

fn users(tokens: &[String]) -> String {
    const SHOWN: usize = 5;
    let noun = if tokens.len() == 1 { "token" } else { "tokens" };
    let shown = tokens[..tokens.len().min(SHOWN)].join(", ");
    match tokens.len().checked_sub(SHOWN) {
        None | Some(0) => format!("the {noun} {shown}"),
        Some(more) => format!("the {noun} {shown} and {more} more"),
    }
}
