//! What has happened so far, in numbers.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use crate::{client::Reply, outage::Outage};

/// Counts for all tasks.
pub(crate) struct Tally {
    /// What must hold while the panel is away, if it goes away.
    pub(crate) outage: Option<Outage>,
    counts: Mutex<Counts>,
}

/// A kind of read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// All machines.
    List,
    /// One machine.
    Item,
}

/// The numbers.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    /// Lists that were answered.
    pub(crate) lists: Answered,
    /// Items that were answered, with 404 too.
    pub(crate) items: Answered,
    /// Writes that were acknowledged.
    pub(crate) writes: usize,
    /// Requests that were refused as an outage excuses it.
    pub(crate) refused: usize,
    /// Requests that were due, and not sent because too many were under way.
    pub(crate) skipped: usize,
    /// Requests without an answer that means anything.
    pub(crate) errors: usize,
    /// Reads that showed less than was acknowledged.
    pub(crate) stale: usize,
    /// The first errors and stale reads.
    pub(crate) told: Vec<String>,
    /// How long hits took.
    pub(crate) hit_times: Vec<Duration>,
    /// How long other reads took.
    pub(crate) miss_times: Vec<Duration>,
}

/// Reads of one kind.
#[derive(Clone, Copy, Default)]
pub(crate) struct Answered {
    /// All of them.
    pub(crate) all: usize,
    /// Those from memory.
    pub(crate) hits: usize,
}

/// So many of each are told of.
pub(crate) const TOLD: usize = 5;

impl Tally {
    /// Nothing has happened.
    pub(crate) fn new(outage: Option<Outage>) -> Self {
        Self { outage, counts: Mutex::default() }
    }

    /// A read was answered.
    pub(crate) fn read(&self, read: Read, reply: &Reply) {
        let mut counts = self.lock();
        let hit = reply.is_hit();
        let answered = match read {
            Read::List => &mut counts.lists,
            Read::Item => &mut counts.items,
        };
        answered.all += 1;
        answered.hits += usize::from(hit);
        let times = if hit { &mut counts.hit_times } else { &mut counts.miss_times };
        times.push(reply.took);
    }

    /// A write was acknowledged.
    pub(crate) fn write(&self) {
        self.lock().writes += 1;
    }

    /// A request was refused, as an outage excuses it.
    pub(crate) fn refused(&self) {
        self.lock().refused += 1;
    }

    /// A request was not sent.
    pub(crate) fn skip(&self) {
        self.lock().skipped += 1;
    }

    /// A request came to nothing.
    pub(crate) fn error(&self, what: &str) {
        let mut counts = self.lock();
        counts.errors += 1;
        if counts.errors <= TOLD {
            counts.told.push(format!("error: {what}"));
        }
    }

    /// A read was stale.
    pub(crate) fn stale(&self, what: &str) {
        let mut counts = self.lock();
        counts.stale += 1;
        if counts.stale <= TOLD {
            counts.told.push(format!("stale: {what}"));
        }
    }

    /// The numbers as they are now.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no panic before")
    }
}

impl Counts {
    /// All reads that were answered.
    pub(crate) fn reads(&self) -> usize {
        self.lists.all + self.items.all
    }

    /// All requests that were sent.
    pub(crate) fn requests(&self) -> usize {
        self.reads() + self.writes + self.refused + self.errors
    }
}
