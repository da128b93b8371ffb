//! Who works on a rotation: one at a time, for as long as a lease lasts.

use sqlx::query;

use super::{RotationRefusal, find, record};
use crate::tenants::{
    course::{Step, Way},
    record::RotationRecord,
    store::{Edit, Session, Store, StoreError},
};

/// A lease of one rotation.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// Who has it.
    pub holder: &'a str,
    /// Until when, as a Unix time in milliseconds.
    pub until: i64,
}

impl Store {
    /// The same as [`Edit::claim_rotation`], as a transaction of its own; `now` is in milliseconds. Gives
    /// what was made of the rotation: of one that could not be taken up, no lease is taken either, because
    /// a lease says that somebody works on it.
    ///
    /// Several servers ask several times a second for what another works on, what waits for its turn, or
    /// what does not open for them. So it is looked at first: each edit, though it comes to nothing, has
    /// all others wait that write.
    pub fn claim_rotation<T>(
        &mut self,
        row: i64,
        lease: Lease<'_>,
        now: i64,
        take_up: impl Fn(RotationRecord) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let Some(found) = self.look_at(|moment| claimable(moment, row, now))? else {
            return Ok(None);
        };
        take_up(found)?;
        let claimed = self.edit(now / 1000, |edit| {
            let claimed = edit.claim_rotation(row, lease, now)?;
            take_up(claimed.ok_or(RotationRefusal::LeaseLost)?)
        });
        match claimed {
            Ok(taken) => Ok(Some(taken)),
            Err(StoreError::Rotation(RotationRefusal::LeaseLost)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a lease for longer; says whether it was still ours. That is no edit: who believes that it has
    /// ended asks for it in vain.
    pub fn renew_rotation(&mut self, row: i64, lease: Lease<'_>) -> Result<bool, StoreError> {
        let renew = query(
            "UPDATE rotations SET leased = $3 WHERE row = $1 AND holder = $2 AND ended IS NULL",
        );
        let renew = renew.bind(row).bind(lease.holder).bind(lease.until);
        self.write(|session| Ok(session.execute(renew)? == 1))
    }
}

impl Edit<'_> {
    /// Takes the lease of a rotation that has not ended, if nobody has it at this moment (a Unix time in
    /// milliseconds). Who has it does not get it twice: of one process, too, one works on it.
    ///
    /// While one of an upstream may be adding a key, no other begins to: of two keys that are new in a
    /// list, nobody could say whose is which. One that replaces a key adds none to a list: it may wait for
    /// its panel for long, and for no other, because requests may be held back for it.
    pub fn claim_rotation(
        &self,
        row: i64,
        lease: Lease<'_>,
        now: i64,
    ) -> Result<Option<RotationRecord>, StoreError> {
        let Some(found) = claimable(&self.session, row, now)? else { return Ok(None) };
        let claim = query("UPDATE rotations SET holder = $2, leased = $3 WHERE row = $1");
        self.session.execute(claim.bind(row).bind(lease.holder).bind(lease.until))?;
        Ok(Some(found))
    }

    /// Lets go of a lease.
    pub fn release_rotation(&self, row: i64, holder: &str) -> Result<(), StoreError> {
        let release = query("UPDATE rotations SET leased = 0 WHERE row = $1 AND holder = $2");
        self.session.execute(release.bind(row).bind(holder)).map(drop)
    }
}

/// A rotation whose lease can be taken at this moment.
fn claimable(
    session: &Session<'_>,
    row: i64,
    now: i64,
) -> Result<Option<RotationRecord>, StoreError> {
    let free = |found: &RotationRecord| found.ended.is_none() && found.leased <= now;
    let Some(found) = find(session, row)?.filter(free) else { return Ok(None) };
    if found.course.step != Step::Planned || found.course.way == Way::Replace {
        return Ok(Some(found));
    }
    let others = query(concat!(select!(), " WHERE rotations.ended IS NULL"));
    let in_the_way = |other: &RotationRecord| {
        let asks = other.course.step == Step::Planned && other.leased > now;
        other.row != row
            && other.upstream == found.upstream
            && other.course.way == Way::Add
            && (asks || other.course.step.mints())
    };
    let waits = session.all(others, record)?.iter().any(in_the_way);
    Ok((!waits).then_some(found))
}

#[cfg(test)]
mod tests;
