//! Who looks at the panel's transactions, and what is held for whom, as `watch` does it.

use std::sync::Arc;

use super::{
    Mistake,
    operator::Identity,
    panel::subject,
    world::{Guard, Key, TERMS, World},
};
use crate::{
    cache::partition::Partition,
    tenants::snapshot::Credential,
    transcode::transactions::Transaction,
    watch::ledger::{Entry, Ledger},
};

/// One credential that looks, and what it looks for.
pub(super) struct Watch {
    /// None when the credential was gone before anything was held for it.
    looker: Option<(Identity, Arc<Partition>)>,
    ledger: Ledger<Key, Guard>,
    /// It may not look for now.
    refused: bool,
    look: Look,
}

#[derive(Default)]
enum Look {
    #[default]
    None,
    Begun {
        at: u64,
        /// None when it was refused.
        rows: Option<Vec<Transaction>>,
    },
    /// Only where settling comes first by mistake.
    Touching(Vec<Transaction>),
}

impl Watch {
    fn new(looker: Option<(Identity, Arc<Partition>)>) -> Self {
        Self { looker, ledger: Ledger::new(TERMS), refused: false, look: Look::None }
    }

    /// How much is held.
    pub(super) fn len(&self) -> usize {
        self.ledger.len()
    }

    /// What is due by now.
    pub(super) fn due(&mut self, now: u64) -> Vec<Guard> {
        self.ledger.due(now, self.looker.is_none() || self.refused)
    }
}

impl World {
    /// Hands over what a write left open, as the layers do.
    pub(super) fn hand_over(&mut self, partition: &Partition, guard: Guard, unknown: bool) {
        let snapshot = Arc::clone(&self.snapshot);
        let looker = snapshot.looker(partition.id());
        let id = looker.map_or(partition.id(), |looker| looker.partition.id());
        self.begin_watch(id, looker);
        let key = guard.hold.felt().key();
        let entry = Entry { key, subject: Some(subject(guard.machine)), unknown, guard };
        let watch = self.watches.get_mut(&id).expect("it was begun");
        let twice = watch.ledger.add(self.now, entry);
        drop(twice.map(|guard| guard.hold));
    }

    fn begin_watch(&mut self, id: u64, credential: Option<&Arc<Credential>>) {
        let looker = credential.map(|credential| {
            (self.office.identity(credential), Arc::clone(&credential.partition))
        });
        self.watches.entry(id).or_insert_with(|| Watch::new(looker));
    }

    /// One step of one of those who look.
    pub(super) fn look(&mut self, coin: u64) {
        // Where somebody is declared to see all, that one looks all the time.
        let snapshot = Arc::clone(&self.snapshot);
        for administrator in snapshot.administrators() {
            self.begin_watch(administrator.partition.id(), Some(administrator));
        }
        let Some(place) = coin.checked_rem(self.watches.len() as u64) else { return };
        let id = *self.watches.keys().nth(place as usize).expect("there are so many");
        let mut watch = self.watches.remove(&id).expect("it is there");
        watch.look = self.step_of(&mut watch);
        let rules = snapshot.administrators().any(|other| other.partition.id() == id);
        let forever = rules && !watch.refused;
        if matches!(watch.look, Look::None) && watch.ledger.is_idle() && !forever {
            return;
        }
        self.watches.insert(id, watch);
    }

    fn step_of(&mut self, watch: &mut Watch) -> Look {
        let Some((identity, partition)) = watch.looker.clone() else { return Look::None };
        match std::mem::take(&mut watch.look) {
            Look::None => {
                let rows = self.panel.rows(identity.login, self.now).ok();
                Look::Begun { at: self.now, rows }
            }
            Look::Begun { rows: None, .. } => {
                watch.refused = true;
                Look::None
            }
            Look::Begun { at, rows: Some(rows) } => {
                watch.refused = false;
                let seen = watch.ledger.look(self.now, at, &rows, true);
                if self.mistake == Mistake::SettleBeforeBump {
                    self.release(seen.settled);
                    return Look::Touching(seen.changed);
                }
                self.touch(&partition, seen.changed);
                self.release(seen.settled);
                Look::None
            }
            Look::Touching(changed) => {
                self.touch(&partition, changed);
                Look::None
            }
        }
    }

    /// What transactions have changed; from now on every read shows it.
    fn touch(&mut self, looker: &Arc<Partition>, changed: Vec<Transaction>) {
        for row in changed {
            let job = &self.panel.jobs[row.id as usize - 1];
            let (machine, made) = (job.machine, job.made);
            self.felt(looker, machine, false).touch();
            if let (false, Some(version)) = (row.open, made) {
                self.tell(|| format!("the end of transaction {} was seen", row.id));
                self.promise(machine, version);
            }
        }
    }
}
