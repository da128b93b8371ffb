//! Keys that have become too old: when that is, and that their rotation is planned.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{LOOK, Rotor, ticks, unix_now};
use crate::{
    error_chain::error_chain,
    tenants::{
        course::{Facts, Step, Way},
        record::{CredentialRecord, RotationRecord, SecretKind},
        secret::Vault,
        store::{StoreError, rotations::RotationRefusal},
    },
};

/// How long a key is left alone whose rotation has ended without one, if `interval` is not shorter; and how
/// long it is at most from one look at the keys to the next.
pub(super) const RETRY: Duration = Duration::from_secs(86_400);

impl Rotor {
    /// Plans what the schedule says, until the end of the process.
    pub(super) async fn keep_schedule(self: &Arc<Self>, shutdown: &CancellationToken) {
        let Some(interval) = self.config.interval else { return };
        let mut ticks = ticks((interval / 10).clamp(LOOK, RETRY));
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.schedule().await {
                tracing::warn!(reason = error_chain(&error), "keys are not rotated");
            }
        }
    }

    /// Plans the rotation of every key that has become too old.
    pub(super) async fn schedule(self: &Arc<Self>) -> Result<(), StoreError> {
        let Some(interval) = self.config.interval else { return Ok(()) };
        let any = self.with_store(move |store, vault| {
            let rotations = store.rotations()?;
            let due = |c: &CredentialRecord| is_due(vault, c, &rotations, interval, unix_now());
            Ok(store.credentials()?.iter().any(due))
        });
        if !any.await? {
            return Ok(());
        }
        self.edit(move |edit, vault| {
            let rotations = edit.every_rotation()?;
            for credential in edit.every_credential()? {
                if !is_due(vault, &credential, &rotations, interval, unix_now()) {
                    continue;
                }
                match edit.plan_rotation(vault, &credential.name, Way::Add, &Facts::default()) {
                    Ok(_) | Err(StoreError::Rotation(RotationRefusal::UnderWay(_))) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
        .await
    }
}

/// Whether the key of a credential is too old, and was not tried to be rotated a short while ago. One that
/// does not open is not: nobody here could rotate it.
pub(super) fn is_due(
    vault: &Vault<'_>,
    credential: &CredentialRecord,
    rotations: &[RotationRecord],
    interval: Duration,
    now: i64,
) -> bool {
    let own = || rotations.iter().filter(|rotation| rotation.credential == credential.row);
    let older = |time: i64, age: Duration| {
        now.saturating_sub(time) >= i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
    };
    let done = own().filter(|rotation| rotation.course.step == Step::Done);
    let since = done.filter_map(|rotation| rotation.ended).max().unwrap_or(credential.created);
    credential.kind == SecretKind::Key
        && older(since, interval)
        && own().all(|tried| tried.ended.is_some_and(|end| older(end, interval.min(RETRY))))
        && vault.open(credential).is_ok()
}
