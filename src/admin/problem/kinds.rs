//! What kind of problem each refusal of an operation is.

use super::Kind;
use crate::{
    operations::OperationError,
    tenants::{declared::NotCarriedOut, store::StoreError},
};

pub(super) fn of_operation(error: &OperationError) -> Kind {
    match error {
        OperationError::Store(error)
        | OperationError::NotCarriedOut(NotCarriedOut::Store(error)) => of_store(error),
        OperationError::BadCursor => Kind::BadRequest,
        OperationError::Broken(_)
        | OperationError::NoEvent(_)
        | OperationError::NothingToAccept => Kind::Conflict,
        OperationError::Random(_)
        | OperationError::NotCarriedOut(NotCarriedOut::Random(_) | NotCarriedOut::TooFew) => {
            Kind::Unavailable
        }
        OperationError::BadSecret(_)
        | OperationError::Scope(_)
        | OperationError::Policy(_)
        | OperationError::TooLate
        | OperationError::Undeclarable(_)
        | OperationError::NothingToLose
        | OperationError::BadLabel => Kind::Invalid,
    }
}

pub(super) fn of_store(error: &StoreError) -> Kind {
    match error {
        StoreError::Missing { .. } => Kind::NotFound,
        StoreError::Exists { .. }
        | StoreError::InUse { .. }
        | StoreError::TokenTaken { .. }
        | StoreError::Ended { .. }
        | StoreError::Replaced { .. }
        | StoreError::Rotation(_)
        | StoreError::Untrusted(_) => Kind::Conflict,
        StoreError::BadName { .. }
        | StoreError::NeverGood
        | StoreError::NoAccount { .. }
        | StoreError::BadAccount { .. }
        | StoreError::Vault { .. } => Kind::Invalid,
        StoreError::Unsettled(_) => Kind::Unsettled,
        StoreError::Create { .. }
        | StoreError::Open { .. }
        | StoreError::Foreign { .. }
        | StoreError::Newer { .. }
        | StoreError::Database(_)
        | StoreError::TimedOut { .. }
        | StoreError::Locked { .. }
        | StoreError::NoNewKey(_)
        | StoreError::Meaningless { .. } => Kind::Unavailable,
    }
}
