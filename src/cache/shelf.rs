//! The entries and all by which they are judged: what the cache and the fetches share.

use std::sync::Arc;

use super::{entry::Config, store::Store};
use crate::{api::routes::RouteTable, clock::Clock, metrics::Metrics};

/// The entries, and what it takes to judge them.
pub struct Shelf {
    /// The entries.
    pub store: Store,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// The lifetimes.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// The series.
    pub metrics: Arc<Metrics>,
}
