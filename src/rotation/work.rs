//! One rotation, step by step: what the course wants is done, and what came of it is written down.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Config, Panel, Rotor, acts::probed, lease_of, millis, now_in_millis, until};
use crate::{
    error_chain::error_chain,
    metrics::rotations::Rotated,
    tenants::{
        course::{Act, Course, Note, Outcome, Pause, Step},
        record::{Noun, RotationRecord, SecretKind},
        secret::{SealedSecret, UpstreamSecret, Vault},
        store::{
            StoreError,
            rotations::{Entry, RotationRefusal},
        },
    },
};

/// What came of working on a rotation.
#[derive(Debug)]
pub enum Worked {
    /// It has ended.
    Ended,
    /// There is nothing to do before this Unix time in milliseconds.
    Later(i64),
    /// Somebody else works on it, or it waits for its turn.
    Elsewhere,
}

/// What an act came to.
pub(super) type Came = Outcome<Arc<UpstreamSecret>>;

/// A rotation whose keys have been opened.
#[derive(Debug)]
pub(super) struct Opened {
    record: RotationRecord,
    old: UpstreamSecret,
    course: Course<Arc<UpstreamSecret>>,
}

/// A rotation that this process works on.
pub(super) struct Task {
    pub(super) record: RotationRecord,
    /// By which this work's lease is known.
    holder: String,
    pub(super) panel: Panel,
    /// What the credential had when it began.
    pub(super) old: UpstreamSecret,
    pub(super) stage: Stage,
    /// When the lease was renewed last.
    pub(super) renewed: Instant,
}

/// Where it is, and when there is something to do.
pub(super) struct Stage {
    pub(super) course: Course<Arc<UpstreamSecret>>,
    due: i64,
    pub(super) since: i64,
}

/// The shortest time after which the panel is asked again.
const SOON: Duration = Duration::from_millis(250);

/// How long it is tried to write down a step that others could take from the journal as it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long after what could not be written down it is tried again.
pub(super) const BETWEEN_WRITES: Duration = Duration::from_millis(500);

/// It doubles so often at most.
const DOUBLINGS: u32 = 8;

impl Rotor {
    /// Takes the steps of a rotation that can be taken now, and tells each.
    pub async fn work(
        self: &Arc<Self>,
        row: i64,
        progress: impl FnMut(Step) + Send,
    ) -> Result<Worked, StoreError> {
        self.work_until(&CancellationToken::new(), row, progress).await
    }

    /// The same until it is to stop. A step is written down before it is taken, so what it asks may be left
    /// unanswered; but a key that is on its way is waited for, and written down.
    pub(super) async fn work_until(
        self: &Arc<Self>,
        stop: &CancellationToken,
        row: i64,
        mut progress: impl FnMut(Step) + Send,
    ) -> Result<Worked, StoreError> {
        let holder = self.new_holder();
        let lease = self.lease(&holder);
        let claimed = self.with_store(move |store, vault| {
            let opened = |record| Opened::new(vault, record);
            store.claim_rotation(row, lease_of(&lease), now_in_millis(), opened)
        });
        let Some(opened) = claimed.await? else {
            let ended = self.look(row).await?.is_none_or(|rotation| rotation.ended.is_some());
            return Ok(if ended { Worked::Ended } else { Worked::Elsewhere });
        };
        let mut task = self.take_up(opened, holder);
        while let Some(act) = task.stage.course.act() {
            let wait = until(task.stage.due);
            let long = wait > self.config.lease / 2 || task.stage.waits_for_the_panel();
            if (long && !wait.is_zero()) || stop.is_cancelled() {
                self.release(&task).await?;
                return Ok(Worked::Later(task.stage.due));
            }
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                continue;
            }
            let step = task.stage.course.step;
            let Some(kept) = self.step(&mut task, act, stop).await? else { continue };
            if !kept {
                tracing::warn!(
                    credential = task.record.name,
                    "another process took a rotation over"
                );
                return Ok(Worked::Elsewhere);
            }
            if task.stage.course.step != step {
                progress(task.stage.course.step);
            }
        }
        self.conclude(&task);
        Ok(Worked::Ended)
    }

    fn take_up(&self, opened: Opened, holder: String) -> Task {
        let Opened { record, old, course } = opened;
        let panel = self.panels.get(&record.upstream).cloned();
        let Some(panel) = panel else {
            unreachable!("the vault knows the upstreams that there are")
        };
        let stage = Stage { course, due: record.due, since: record.since };
        Task { record, holder, panel, old, stage, renewed: Instant::now() }
    }

    /// Takes a step, and writes it down; says whether the lease was still ours, and nothing if the step was
    /// left.
    async fn step(
        self: &Arc<Self>,
        task: &mut Task,
        act: Act,
        stop: &CancellationToken,
    ) -> Result<Option<bool>, StoreError> {
        if act == Act::Switch {
            return self.switch(task).await.map(Some);
        }
        let Some(outcome) = self.perform(task, act, stop).await? else { return Ok(None) };
        let before = task.stage.course.clone();
        task.stage = task.stage.after(outcome, &self.config);
        let Stage { course, .. } = &task.stage;
        if before.holds() && !course.holds() && course.step == before.step {
            tracing::error!(
                credential = task.record.name,
                "the panel has not answered for too long since it was to replace a key: requests are not \
                 held back any more; give the credential another secret, or wait for the panel"
            );
        }
        self.write(task).await.map(Some)
    }

    async fn release(self: &Arc<Self>, task: &Task) -> Result<(), StoreError> {
        let (row, holder) = (task.record.row, task.holder.clone());
        self.edit(move |edit, _| edit.release_rotation(row, &holder)).await
    }

    /// Writes the step down; says whether the lease was still ours. What has just been made is nowhere
    /// else, so a store that is away for a moment is waited for.
    async fn write(self: &Arc<Self>, task: &mut Task) -> Result<bool, StoreError> {
        let is_new = task.stage.course.step == Step::Minted;
        let patience = if is_new { self.config.store_patience } else { PATIENCE };
        let begun = Instant::now();
        loop {
            let (lease, row) = (self.lease(&task.holder), task.record.row);
            let (course, due, since) = task.stage.written();
            task.renewed = Instant::now();
            let written = self.edit(move |edit, vault| {
                let entry = Entry { row, course: &course, due, since };
                edit.advance_rotation(vault, &entry, lease_of(&lease))
            });
            match written.await {
                Err(error) if begun.elapsed() < patience => {
                    tracing::warn!(
                        reason = error_chain(&error),
                        "a rotation is not written down yet"
                    );
                    tokio::time::sleep(BETWEEN_WRITES).await;
                }
                written => return written,
            }
        }
    }

    /// Gives the credential its new key, and writes that down, in one transaction; says whether the lease
    /// was still ours.
    async fn switch(self: &Arc<Self>, task: &mut Task) -> Result<bool, StoreError> {
        let Some(new) = task.stage.course.new.clone() else {
            task.stage = task.stage.after(Outcome::NoAnswer, &self.config);
            return self.write(task).await;
        };
        let switched = task.stage.after(Outcome::Switched, &self.config);
        let overtaken = task.stage.after(Outcome::Overtaken, &self.config);
        let entries = [switched.written(), overtaken.written()];
        let (lease, record) = (self.lease(&task.holder), task.record.clone());
        task.renewed = Instant::now();
        let edited = self.edit(move |edit, vault| {
            let done = edit.switch_key(vault, &record, &new)?.is_some();
            let (course, due, since) = &entries[usize::from(!done)];
            let entry = Entry { row: record.row, course, due: *due, since: *since };
            if edit.advance_rotation(vault, &entry, lease_of(&lease))? {
                return Ok(done);
            }
            // Whoever took it over decides: with the error the switch is undone.
            Err(RotationRefusal::LeaseLost.into())
        });
        match edited.await {
            Ok(done) => task.stage = if done { switched } else { overtaken },
            Err(StoreError::Rotation(RotationRefusal::LeaseLost)) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn conclude(&self, task: &Task) {
        let credential = &task.record.name;
        let note = task.stage.course.note.map(Note::meaning);
        let outcome = match task.stage.course.step {
            Step::Done => {
                tracing::info!(credential, note, "a key was rotated");
                Rotated::Done
            }
            Step::Lost => {
                tracing::error!(credential, note, "a key was lost while it was rotated");
                Rotated::Lost
            }
            _ => {
                tracing::warn!(credential, note, "a key was not rotated");
                Rotated::Undone
            }
        };
        self.metrics.rotations.ended.of(outcome).inc();
    }

    /// Does what the course wants of the panel, and keeps the lease meanwhile; none if it was left.
    async fn perform(
        self: &Arc<Self>,
        task: &Task,
        act: Act,
        stop: &CancellationToken,
    ) -> Result<Option<Came>, StoreError> {
        let doing = async {
            Ok(match act {
                Act::Wait | Act::Switch => self.waited(task).await?,
                Act::Survey => self.survey(task).await?,
                Act::Mint => self.mint(task, self.config.lease / 2).await?,
                Act::Look => self.find(task).await?,
                Act::Probe => match &task.stage.course.new {
                    Some(new) => probed(task.panel.profile(&new.authorization()).await),
                    None => Outcome::NoAnswer,
                },
                Act::RemoveOld => self.remove_old(task).await?,
                Act::RemoveNew => self.remove_new(task).await?,
            })
        };
        let left = async {
            // A key that comes is nowhere else.
            if act == Act::Mint {
                std::future::pending::<()>().await;
            }
            stop.cancelled().await;
        };
        tokio::select! {
            outcome = doing => outcome.map(Some),
            // Of a request for a key nobody knows then what came of it, which the course understands.
            () = self.keep_lease(task) => Ok(Some(Outcome::NoAnswer)),
            () = left => Ok(None),
        }
    }

    /// Ends when the lease is somebody else's.
    async fn keep_lease(self: &Arc<Self>, task: &Task) {
        loop {
            tokio::time::sleep(self.config.lease / 3).await;
            let (row, lease) = (task.record.row, self.lease(&task.holder));
            let renewed =
                self.with_store(move |store, _| store.renew_rotation(row, lease_of(&lease)));
            // A store that is away may be back before the lease is over.
            if matches!(renewed.await, Ok(false)) {
                return;
            }
        }
    }

    /// What the credential has now; none if that was set for where the upstream is since, in whose name
    /// nobody here can ask for anything. Another master key may be read in a moment.
    pub(super) async fn stored(
        self: &Arc<Self>,
        task: &Task,
    ) -> Result<Option<UpstreamSecret>, StoreError> {
        let row = task.record.credential;
        self.with_store(move |store, vault| {
            let all = store.credentials()?;
            let own = all.iter().find(|credential| credential.row == row);
            let own = own.ok_or_else(|| missing(row))?;
            let key = vault.key_of(own);
            let key = key.map_err(|why| StoreError::Vault { name: own.name.clone(), why })?;
            Ok(vault.open_with(&key, own).ok())
        })
        .await
    }
}

impl Opened {
    pub(super) fn new(vault: &Vault<'_>, record: RotationRecord) -> Result<Self, StoreError> {
        let open = |sealed: &SealedSecret| {
            let RotationRecord { credential, upstream, .. } = &record;
            let opened = vault.open_sealed(*credential, upstream, SecretKind::Key, sealed);
            opened.map_err(|why| StoreError::Vault { name: record.name.clone(), why })
        };
        let old = open(&record.old)?;
        let new = record.course.new.as_ref().map(&open).transpose()?;
        let course = record.course.with(new.map(Arc::new)).resumed();
        Ok(Self { record, old, course })
    }
}

impl Task {
    /// A new key of the same user; none for what cannot be sent.
    pub(super) fn secret(&self, key: &str) -> Option<Arc<UpstreamSecret>> {
        UpstreamSecret::new(SecretKind::Key, self.old.pair().0, key).ok().map(Arc::new)
    }
}

impl Stage {
    /// What came of the step, and when there is something to do again.
    fn after(&self, outcome: Came, config: &Config) -> Self {
        let course = self.course.clone().after(outcome);
        let now = now_in_millis();
        let since = if course.step == self.course.step { self.since } else { now };
        let pause = match course.pause() {
            Pause::Notice => config.notice,
            Pause::Drain => config.drain,
            Pause::None => {
                let vain = |of: fn(&Course<_>) -> u32| {
                    let times = of(&course);
                    (times > of(&self.course)).then(|| SOON * 2_u32.pow(times.min(DOUBLINGS)))
                };
                let longest = vain(|course| course.tries).max(vain(|course| course.facts.refusals));
                longest.unwrap_or_default()
            }
        };
        Self { course, due: now.saturating_add(millis(pause)), since }
    }

    /// Whether it was asked in vain: whoever waits until the panel has come to itself keeps nobody from
    /// working on what else there is.
    fn waits_for_the_panel(&self) -> bool {
        self.course.tries > 0 || self.course.facts.refusals > 0
    }

    fn written(&self) -> (Course<Arc<UpstreamSecret>>, i64, i64) {
        (self.course.clone(), self.due, self.since)
    }
}

/// A credential that is not there is not removed while its key is rotated, so that this is somebody
/// else's hand.
fn missing(row: i64) -> StoreError {
    StoreError::Missing { noun: Noun::Credential, name: row.to_string() }
}
