//! The exit codes of what operations, the store and the system say.

use std::io;

use crate::{
    auth::keyring::VaultError,
    cli::exit::Exit,
    operations::OperationError,
    tenants::{declared::NotCarriedOut, secret::VaultRefusal, store::StoreError},
};

/// What an operation says.
pub(super) fn of_operation(error: &OperationError) -> Exit {
    match error {
        OperationError::Store(error)
        | OperationError::NotCarriedOut(NotCarriedOut::Store(error)) => of_store(error),
        OperationError::BadSecret(_)
        | OperationError::Broken(_)
        | OperationError::NothingToAccept
        | OperationError::Undeclarable(_)
        | OperationError::NoEvent(_)
        | OperationError::BadCursor => Exit::Data,
        OperationError::Scope(_)
        | OperationError::Policy(_)
        | OperationError::TooLate
        | OperationError::NothingToLose
        | OperationError::BadLabel => Exit::Usage,
        OperationError::Random(_)
        | OperationError::NotCarriedOut(NotCarriedOut::Random(_) | NotCarriedOut::TooFew) => {
            Exit::Software
        }
    }
}

/// What the store says.
pub(in crate::cli) fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Create { source, .. } => of_file(source, Exit::CantCreate),
        StoreError::Open { source, .. } | StoreError::Database(source) => of_database(source),
        StoreError::TimedOut { .. } | StoreError::Unsettled(_) => Exit::Unavailable,
        StoreError::Meaningless { .. } | StoreError::Untrusted(_) => Exit::Data,
        StoreError::Foreign { .. } | StoreError::Newer { .. } => Exit::Config,
        StoreError::Vault { why: VaultRefusal::Vault(VaultError::NoRandomness), .. } => {
            Exit::Software
        }
        StoreError::NoNewKey(_) => Exit::Software,
        StoreError::Vault { .. } | StoreError::Locked { .. } => Exit::Config,
        StoreError::Exists { .. }
        | StoreError::Missing { .. }
        | StoreError::InUse { .. }
        | StoreError::BadName { .. }
        | StoreError::Ended { .. }
        | StoreError::Replaced { .. }
        | StoreError::TokenTaken { .. }
        | StoreError::NoAccount { .. }
        | StoreError::Rotation(_)
        | StoreError::BadAccount { .. }
        | StoreError::NeverGood => Exit::Data,
    }
}

fn of_database(error: &sqlx::Error) -> Exit {
    match error {
        sqlx::Error::Io(error) => of_file(error, Exit::Unavailable),
        sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => Exit::Unavailable,
        sqlx::Error::Configuration(_) => Exit::Config,
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // SQLite: busy, locked. PostgreSQL: it starts, ends, has too many connections, or
            // somebody else had the turn for too long.
            Some("5" | "6" | "57P01" | "57P02" | "57P03" | "53300") => Exit::Unavailable,
            Some("55P03" | "57014" | "25P03") => Exit::Unavailable,
            // SQLite: no permission, read-only, cannot be opened. PostgreSQL: not let in.
            Some("3" | "8" | "14" | "28000" | "28P01" | "42501") => Exit::NoPermission,
            Some(_) | None => Exit::Io,
        },
        _ => Exit::Io,
    }
}

/// What the system says of a file; `otherwise`, unless it is not permitted.
pub(super) fn of_file(error: &io::Error, otherwise: Exit) -> Exit {
    if error.kind() == io::ErrorKind::PermissionDenied { Exit::NoPermission } else { otherwise }
}
