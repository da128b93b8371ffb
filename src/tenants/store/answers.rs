//! What creates have answered, kept for a while, so that a repeated one answers the same.
//!
//! An answer is kept in the transaction of what it tells of: it is there if that was done, and only
//! then. It is sealed, because it may be the only place where a new token stands.

use sqlx::query;

use super::{Edit, Store, StoreError, View, get};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// A fingerprint of what was asked.
    pub request: String,
    /// The answer, encrypted.
    pub sealed: Vec<u8>,
}

impl Store {
    /// Deletes the answers that have expired by a Unix time. There are never more than so many.
    pub fn prune_answers(&mut self, now: i64) -> Result<u64, StoreError> {
        self.write(|session| {
            session.execute(query("DELETE FROM answers WHERE expires <= $1").bind(now))
        })
    }
}

impl View<'_> {
    /// What was answered under an id, if it is still kept.
    pub fn kept_answer(&self, id: &str) -> Result<Option<Kept>, StoreError> {
        let select = query("SELECT * FROM answers WHERE id = $1 AND expires > $2");
        self.session.first(select.bind(id).bind(self.now), |row| {
            Ok(Kept { request: get(row, "request")?, sealed: get(row, "sealed")? })
        })
    }
}

impl Edit<'_> {
    /// Keeps an answer until it expires, and so many at most: the one that would expire first goes.
    pub fn keep_answer(
        &self,
        id: &str,
        answer: Kept,
        expires: i64,
        most: i64,
    ) -> Result<(), StoreError> {
        let old = query("DELETE FROM answers WHERE expires <= $1 OR id = $2");
        self.session.execute(old.bind(self.now).bind(id))?;
        let count = query("SELECT count(*) AS answers FROM answers");
        let kept: i64 = self.session.first(count, |row| get(row, "answers"))?.unwrap_or_default();
        let first = query("SELECT id FROM answers ORDER BY expires LIMIT $1");
        let surplus: Vec<String> =
            self.session.all(first.bind((kept + 1 - most).max(0)), |row| get(row, "id"))?;
        for id in surplus {
            self.session.execute(query("DELETE FROM answers WHERE id = $1").bind(id))?;
        }
        let insert =
            query("INSERT INTO answers (id, request, sealed, expires) VALUES ($1, $2, $3, $4)");
        let Kept { request, sealed } = answer;
        self.session.execute(insert.bind(id).bind(request).bind(sealed).bind(expires))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenants::fixture::{Fixture, NOW};

    fn kept(request: &str) -> Kept {
        Kept { request: request.to_owned(), sealed: request.as_bytes().to_vec() }
    }

    fn keep(fixture: &mut Fixture, id: &str, seconds: i64, most: i64) {
        let keep = |edit: &Edit<'_>| edit.keep_answer(id, kept(id), NOW + seconds, most);
        fixture.store.edit::<_, StoreError>(NOW, keep).expect("kept");
    }

    fn find(fixture: &mut Fixture, id: &str, now: i64) -> Option<Kept> {
        fixture.store.edit::<_, StoreError>(now, |edit| edit.kept_answer(id)).expect("asked")
    }

    #[test]
    fn an_answer_is_kept_until_it_expires() {
        let mut fixture = Fixture::new();
        keep(&mut fixture, "a", 60, 10);
        assert_eq!(find(&mut fixture, "a", NOW + 59), Some(kept("a")));
        assert_eq!(find(&mut fixture, "b", NOW), None);
        assert_eq!(find(&mut fixture, "a", NOW + 60), None);
        keep(&mut fixture, "a", 120, 10);
        assert_eq!(find(&mut fixture, "a", NOW + 60), Some(kept("a")));
    }

    #[test]
    fn there_are_never_more_than_may_be_and_the_first_to_expire_goes() {
        let mut fixture = Fixture::new();
        for (id, seconds) in [("a", 90), ("b", 60), ("c", 120), ("d", 100)] {
            keep(&mut fixture, id, seconds, 3);
        }
        let left = ["a", "b", "c", "d"].map(|id| find(&mut fixture, id, NOW).is_some());
        assert_eq!(left, [true, false, true, true]);
        keep(&mut fixture, "e", 200, 1);
        let left = ["a", "c", "d", "e"].map(|id| find(&mut fixture, id, NOW).is_some());
        assert_eq!(left, [false, false, false, true]);
    }

    #[test]
    fn what_has_expired_goes_though_nobody_creates_anything() {
        let mut fixture = Fixture::new();
        keep(&mut fixture, "a", 60, 10);
        keep(&mut fixture, "b", 120, 10);
        let revision = fixture.store.revision().expect("read");
        assert_eq!(fixture.store.prune_answers(NOW + 59).expect("pruned"), 0);
        assert_eq!(fixture.store.prune_answers(NOW + 60).expect("pruned"), 1);
        let left = ["a", "b"].map(|id| find(&mut fixture, id, NOW).is_some());
        assert_eq!(left, [false, true]);
        let looked = 2;
        let now = fixture.store.revision().expect("read");
        assert_eq!(now, revision + looked, "no server has to read the store anew for it");
    }

    #[test]
    fn what_was_not_done_has_no_answer() {
        let mut fixture = Fixture::new();
        let failed = fixture.store.edit::<(), StoreError>(NOW, |edit| {
            edit.keep_answer("a", kept("a"), NOW + 60, 10)?;
            Err(StoreError::NeverGood)
        });
        assert!(failed.is_err());
        assert_eq!(find(&mut fixture, "a", NOW), None);
    }
}
