//! What is written down of the use of tokens, now and then, and never on the request path.
//!
//! A process counts for itself and adds what is new to what all processes have counted; then it goes
//! on from the sum. So quotas of a month and caps hold across restarts, and for several processes on one
//! store up to what they count between two writes.

mod acts;

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    snapshot::{Grant, Snapshot},
    store::{Store, StoreError, Use, Used},
};
use crate::policy::{allowance::Inherited, month::Month};

/// What a process has written down so far.
#[derive(Debug, Default)]
pub(super) struct Written {
    by_token: Mutex<HashMap<String, Mark>>,
    /// Whether it was said that a clock is wrong, for each of what is written.
    warned: [AtomicBool; 2],
}

/// What a process knows to be written of a token, by itself and by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    last_used: i64,
    month: Month,
    reads: u64,
    writes: u64,
}

/// The most tokens that are written in one transaction, so that no edit waits for long.
const AT_ONCE: usize = 500;

impl Written {
    /// Writes down at a Unix time what is new, and hears what others have written.
    pub(super) fn write(
        &self,
        snapshot: &Snapshot,
        store: &mut Store,
        now: i64,
    ) -> Result<(), StoreError> {
        // Most of many tokens are idle, and to look each up costs a server a tenth of a second.
        let in_use = snapshot.grants().filter(|grant| !grant.allowance.is_idle());
        let grants: HashMap<&str, &Grant> =
            in_use.map(|grant| (&*grant.token_id, &**grant)).collect();
        self.write_requests(&grants, store, now)?;
        acts::write(&grants, store, now.saturating_mul(1000), &self.warned[1])
    }

    /// When tokens were used last, and what counts in their months.
    fn write_requests(
        &self,
        grants: &HashMap<&str, &Grant>,
        store: &mut Store,
        now: i64,
    ) -> Result<(), StoreError> {
        // Clocks may differ about when a month begins, and not by more than one.
        let latest = Month::of(Month::of(now).end());
        let mut marks = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        inherit(&mut marks, grants);
        marks.retain(|token, _| grants.contains_key(&**token));
        let counted = grants.iter().map(|(token, grant)| (*token, Mark::of(grant)));
        let is_new = |(token, now): &(&str, Mark)| {
            marks.get(*token).copied().unwrap_or_default().is_before(now)
        };
        let mut new: Vec<(&str, Mark)> = counted.filter(is_new).collect();
        // All take the rows in one order: otherwise two would wait for each other.
        new.sort_unstable_by_key(|(token, _)| *token);
        for some in new.chunks(AT_ONCE) {
            let uses: Vec<Use> = some
                .iter()
                .map(|(token, now)| {
                    now.since(marks.get(*token).copied().unwrap_or_default(), token)
                })
                .collect();
            let added = store.add_uses(&uses, latest);
            // What may be written is not written again: rather a request too few than one too many.
            if let Ok(()) | Err(StoreError::Unsettled(_)) = added {
                marks.extend(some.iter().map(|(token, now)| ((*token).to_owned(), *now)));
            }
            added?;
        }
        if grants.values().any(|grant| grant.allowance.policies().monthly().is_some()) {
            let mut beyond = 0_usize;
            for (token, total) in store.counted()? {
                let month = total.month()?;
                if month > latest {
                    beyond += 1;
                } else if let Some(grant) = grants.get(&*token) {
                    marks.entry(token).or_default().go_on_from(month, &total, grant);
                }
            }
            if beyond > 0 && !self.warned[0].swap(true, Relaxed) {
                tracing::warn!(
                    tokens = beyond,
                    "the use of tokens was written down for a month that is far ahead, and is passed \
                     over; a clock is wrong, this server's or another's"
                );
            }
        }
        Ok(())
    }
}

/// What was written of a token is written of the one that has taken its place since: the store has copied
/// it. What the one had used and was not written yet is to be written of the other, too.
fn inherit(marks: &mut HashMap<String, Mark>, grants: &HashMap<&str, &Grant>) {
    let is_new = |(token, _): &(&&str, &&Grant)| !marks.contains_key(**token);
    let new = grants.iter().filter(is_new);
    let inherited: Vec<(String, Mark)> = new
        .filter_map(|(token, grant)| {
            let had = grant.allowance.inherited()?;
            // One after the other may have taken its place since anything was written.
            let mut from = &*had.from;
            while let (None, Some(one)) = (marks.get(from), grants.get(from)) {
                let Some(earlier) = one.allowance.inherited() else { break };
                from = &earlier.from;
            }
            let written = marks.get(from)?.at_most(had);
            Some(((*token).to_owned(), written))
        })
        .collect();
    marks.extend(inherited);
}

impl Mark {
    fn of(grant: &Grant) -> Self {
        let (month, reads, writes) = grant.allowance.usage().snapshot();
        Self { last_used: grant.allowance.last_used(), month, reads, writes }
    }

    /// As much of it as a token had used when another took its place.
    fn at_most(self, had: &Inherited) -> Self {
        let (month, last_used) = (self.month.min(had.month), 0);
        let same = self.month == had.month;
        let (reads, writes) =
            if same { (self.reads.min(had.reads), self.writes.min(had.writes)) } else { (0, 0) };
        Self { last_used, month, reads, writes }
    }

    fn is_before(&self, now: &Self) -> bool {
        self.last_used < now.last_used || self.counts() < now.counts()
    }

    fn counts(&self) -> (Month, u64) {
        (self.month, self.reads.saturating_add(self.writes))
    }

    /// What there is to add to what is written.
    fn since(&self, written: Self, token: &str) -> Use {
        let same = written.month == self.month;
        let (reads, writes) = if same { (written.reads, written.writes) } else { (0, 0) };
        let more =
            |now: u64, then: u64| i64::try_from(now.saturating_sub(then)).unwrap_or(i64::MAX);
        Use {
            token: token.to_owned(),
            last_used: self.last_used,
            month: self.month,
            reads: more(self.reads, reads),
            writes: more(self.writes, writes),
        }
    }

    /// Counts what others have written, too.
    fn go_on_from(&mut self, month: Month, total: &Used, grant: &Grant) {
        if month < self.month {
            return;
        }
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        let (reads, writes) = (count(total.reads), count(total.writes));
        let known = if month == self.month { (self.reads, self.writes) } else { (0, 0) };
        let others = (reads.saturating_sub(known.0), writes.saturating_sub(known.1));
        grant.allowance.usage().add(month, others.0, others.1);
        *self = Self { month, reads, writes, ..*self };
    }
}

#[cfg(test)]
mod tests;
