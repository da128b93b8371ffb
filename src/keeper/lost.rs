//! Requests of which nobody knows what became, and who looks for what they may have begun.

use std::sync::Arc;

use super::{Keeper, clerk::Job};
use crate::{cache::touch::Named, idempotency::Entry, tenants::snapshot::Credential};

/// By what the transactions of a request can be told from others.
#[derive(Clone)]
pub struct Trace {
    /// In whose name it was sent.
    pub credential: Arc<Credential>,
    /// What it was about.
    pub about: About,
}

/// What a request was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A new item of a family.
    New(usize),
    /// An item that there was.
    Item(Named),
}

/// When a request may have been under way, in milliseconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From before it was sent,
    pub sent: i64,
    /// until it is given up.
    pub lease: i64,
}

/// A request of which nobody knows what became.
pub struct Lost {
    /// Its line, which no other request ever has.
    pub row: i64,
    /// When it was under way.
    pub span: Span,
    /// By what its transactions can be told.
    pub trace: Trace,
}

/// Who looks for the transactions that a request may have begun.
pub trait Search: Send + Sync {
    /// Looks beside the requests, unless that is under way already, and tells what there is; if there
    /// is nothing, or it cannot be known whose it is, nobody is told.
    fn search(&self, lost: Lost, tell: Tell);
}

/// Is told the numbers of transactions.
pub type Tell = Box<dyn FnOnce(Box<[u64]>) + Send>;

impl Lost {
    /// A request that a line was found of.
    pub fn of(entry: &Entry, trace: Trace) -> Self {
        let span = Span { sent: entry.sent, lease: entry.lease };
        Self { row: entry.row, span, trace }
    }
}

impl Keeper {
    /// Has somebody look for what a request may have begun. What is found is written to its line.
    pub fn look_for(self: &Arc<Self>, lost: Lost) {
        let (jobs, row) = (self.jobs.clone(), lost.row);
        let tell = move |transactions| {
            // Where there is no room for it, it is looked for again when it is asked for again.
            let _ = jobs.try_send(Job::Name { row, transactions });
        };
        self.search.search(lost, Box::new(tell));
    }
}
