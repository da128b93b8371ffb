//! Transactions: queued at once, ended when their time has come.
//!
//! No task runs for them. Whoever looks at the panel first ends what is due, with the moment at
//! which it was due; so nothing is ever seen late, and a paused clock settles nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::panel::{Kind, Panel, Record};
use super::rails::{Object, Value};

/// What the end of a transaction changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    Built,
    Booted(bool),
    Suspended(bool),
    DiskBuilt(u64),
    BackupBuilt(u64),
    /// The machine shows nothing new but its `updated_at`.
    Touched,
    /// Its machine is no longer there.
    Gone,
}

/// What is under way.
#[derive(Default)]
pub(crate) struct Jobs {
    /// By the moment of its end, then by its transaction.
    queue: BTreeMap<(Instant, u64), Job>,
    /// How long one takes.
    pub(crate) duration: Duration,
}

struct Job {
    machine: u64,
    effect: Effect,
}

impl Panel {
    /// Queues a transaction behind the others of its machine, and locks the machine.
    pub(crate) fn queue(
        &mut self,
        now: Instant,
        machine: u64,
        action: &'static str,
        effect: Effect,
    ) -> u64 {
        let last = self.jobs.queue.iter().rfind(|(_, job)| job.machine == machine);
        let before = last.map(|((end, transaction), _)| (*end, *transaction));
        let starts = before.map_or(now, |(end, _)| end.max(now));
        let id = self.next_id(Kind::Transaction);
        let depends_on = before.map(|(_, transaction)| transaction);
        let owner = self.get(Kind::Machine, machine).and_then(|m| m.owner).unwrap_or(0);
        let fields = self.transaction(id, machine, owner, action, depends_on, effect);
        self.insert(Kind::Transaction, Record::part(fields, owner, machine));
        self.jobs.queue.insert((starts + self.jobs.duration, id), Job { machine, effect });
        if let Some(record) = self.get_mut(Kind::Machine, machine) {
            record.fields.set("locked", true);
        }
        id
    }

    /// Ends all that is due.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some((end, transaction)) = self.jobs.queue.keys().next().copied()
            && end <= now
        {
            self.set_now(end);
            self.end(end, transaction);
        }
        self.set_now(now);
    }

    /// Ends all at once.
    pub(crate) fn settle_all(&mut self, now: Instant) {
        self.set_now(now);
        while let Some((end, transaction)) = self.jobs.queue.keys().next().copied() {
            self.end(end, transaction);
        }
    }

    fn end(&mut self, end: Instant, transaction: u64) {
        let Some(job) = self.jobs.queue.remove(&(end, transaction)) else { return };
        self.set_status(transaction, "complete");
        let next = self.jobs.queue.iter().find(|(_, other)| other.machine == job.machine);
        let next = next.map(|((_, id), _)| *id);
        if let Some(next) = next {
            self.set_status(next, "running");
        }
        self.apply(job.machine, job.effect);
        if let Some(machine) = self.get_mut(Kind::Machine, job.machine) {
            machine.fields.set("locked", next.is_some());
            self.touch(Kind::Machine, job.machine);
        }
    }

    fn apply(&mut self, machine: u64, effect: Effect) {
        if let Some(machine) = self.get_mut(Kind::Machine, machine) {
            let fields = &mut machine.fields;
            match effect {
                Effect::Built => {
                    fields.set("built", true);
                    fields.set("state", "delivered");
                }
                Effect::Booted(booted) => fields.set("booted", booted),
                Effect::Suspended(suspended) => {
                    fields.set("suspended", suspended);
                    fields.set("booted", false);
                }
                Effect::DiskBuilt(_) | Effect::BackupBuilt(_) | Effect::Touched | Effect::Gone => {}
            }
        }
        let part = match effect {
            Effect::DiskBuilt(id) => Some((Kind::Disk, id)),
            Effect::BackupBuilt(id) => Some((Kind::Backup, id)),
            _ => None,
        };
        if let Some((kind, id)) = part
            && let Some(record) = self.get_mut(kind, id)
        {
            record.fields.set("built", true);
            record.fields.set("locked", false);
            self.touch(kind, id);
        }
    }

    fn set_status(&mut self, transaction: u64, status: &'static str) {
        let now = self.now();
        if let Some(record) = self.get_mut(Kind::Transaction, transaction) {
            record.fields.set("status", status);
            if status == "running" {
                record.fields.set("started_at", Value::Time(now));
            }
            self.touch(Kind::Transaction, transaction);
        }
    }

    fn transaction(
        &mut self,
        id: u64,
        machine: u64,
        owner: u64,
        action: &'static str,
        depends_on: Option<u64>,
        effect: Effect,
    ) -> Object {
        let now = Value::Time(self.now());
        let (associated, associated_id) = match effect {
            Effect::DiskBuilt(disk) => ("Disk", disk),
            Effect::BackupBuilt(backup) => ("Backup", backup),
            _ => ("VirtualMachine", machine),
        };
        let runs = depends_on.is_none();
        Object::from([
            ("action", action.into()),
            ("actor", Value::Null),
            ("allowed_cancel", true.into()),
            ("associated_object_id", associated_id.into()),
            ("associated_object_type", associated.into()),
            ("chain_id", Value::Null),
            ("created_at", now.clone()),
            ("dependent_transaction_id", depends_on.into()),
            ("id", id.into()),
            ("identifier", self.secrets.identifier().into()),
            ("lock_version", 0_i64.into()),
            ("log_item_id", id.into()),
            ("params", Object::from([("initiator_id", owner.into())]).into()),
            ("parent_id", machine.into()),
            ("parent_type", "VirtualMachine".into()),
            ("pid", runs.then_some(20_000 + id).into()),
            ("priority", 10_i64.into()),
            ("scheduled", false.into()),
            ("start_after", Value::Null),
            ("started_at", if runs { now.clone() } else { Value::Null }),
            ("status", if runs { "running" } else { "pending" }.into()),
            ("updated_at", now),
            ("user_id", owner.into()),
        ])
    }
}
