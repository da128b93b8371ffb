//! A token's policies with what they have counted: what lives on when a snapshot is built anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    Mode, PolicyName,
    cap::{Acts, Window},
    document::{PolicyDocument, Rate},
    month::Month,
    policies::{Held, Policies, PolicyError},
    usage::{Monthly, Spent, Usage},
};
use crate::limit::{Limit, Limited, Quota};

/// What one token may, and what it has used of it.
///
/// What every request looks at stands first, side by side, which the compiler would not keep: the rest is
/// long, and is looked at only where there are policies.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Allowance {
    has_policies: bool,
    used: Arc<Used>,
    policies: Policies,
    reads: Option<Held<Limit>>,
    writes: Option<Held<Limit>>,
    monthly: Option<Held<Monthly>>,
    document: PolicyDocument,
}

/// What a token has used, whatever its policies are.
#[derive(Debug, Default)]
struct Used {
    usage: Usage,
    creates: Acts,
    deletes: Acts,
    last: AtomicI64,
    inherited: Option<Inherited>,
}

/// What a token had used of a month when another took its place, which counts on from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// The public id of the token whose place was taken.
    pub from: String,
    /// The month.
    pub month: Month,
    /// Reads in it.
    pub reads: u64,
    /// Writes likewise.
    pub writes: u64,
}

/// A policy of which nothing is left for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Which one.
    pub policy: PolicyName,
    /// What comes of it.
    pub mode: Mode,
    /// When there is more.
    pub limited: Limited,
}

impl Allowance {
    /// An allowance of which nothing is used.
    pub fn new(document: PolicyDocument) -> Result<Self, PolicyError> {
        let policies = Policies::compile(&document)?;
        let limits = policies.limits();
        let limit = |name, rate: Option<Rate>| {
            let mode = limits.map(|held| held.mode).unwrap_or_default();
            rate.map(|Rate { per_second, burst }| Held {
                mode,
                rule: Limit::new(name, Quota { per_second, burst }),
            })
        };
        Ok(Self {
            reads: limit("token-reads", limits.and_then(|held| held.rule.reads)),
            writes: limit("token-writes", limits.and_then(|held| held.rule.writes)),
            monthly: policies.monthly(),
            has_policies: !policies.is_empty(),
            used: Arc::default(),
            policies,
            document,
        })
    }

    /// Other policies of the same token. What it has used in the month and in windows goes on; what is
    /// counted in seconds begins anew.
    pub fn changed(&self, document: PolicyDocument) -> Result<Self, PolicyError> {
        Ok(Self { used: Arc::clone(&self.used), ..Self::new(document)? })
    }

    /// That of the token that has taken the place of this one, whose public id is `from`: what was used in
    /// the month and in windows is used of it, too, whether that is written down yet or not.
    pub fn succeeded(&self, from: &str, document: PolicyDocument) -> Result<Self, PolicyError> {
        let (month, reads, writes) = self.usage().snapshot();
        let usage = Usage::default();
        usage.add(month, reads, writes);
        let used = Used {
            usage,
            creates: self.used.creates.copied(),
            deletes: self.used.deletes.copied(),
            last: AtomicI64::default(),
            inherited: Some(Inherited { from: from.to_owned(), month, reads, writes }),
        };
        Ok(Self { used: Arc::new(used), ..Self::new(document)? })
    }

    /// What it had used of a month already when its token took another's place in this process.
    pub fn inherited(&self) -> Option<&Inherited> {
        self.used.inherited.as_ref()
    }

    /// What it was made of.
    pub fn document(&self) -> &PolicyDocument {
        &self.document
    }

    /// Whether nothing is judged, and nothing counted.
    pub fn is_empty(&self) -> bool {
        !self.has_policies
    }

    /// Whether nothing was used, by this token or one whose place it took, and nobody asks how much.
    pub fn is_idle(&self) -> bool {
        let (_, reads, writes) = self.usage().snapshot();
        let used = (self.last_used(), reads, writes) != (0, 0, 0);
        !used && self.is_empty() && self.inherited().is_none()
    }

    /// What depends on the request alone.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The token's own limiter of reads or writes.
    pub fn limit(&self, is_write: bool) -> Option<&Held<Limit>> {
        if is_write { self.writes.as_ref() } else { self.reads.as_ref() }
    }

    /// Counts a request of the month under way; `now` is a Unix time.
    pub fn count_in_month(&self, now: i64, is_write: bool) -> Result<(), Exhausted> {
        self.in_month(now, is_write, Usage::count)
    }

    /// Whether one more could be counted.
    pub fn check_month(&self, now: i64, is_write: bool) -> Result<(), Exhausted> {
        self.in_month(now, is_write, Usage::check)
    }

    fn in_month(
        &self,
        now: i64,
        is_write: bool,
        ask: fn(&Usage, i64, bool, Option<u64>) -> Result<(), Spent>,
    ) -> Result<(), Exhausted> {
        let Some(Held { mode, rule }) = &self.monthly else { return Ok(()) };
        let policy = if is_write { PolicyName::MonthlyWrites } else { PolicyName::MonthlyReads };
        ask(&self.used.usage, now, is_write, rule.most(is_write)).map_err(|spent| {
            let seconds = u64::try_from(spent.ends.saturating_sub(now)).unwrap_or(0);
            let limited = Limited { retry_after: Duration::from_secs(seconds) };
            Exhausted { policy, mode: *mode, limited }
        })
    }

    /// Counts what is made or removed, and says how it is dated if anything counts it; times and dates
    /// are in milliseconds of Unix time.
    pub fn count_in_window(&self, policy: PolicyName, now: u64) -> Result<Option<u64>, Exhausted> {
        let Some((acts, Held { mode, rule })) = self.acts(policy) else { return Ok(None) };
        let taken = acts.take(rule, now).map_err(|full| {
            let limited = Limited { retry_after: Duration::from_millis(full.retry_after_ms) };
            Exhausted { policy, mode, limited }
        });
        taken.map(Some)
    }

    /// Takes back what was counted under a date, for a request that never was sent.
    pub fn give_back(&self, policy: PolicyName, date: u64) {
        if let Some((acts, _)) = self.acts(policy) {
            acts.give_back(date);
        }
    }

    /// What is counted in windows by a policy, and the policy; none if it is no such policy, or the
    /// token does not have it.
    pub fn acts(&self, policy: PolicyName) -> Option<(&Acts, Held<Window>)> {
        let (acts, held) = match policy {
            PolicyName::Creates => (&self.used.creates, self.policies.creates()),
            PolicyName::Deletes => (&self.used.deletes, self.policies.deletes()),
            PolicyName::Methods
            | PolicyName::Paths
            | PolicyName::Resources
            | PolicyName::Protected
            | PolicyName::Limits
            | PolicyName::MonthlyReads
            | PolicyName::MonthlyWrites => return None,
        };
        held.map(|held| (acts, held))
    }

    /// Notes that the token was used at a Unix time. Nothing is written more often than once a second,
    /// so that many requests at once share what they only read.
    pub fn touch(&self, now: i64) {
        if self.used.last.load(Relaxed) < now {
            self.used.last.store(now, Relaxed);
        }
    }

    /// When the token was used last, as a Unix time; 0 for never.
    pub fn last_used(&self) -> i64 {
        self.used.last.load(Relaxed)
    }

    /// What was counted in the month.
    pub fn usage(&self) -> &Usage {
        &self.used.usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVEMBER: i64 = 1_793_491_200;

    fn allowance(text: &str) -> Allowance {
        Allowance::new(serde_json::from_str(text).expect("a document")).expect("good policies")
    }

    #[test]
    fn what_is_idle_neither_counts_nor_has_counted() {
        let none = || allowance("{}");
        assert!(none().is_idle());
        assert!(!allowance(r#"{"monthly":{"reads":9}}"#).is_idle(), "somebody asks");
        let used = none();
        used.touch(NOVEMBER);
        assert!(!used.is_idle());
        let heard = none();
        heard.usage().add(Month::of(NOVEMBER), 0, 1);
        assert!(!heard.is_idle(), "another process has used it");
        let successor = none().succeeded("its predecessor", PolicyDocument::default());
        assert!(!successor.expect("no policies").is_idle(), "it goes on from another");
    }

    #[test]
    fn without_policies_nothing_is_counted() {
        let none = allowance("{}");
        assert!(none.is_empty() && none.limit(true).is_none());
        for _ in 0..3 {
            assert_eq!(none.count_in_month(NOVEMBER, true), Ok(()));
            assert_eq!(none.check_month(NOVEMBER, true), Ok(()));
            assert_eq!(none.count_in_window(PolicyName::Creates, 0), Ok(None));
        }
        assert_eq!(none.usage().snapshot().2, 0);
    }

    #[test]
    fn an_allowance_knows_whether_it_has_policies() {
        let document = |text: &str| serde_json::from_str(text).expect("a document");
        let (none, some) = ("{}", r#"{"monthly":{"reads":9}}"#);
        assert!(Allowance::default().is_empty());
        for (before, after) in [(none, none), (none, some), (some, none), (some, some)] {
            let first = allowance(before);
            let changed = first.changed(document(after)).expect("good policies");
            let succeeded = first.succeeded("one", document(after)).expect("good policies");
            for made in [&changed, &succeeded] {
                assert_eq!(made.is_empty(), after == none, "{before} then {after}");
                assert_eq!(made.is_empty(), made.policies().is_empty());
            }
        }
    }

    #[test]
    fn what_is_used_up_says_until_when() {
        let some = allowance(
            r#"{"creates":{"at_most":1,"window_seconds":60},
                "deletes":{"mode":"shadow","at_most":1,"window_seconds":60},
                "monthly":{"writes":1}}"#,
        );
        assert_eq!(some.count_in_window(PolicyName::Creates, 1000), Ok(Some(2000)));
        let full = some.count_in_window(PolicyName::Creates, 2000).expect_err("full");
        assert_eq!((full.mode, full.limited.retry_after), (Mode::Enforce, Duration::from_secs(60)));
        assert_eq!(some.count_in_window(PolicyName::Deletes, 1000), Ok(Some(2000)));
        let full = some.count_in_window(PolicyName::Deletes, 1000).expect_err("full");
        assert_eq!((full.policy, full.mode), (PolicyName::Deletes, Mode::Shadow));
        some.give_back(PolicyName::Creates, 2000);
        assert_eq!(some.count_in_window(PolicyName::Creates, 2000), Ok(Some(3000)));
        assert_eq!(some.check_month(NOVEMBER, true), Ok(()));
        assert_eq!(some.count_in_month(NOVEMBER, true), Ok(()));
        let spent = some.count_in_month(NOVEMBER + 86_400, true).expect_err("spent");
        assert_eq!(spent.limited.retry_after, Duration::from_secs(29 * 86_400));
        assert_eq!(some.check_month(NOVEMBER + 86_400, true), Err(spent));
        assert_eq!(some.count_in_month(NOVEMBER, false), Ok(()));
    }

    #[test]
    fn other_policies_forget_nothing_of_the_window() {
        let before = allowance(r#"{"creates":{"at_most":1,"window_seconds":60}}"#);
        assert_eq!(before.count_in_window(PolicyName::Creates, 1000), Ok(Some(2000)));
        let text = r#"{"creates":{"at_most":1,"window_seconds":600},
                       "deletes":{"at_most":1,"window_seconds":60}}"#;
        let document = serde_json::from_str(text).expect("a document");
        let after = before.changed(document).expect("good policies");
        let full = after.count_in_window(PolicyName::Creates, 2000).expect_err("full");
        assert_eq!(full.limited.retry_after, Duration::from_secs(600));
        assert_eq!(after.count_in_window(PolicyName::Deletes, 2000), Ok(Some(3000)));
    }

    #[test]
    fn other_policies_forget_nothing_of_the_month() {
        let before = allowance(r#"{"monthly":{"writes":1}}"#);
        before.touch(7);
        assert_eq!(before.count_in_month(NOVEMBER, true), Ok(()));
        let document = serde_json::from_str(r#"{"monthly":{"writes":2}}"#).expect("a document");
        let after = before.changed(document).expect("good policies");
        assert_eq!((after.last_used(), after.usage().snapshot().2), (7, 1));
        assert_eq!(after.count_in_month(NOVEMBER, true), Ok(()));
        assert!(after.count_in_month(NOVEMBER, true).is_err());
    }

    #[test]
    fn it_was_used_when_it_was_used_last() {
        let some = allowance("{}");
        for now in [5, 9, 7] {
            some.touch(now);
        }
        assert_eq!(some.last_used(), 9);
    }
}
