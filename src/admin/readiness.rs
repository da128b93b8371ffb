//! Whether traffic should be sent to this process, and if not, why.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::vocabulary::Closed;

crate::closed! {
    /// Where the process is in its life.
    pub enum Phase {
        /// It does not accept connections yet.
        Starting => "starting",
        /// It serves.
        Serving => "serving",
        /// It ends, and should get no more connections.
        Draining => "draining",
    }
}

crate::closed! {
    /// What should hold besides, each with the words for when it does not.
    pub enum Condition {
        /// Tenants, tokens and credentials can be read.
        Store => "the store cannot be read; what was read last stays in force",
        /// The certificate in force has not expired.
        Certificate => "the certificate has expired",
    }
}

/// Shared by all that know something about it; reading it is two loads.
#[derive(Debug, Default)]
pub struct Readiness {
    phase: AtomicU8,
    /// A bit for each condition that does not hold.
    failing: AtomicU32,
}

impl Condition {
    /// Whether traffic must not be sent here without it. All that share a store lose it at once, and
    /// each can serve without it.
    const fn is_vital(self) -> bool {
        match self {
            Self::Store => false,
            Self::Certificate => true,
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Readiness {
    /// A process that starts, and of which nothing bad is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// It accepts connections. One that drains already goes on draining.
    pub fn serving(&self) {
        self.advance_to(Phase::Serving);
    }

    /// It ends.
    pub fn draining(&self) {
        self.advance_to(Phase::Draining);
    }

    /// Says whether a condition holds.
    pub fn set(&self, condition: Condition, holds: bool) {
        let bit = condition.bit();
        if holds {
            self.failing.fetch_and(!bit, Ordering::Release);
        } else {
            self.failing.fetch_or(bit, Ordering::Release);
        }
    }

    /// Where the process is in its life.
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Acquire))]
    }

    /// Whether traffic should be sent here.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Serving && !self.unmet().any(Condition::is_vital)
    }

    /// What is not as it should be, in words.
    pub fn failing(&self) -> impl Iterator<Item = &'static str> {
        let phase = Some(self.phase()).filter(|p| *p != Phase::Serving).map(Closed::as_str);
        phase.into_iter().chain(self.unmet().map(Closed::as_str))
    }

    fn unmet(&self) -> impl Iterator<Item = Condition> + use<> {
        let failing = self.failing.load(Ordering::Acquire);
        Condition::ALL.iter().copied().filter(move |condition| failing & condition.bit() != 0)
    }

    /// Phases only follow one another: whoever starts late cannot undo the end.
    fn advance_to(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(readiness: &Readiness, want: &[&str]) {
        assert_eq!(readiness.failing().collect::<Vec<_>>(), want);
        let store = Condition::Store.as_str();
        assert_eq!(readiness.is_ready(), want.iter().all(|failing| *failing == store));
    }

    #[test]
    fn it_is_ready_while_it_serves_and_all_vital_conditions_hold() {
        let readiness = Readiness::new();
        check(&readiness, &["starting"]);
        readiness.set(Condition::Certificate, false);
        check(&readiness, &["starting", "the certificate has expired"]);
        readiness.serving();
        readiness.set(Condition::Store, false);
        let store = "the store cannot be read; what was read last stays in force";
        check(&readiness, &[store, "the certificate has expired"]);
        readiness.set(Condition::Certificate, true);
        check(&readiness, &[store]);
        readiness.set(Condition::Store, true);
        check(&readiness, &[]);
    }

    #[test]
    fn a_process_that_drains_never_serves_again() {
        let readiness = Readiness::new();
        readiness.draining();
        readiness.serving();
        assert_eq!(readiness.phase(), Phase::Draining);
        check(&readiness, &["draining"]);
    }
}
