//! What a reply teaches besides what it shows: names of resources, and which of them are held.

use std::sync::Arc;

use super::Fetch;
use crate::{
    api::{
        families::FamilySet,
        routes::{ItemKind, RouteTable},
    },
    cache::{
        cause::Cause,
        coherence::Change,
        partition::{Breadth, Felt, Hold, Partition},
        touch::{Named, Settle, Unsettled},
    },
    metrics::Metrics,
    transcode::{
        locked::{says_locked, says_open, says_set},
        resources::{Resource, resources},
    },
    vocabulary::{Format, InvalidationCause, Unrest},
};

/// Who learns.
pub(super) struct Lessons {
    pub(super) routes: Arc<RouteTable>,
    pub(super) settler: Arc<dyn Settle>,
    /// The family of transactions.
    pub(super) transactions: FamilySet,
    pub(super) metrics: Arc<Metrics>,
}

/// What a body says of its own future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Nothing.
    Settled,
    /// It will say otherwise soon.
    Unsettled,
    /// A removal that it depends on may have gone unnoticed: it must not be kept.
    Doubtful,
}

/// A list of more resources than this is not read for their names.
const MAX_LEARNED: usize = 10_000;

/// When more resources are held than this, all of them are.
const MAX_HELD: usize = 64;

impl Lessons {
    /// Takes from a body what its resources are called and whether they name each other, and holds
    /// unsettled what a transaction holds: it changes again when that ends, and so does what hangs
    /// on it.
    pub(super) fn learn(&self, fetch: &Fetch, now: u64, format: Format, body: &[u8]) -> Lesson {
        if self.refers(fetch, format, body) {
            let since = fetch.credential.partition.upstream().names().learn_reference(now);
            if fetch.asked_at <= since {
                return Lesson::Doubtful;
            }
        }
        if self.is_held(fetch, format, body) { Lesson::Unsettled } else { Lesson::Settled }
    }

    fn refers(&self, fetch: &Fetch, format: Format, body: &[u8]) -> bool {
        let families = fetch.dependence.view.families;
        let kinds = self.routes.item_kinds().iter().filter(|k| families.contains(k.family));
        kinds.flat_map(|kind| &kind.refers).any(|name| says_set(format, name, body))
    }

    fn is_held(&self, fetch: &Fetch, format: Format, body: &[u8]) -> bool {
        let partition = &fetch.credential.partition;
        let families = fetch.dependence.view.families;
        let touched = families.union(fetch.neighbors);
        let locked = says_locked(format, body);
        if families.intersection(self.transactions).bits() != 0 && says_open(format, body) {
            // It will say otherwise soon; whoever waits for that is looked after already.
            return true;
        }
        let Some((kind, shown)) = self.shown(fetch, format, body) else {
            if locked {
                self.hold(partition, Change::whole(touched), None);
            }
            return locked;
        };
        let names = partition.upstream().names();
        for resource in &shown {
            if let Some(identifier) = &resource.identifier {
                names.learn(kind.family, &resource.id, identifier);
            }
        }
        let held = shown.iter().filter(|resource| resource.locked);
        if held.clone().count() > MAX_HELD {
            self.hold(partition, Change::whole(touched), None);
            return locked;
        }
        for resource in held {
            let item = Named { family: kind.family, name: resource.id.clone() };
            let change = item.changed(touched.union(kind.touches), names);
            self.hold(partition, change, Some(item));
        }
        locked
    }

    /// The items that a body shows, if it shows any that are known one by one.
    fn shown<'a>(
        &'a self,
        fetch: &Fetch,
        format: Format,
        body: &[u8],
    ) -> Option<(&'a ItemKind, Vec<Resource>)> {
        let families = fetch.dependence.view.families;
        let mut kinds = self.routes.item_kinds().iter();
        let of =
            |kind: &'a ItemKind| Some((kind, resources(format, &kind.root, body, MAX_LEARNED)?));
        kinds.find_map(|kind| families.contains(kind.family).then(|| of(kind)).flatten())
    }

    fn hold(&self, partition: &Arc<Partition>, change: Change, item: Option<Named>) {
        let cause = InvalidationCause::Locked;
        let felt = Felt::new(Arc::clone(partition), change, Breadth::Account);
        let felt = felt.because(Cause::Other(cause));
        if !self.settler.holds(&felt, item.as_ref()) {
            self.metrics.cache.invalidations.of(cause).inc();
            let hold = Hold::begin(felt);
            self.settler.settle(Unsettled { hold, why: Unrest::Locked, item });
        }
    }
}
