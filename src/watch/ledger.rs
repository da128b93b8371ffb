//! What is unsettled, and what the panel's transactions say of it: the decisions, without a clock,
//! a socket or a task.
//!
//! 1. Whatever is new or other than before in the list of transactions has changed what it is about.
//! 2. What is held settles when the transactions that are about it have ended, and after a look that
//!    began when the write had ended: after it has seen one of them end, or after two looks in which
//!    there was none. Whoever applies this touches first and settles then.
//! 3. An outcome that nobody knows settles so, too, but not before its window has passed: what was
//!    not acknowledged need not have a transaction.
//! 4. Every wait has an end. One that is reached without having settled is overdue, and says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
};

use crate::transcode::transactions::{Subject, Transaction};

/// What is held, and what was last seen of the transactions.
#[derive(Debug)]
pub(super) struct Ledger<K, G> {
    waits: Vec<Wait<K, G>>,
    /// The greatest number that was seen; none before the first look.
    seen: Option<u64>,
    /// What the last look has shown.
    last: BTreeSet<u64>,
    /// Those that had not ended when they were last seen.
    open: BTreeMap<u64, Transaction>,
    terms: Terms,
}

/// How long it is waited, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// For an outcome that nobody knows, at least; and for all where nobody can look, at most.
    pub(super) window: u64,
    /// For the end of a transaction, at most.
    pub(super) cap: u64,
}

/// Something that is to be held until it has settled.
#[derive(Debug)]
pub(super) struct Entry<K, G> {
    /// What is held; the same is held once.
    pub(super) key: K,
    /// Ends the hold when it is dropped.
    pub(super) guard: G,
    /// What transactions call it; none when only the write's time is known.
    pub(super) subject: Option<Subject>,
    /// Nobody knows whether it was done.
    pub(super) unknown: bool,
}

/// What one look has shown.
#[derive(Debug)]
pub(super) struct Seen<G> {
    /// Transactions that have begun, ended or changed; what they are about is to be touched first.
    pub(super) changed: Vec<Transaction>,
    /// There were more new ones than could be seen: all is to be touched.
    pub(super) gap: bool,
    /// What has settled; to be dropped after that.
    pub(super) settled: Vec<G>,
}

#[derive(Debug)]
struct Wait<K, G> {
    entry: Entry<K, G>,
    /// When the write had ended.
    since: u64,
    until: u64,
    /// The greatest number that had been seen by then.
    baseline: Option<u64>,
    /// The transactions that it waits for.
    following: BTreeSet<u64>,
    /// One of them has been seen, if only at its end.
    met: bool,
    /// The newest of them.
    latest: Option<u64>,
    /// One of them went out of sight before it ended: only the cap ends this.
    lost: bool,
    looks: u32,
    quiet: u32,
}

/// So many looks without any transaction mean that there will be none.
const QUIET_LOOKS: u32 = 2;

impl<K: Eq + Hash, G> Ledger<K, G> {
    pub(super) fn new(terms: Terms) -> Self {
        let (last, open) = (BTreeSet::new(), BTreeMap::new());
        Self { waits: Vec::new(), seen: None, last, open, terms }
    }

    /// Whether nothing is held.
    pub(super) fn is_idle(&self) -> bool {
        self.waits.is_empty()
    }

    /// How much is held.
    pub(super) fn len(&self) -> usize {
        self.waits.len()
    }

    /// Whether the same is held.
    pub(super) fn holds(&self, key: &K) -> bool {
        self.waits.iter().any(|wait| wait.entry.key == *key)
    }

    /// Holds something from now on. What is held already is held anew, and its second guard comes
    /// back, to be dropped outside of any lock.
    pub(super) fn add(&mut self, now: u64, entry: Entry<K, G>) -> Option<G> {
        let until = now.saturating_add(self.terms.cap);
        let baseline = self.seen;
        let same = self.waits.iter_mut().find(|wait| wait.entry.key == entry.key);
        if let Some(wait) = same {
            wait.since = now;
            wait.until = until;
            wait.baseline = baseline;
            (wait.met, wait.lost, wait.looks, wait.quiet) = (false, false, 0, 0);
            wait.following.retain(|id| self.open.contains_key(id));
            wait.entry.unknown |= entry.unknown;
            return Some(entry.guard);
        }
        self.waits.push(Wait {
            entry,
            since: now,
            until,
            baseline,
            following: BTreeSet::new(),
            met: false,
            latest: None,
            lost: false,
            looks: 0,
            quiet: 0,
        });
        None
    }

    /// Down to which number the next look has to go, to miss nothing.
    pub(super) fn from(&self) -> Option<u64> {
        let first_open = self.open.keys().next().copied();
        match (self.seen, first_open) {
            (Some(seen), Some(open)) => Some(open.min(seen.saturating_add(1))),
            (Some(seen), None) => Some(seen.saturating_add(1)),
            (None, _) => None,
        }
    }

    /// Takes in what a look has shown that began at this time; `whole` if it went as far down as
    /// [`Ledger::from`] asked.
    ///
    /// Of what has settled, `name` is told the transaction that it waited for, if there was one.
    pub(super) fn look_and_name(
        &mut self,
        now: u64,
        begun: u64,
        rows: &[Transaction],
        whole: bool,
        name: impl Fn(&mut G, u64),
    ) -> Seen<G> {
        let changed = self.take_in(rows, whole);
        let unknown_until = |wait: &Wait<K, G>, window| match wait.entry.unknown {
            true => wait.since.saturating_add(window),
            false => 0,
        };
        let mut settled = Vec::new();
        let mut waiting = Vec::new();
        for mut wait in std::mem::take(&mut self.waits) {
            let over = wait.since <= begun && wait.look(rows, &self.open);
            if over && unknown_until(&wait, self.terms.window) <= now {
                if let Some(transaction) = wait.latest {
                    name(&mut wait.entry.guard, transaction);
                }
                settled.push(wait.entry.guard);
            } else {
                waiting.push(wait);
            }
        }
        self.waits = waiting;
        Seen { changed, gap: !whole, settled }
    }

    /// The same, where nobody asks which transactions they were.
    #[cfg(test)]
    pub(super) fn look(
        &mut self,
        now: u64,
        begun: u64,
        rows: &[Transaction],
        whole: bool,
    ) -> Seen<G> {
        self.look_and_name(now, begun, rows, whole, |_, _| ())
    }

    /// What is due whether it has settled or not: at its cap, or while nobody can look at its window.
    pub(super) fn due(&mut self, now: u64, blind: bool) -> Vec<G> {
        let waits = std::mem::take(&mut self.waits);
        let due = |wait: &Wait<K, G>| wait.due(blind, self.terms) <= now;
        let (due, waiting): (Vec<_>, _) = waits.into_iter().partition(due);
        self.waits = waiting;
        due.into_iter().map(|wait| wait.entry.guard).collect()
    }

    /// When something is due.
    pub(super) fn next_due(&self, blind: bool) -> Option<u64> {
        self.waits.iter().map(|wait| wait.due(blind, self.terms)).min()
    }

    /// Remembers the rows; gives those that are not as they were.
    fn take_in(&mut self, rows: &[Transaction], whole: bool) -> Vec<Transaction> {
        let known = self.seen;
        let oldest = self.last.first().copied();
        let mut changed = Vec::new();
        for row in rows {
            let before = self.open.get(&row.id);
            // One that was committed late stands below the newest, and was not there before.
            let late = oldest.is_some_and(|oldest| row.id > oldest) && !self.last.contains(&row.id);
            let new = late || known.is_some_and(|known| row.id > known);
            if before.map_or(new, |before| before != row) {
                changed.push(row.clone());
            }
            if row.open {
                self.open.insert(row.id, row.clone());
            } else {
                self.open.remove(&row.id);
            }
        }
        self.last = rows.iter().map(|row| row.id).collect();
        if known.is_some() {
            let gone: Vec<_> = self.open.extract_if(.., |id, _| !self.last.contains(id)).collect();
            if whole {
                // The look went down to the first of them: what is no longer there is gone.
                changed.extend(gone.into_iter().map(|(_, row)| row));
            } else {
                self.lose(&gone.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
            }
        }
        let greatest = rows.iter().map(|row| row.id).max();
        self.seen = Some(greatest.unwrap_or(0).max(known.unwrap_or(0)));
        changed
    }

    /// What is further down than a look goes is not looked for for ever: all was just touched, and
    /// who waits for it waits until the cap.
    fn lose(&mut self, ids: &[u64]) {
        for wait in &mut self.waits {
            wait.lost |= ids.iter().any(|id| wait.following.contains(id));
        }
    }
}

impl<K, G> Wait<K, G> {
    fn due(&self, blind: bool, terms: Terms) -> u64 {
        let window = self.since.saturating_add(terms.window);
        if blind { self.until.min(window) } else { self.until }
    }

    /// Whether it is over, by a look that began after the write had ended.
    fn look(&mut self, rows: &[Transaction], open: &BTreeMap<u64, Transaction>) -> bool {
        // A list is newest first, and a transaction depends on an older one.
        self.looks += 1;
        for row in rows.iter().rev() {
            let newer = self.baseline.is_some_and(|baseline| row.id > baseline);
            let about = self.is_about(row, newer);
            if about && (row.open || newer) {
                self.met = true;
                self.latest = self.latest.max(Some(row.id));
            }
            if about && row.open {
                self.following.insert(row.id);
            }
        }
        if self.lost || self.following.iter().any(|id| open.contains_key(id)) {
            self.quiet = 0;
            return false;
        }
        self.quiet += 1;
        self.met || self.quiet >= QUIET_LOOKS
    }

    fn is_about(&self, row: &Transaction, newer: bool) -> bool {
        if row.depends_on.is_some_and(|id| self.following.contains(&id)) {
            return true;
        }
        match &self.entry.subject {
            Some(subject) => {
                row.parent.as_ref() == Some(subject) || row.associated.as_ref() == Some(subject)
            }
            // Nobody knows which it is: one that came soon after, or any that was open then. What
            // comes later is somebody else's, or the panel would never be quiet enough.
            None => self.looks <= QUIET_LOOKS && (newer || self.baseline.is_none() && row.open),
        }
    }
}

#[cfg(test)]
mod tests;
