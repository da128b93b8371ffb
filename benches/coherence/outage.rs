//! What must hold while the panel is away, and once it is back.
//!
//! 1. A read that was answered from memory is answered so until the panel is back, up to the cap.
//! 2. Past its lifetime it says so, and nothing is shown past the cap.
//! 3. A write is refused as one that was never sent, and spoils no read: rule 1 holds after it, too.
//! 4. From [`BACK`] after the return nothing says that it is shown for want of anything better.
//!
//! The time from the cut until [`SETTLING`] later is not judged: requests are under way then, and
//! what is unsettled is shown for a moment more.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, OnceLock},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    client::Reply,
    findings::Findings,
    gate::Gate,
    house::Lifetimes,
    tally::{Answered, Read},
    truth::GRACE,
};

/// An outage: planned, under way, or over.
pub(crate) struct Outage {
    lifetimes: Lifetimes,
    cut: OnceLock<Instant>,
    back: OnceLock<Instant>,
    state: Mutex<State>,
}

/// When the panel goes away, counted from the beginning of the load, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    /// When.
    pub(crate) after: Duration,
    /// For how long.
    pub(crate) length: Duration,
}

/// A read as it was asked for.
pub(crate) struct Asked<'a> {
    /// What kind it is of.
    pub(crate) read: Read,
    /// By whom.
    pub(crate) tenant: &'a str,
    /// For what.
    pub(crate) target: &'a str,
    /// For which machine; none for all of them.
    pub(crate) machine: Option<u64>,
    /// Nobody has ever written to the machine.
    pub(crate) untouched: bool,
    /// When.
    pub(crate) begun: Instant,
}

/// Where the time of a request lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Before,
    /// In part after the cut, or too soon after it.
    Falling,
    Down,
    /// In part after the return, or soon after it.
    Rising,
    After,
}

#[derive(Default)]
struct State {
    /// By tenant and target.
    reads: HashMap<(String, String), Known>,
    /// Of which tenant which machines, or what that makes no difference of, a write was refused.
    refused: HashMap<(String, Option<u64>), Instant>,
    findings: Findings,
}

/// What is known of a read.
#[derive(Default)]
struct Known {
    /// When the last one before the cut began that has left it in memory.
    kept: Option<Instant>,
    /// It was asked for while the panel was away.
    asked: bool,
    answered: Option<Answer>,
}

/// A read was answered while the panel was away.
#[derive(Clone, Copy)]
struct Answer {
    /// When that was first seen.
    by: Instant,
    /// Until when it must be.
    until: Instant,
}

/// How long after the cut a request may still be one from before.
pub(crate) const SETTLING: Duration = Duration::from_secs(2);

/// How long after the return it may take until it is as before.
pub(crate) const BACK: Duration = Duration::from_secs(1);

/// Reads this short before the cut say what is in memory then.
const RECENT: Duration = Duration::from_secs(2);

/// An age is in whole seconds, and counted from when the panel was asked.
const ROUNDING: u64 = 2;

impl Outage {
    /// One that has not begun.
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        let (cut, back, state) = Default::default();
        Self { lifetimes, cut, back, state }
    }

    /// Lets the panel go away, and come back.
    pub(crate) async fn happen(&self, gate: &Gate, span: Span) {
        sleep(span.after).await;
        self.cut.get_or_init(Instant::now);
        gate.close();
        sleep(span.length).await;
        self.back.get_or_init(Instant::now);
        gate.open();
    }

    /// Judges a read; whether the outage excuses that it was refused.
    pub(crate) fn read(&self, asked: &Asked<'_>, reply: &Reply) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let refused = !reply.refusal.is_empty();
        match self.phase(asked.begun, now) {
            Phase::Before => {
                let kept = (reply.is_kept() && reply.staleness().is_none()).then_some(asked.begun);
                state.known(asked).kept = kept;
                false
            }
            Phase::Down => {
                self.judge(&mut state, asked, reply, now);
                refused
            }
            Phase::Falling | Phase::Rising => {
                state.findings.turning += usize::from(refused);
                self.look_back(&mut state, reply, now);
                refused
            }
            Phase::After => {
                if reply.staleness().is_some() {
                    let fault = format!("{asked} says that it is stale: {}", reply.cache);
                    state.findings.fault(&fault);
                }
                self.look_back(&mut state, reply, now);
                false
            }
        }
    }

    /// From when on what the panel did on its own cannot have been seen through the gateway: a little
    /// before it went away.
    pub(crate) fn unseen_since(&self) -> Option<Instant> {
        self.cut.get().map(|cut| *cut - GRACE)
    }

    /// Judges a write; whether the outage excuses what became of it.
    pub(crate) fn write(
        &self,
        tenant: &str,
        machine: Option<u64>,
        begun: Instant,
        reply: &Reply,
    ) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let refused = !reply.refusal.is_empty();
        match self.phase(begun, now) {
            Phase::Before | Phase::After => false,
            Phase::Falling | Phase::Rising => {
                state.findings.in_doubt += usize::from(refused && !reply.is_unsent());
                refused
            }
            Phase::Down => {
                if !reply.is_unsent() {
                    let (status, why) = (reply.status, &reply.refusal);
                    let fault = format!("a write of {tenant} was answered {status} {why}");
                    state.findings.fault(&fault);
                    return refused;
                }
                state.findings.writes += 1;
                state.findings.tried_writes += usize::from(reply.status != 503);
                for aim in [machine, None] {
                    state.refused.entry((tenant.to_owned(), aim)).or_insert(now);
                }
                true
            }
        }
    }

    /// What was found; none before it is over.
    pub(crate) fn findings(&self, gate: &Gate) -> Option<Findings> {
        let (cut, back) = (*self.cut.get()?, *self.back.get()?);
        let mut findings = self.state().findings.clone();
        let knocks = gate.knocks();
        let since = knocks.iter().map(|knock| knock.saturating_duration_since(cut));
        findings.knocked(&since.collect::<Vec<_>>(), back.duration_since(cut));
        Some(findings)
    }

    fn phase(&self, begun: Instant, ended: Instant) -> Phase {
        let Some(cut) = self.cut.get().filter(|cut| **cut <= ended) else { return Phase::Before };
        if let Some(back) = self.back.get().filter(|back| **back <= ended) {
            return if begun >= *back + BACK { Phase::After } else { Phase::Rising };
        }
        if begun >= *cut + SETTLING { Phase::Down } else { Phase::Falling }
    }

    fn judge(&self, state: &mut State, asked: &Asked<'_>, reply: &Reply, now: Instant) {
        let aim = (asked.tenant.to_owned(), asked.machine);
        let after_refused = state.refused.get(&aim).is_some_and(|at| *at <= asked.begun);
        let recent = self.cut.get().map(|cut| *cut - RECENT);
        let known = state.known(asked);
        let first = !std::mem::replace(&mut known.asked, true);
        let expected = first && asked.untouched && known.kept.is_some_and(|at| Some(at) >= recent);
        let answered = known.answered;
        if reply.is_hit() {
            let left =
                self.lifetimes.stale.as_secs().saturating_sub(reply.staleness().unwrap_or(0));
            let until = now + Duration::from_secs(left.saturating_sub(1));
            known.answered = Some(Answer { by: answered.map_or(now, |answer| answer.by), until });
        }
        let findings = &mut state.findings;
        findings.of(asked.read).count(reply);
        findings.expected.all += usize::from(expected);
        findings.expected.hits += usize::from(expected && reply.is_hit());
        if reply.is_hit() {
            findings.after_refused += usize::from(after_refused);
            self.judge_age(findings, asked, reply);
        } else if !reply.is_unsent() {
            let (status, cache) = (reply.status, &reply.cache);
            findings.fault(&format!("{asked} was answered {status} {} ({cache})", reply.refusal));
        } else if answered.is_some_and(|a| a.by <= asked.begun && now < a.until) {
            findings.fault(&format!("{asked} was refused, and had been answered before"));
        }
    }

    fn judge_age(&self, findings: &mut Findings, asked: &Asked<'_>, reply: &Reply) {
        let Lifetimes { fresh, stale } = self.lifetimes;
        let age = reply.age.unwrap_or(u64::MAX);
        match reply.staleness() {
            Some(seconds) => {
                findings.oldest = findings.oldest.max(seconds);
                if seconds > stale.as_secs() {
                    findings.fault(&format!("{asked} was shown past the cap: {}", reply.cache));
                }
            }
            None if age > fresh.as_secs() + ROUNDING => {
                findings.fault(&format!("{asked} does not say that it is stale, {age} s old"));
            }
            None => {}
        }
    }

    /// Notes what was seen after the return.
    fn look_back(&self, state: &mut State, reply: &Reply, now: Instant) {
        let Some(since) = self.back.get().and_then(|back| now.checked_duration_since(*back)) else {
            return;
        };
        let findings = &mut state.findings;
        if reply.staleness().is_some() {
            findings.last_marked = Some(since);
        } else if reply.is_unsent() {
            findings.last_refused = Some(since);
        } else if !reply.is_hit() && findings.first_fetch.is_none() {
            findings.first_fetch = Some(since);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic before")
    }
}

impl State {
    fn known(&mut self, asked: &Asked<'_>) -> &mut Known {
        self.reads.entry((asked.tenant.to_owned(), asked.target.to_owned())).or_default()
    }
}

impl std::fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.target, self.tenant)
    }
}

impl Answered {
    /// Whether so many in a hundred of all are hits.
    pub(crate) fn has(&self, percent: usize) -> bool {
        self.hits * 100 >= self.all * percent
    }
}
