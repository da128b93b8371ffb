//! The panel: machines and their versions, its transactions, and whom it refuses.

use crate::transcode::transactions::{Subject, Transaction};

pub(super) const MACHINES: usize = 3;

/// The user who sees all.
pub(super) const ROOT: usize = 2;

/// The machines that each user sees: two of one, one of another, and all.
pub(super) const VISIBLE: [&[usize]; 3] = [&[0, 1], &[2], &[0, 1, 2]];

/// A key, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Login {
    pub(super) user: usize,
    pub(super) key: u64,
}

/// How the panel refuses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 401.
    Unknown,
    /// 403.
    Forbidden,
}

/// A transaction of the panel.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) machine: usize,
    pub(super) appears: u64,
    /// It is listed at once.
    pub(super) prompt: bool,
    /// None for one that never ends.
    pub(super) ends: Option<u64>,
    /// The machine's version once it has ended.
    pub(super) made: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Panel {
    /// The versions that it shows.
    pub(super) versions: [u64; MACHINES],
    pub(super) jobs: Vec<Job>,
    refused: Vec<(Login, Refusal)>,
}

impl Panel {
    pub(super) fn new() -> Self {
        Self { versions: [1; MACHINES], jobs: Vec::new(), refused: Vec::new() }
    }

    /// How a key is refused now, if it is.
    pub(super) fn refusal(&self, login: Login) -> Option<Refusal> {
        let found = self.refused.iter().find(|(refused, _)| *refused == login);
        found.map(|(_, how)| *how)
    }

    /// Refuses a key from now on.
    pub(super) fn refuse(&mut self, login: Login, how: Refusal) {
        self.restore(login);
        self.refused.push((login, how));
    }

    /// Takes a key again.
    pub(super) fn restore(&mut self, login: Login) {
        self.refused.retain(|(refused, _)| *refused != login);
    }

    /// What is shown of transactions, newest first.
    pub(super) fn rows(&self, login: Login, now: u64) -> Result<Vec<Transaction>, Refusal> {
        if let Some(how) = self.refusal(login) {
            return Err(how);
        }
        let visible = |job: &Job| job.appears <= now && VISIBLE[login.user].contains(&job.machine);
        let jobs = self.jobs.iter().enumerate().filter(|(_, job)| visible(job));
        let row = |(id, job): (usize, &Job)| Transaction {
            id: id as u64 + 1,
            open: job.made.is_none(),
            parent: Some(subject(job.machine)),
            ..Transaction::default()
        };
        Ok(jobs.map(row).rev().collect())
    }

    /// A machine that a user sees.
    pub(super) fn visible(user: usize, coin: u64) -> usize {
        let machines = VISIBLE[user];
        machines[coin as usize % machines.len()]
    }
}

/// What transactions call a machine.
pub(super) fn subject(machine: usize) -> Subject {
    Subject { kind: "VirtualMachine".into(), id: machine as u64 + 1 }
}
