//! An edit of what was seen: whoever planned on a revision changes that one and no other.

use super::{Edit, Store, StoreError};

enum Refused<E> {
    Moved,
    Failed(E),
}

impl Store {
    /// Changes the store as [`edit`](Store::edit) does, if it is still of the revision that was seen;
    /// none, and nothing is changed, when it is not.
    pub fn edit_seen<T, E: From<StoreError>>(
        &mut self,
        seen: i64,
        now: i64,
        change: impl FnOnce(&Edit<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let edited = self.edit(now, |edit| {
            // This edit has counted on already, and nobody else can until it ends.
            if edit.revision()? != seen + 1 {
                return Err(Refused::Moved);
            }
            change(edit).map_err(Refused::Failed)
        });
        match edited {
            Ok(done) => Ok(Some(done)),
            Err(Refused::Moved) => Ok(None),
            Err(Refused::Failed(error)) => Err(error),
        }
    }
}

impl<E: From<StoreError>> From<StoreError> for Refused<E> {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
