//! What a snapshot knows of rotations: whose requests are held back, what else must not be shown, and
//! what there is to do.

use std::{collections::HashSet, sync::Arc};

use super::{Snapshot, build::Builder};
use crate::tenants::{
    record::{PendingRecord, Records, RotationRecord},
    secret::{SealedSecret, UpstreamSecret},
};

/// What is known of rotations at one moment.
#[derive(Debug, Default)]
pub struct Rotating {
    held: HashSet<String>,
    hidden: Vec<Hidden>,
    open: Vec<Open>,
}

/// A rotation that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its row.
    pub row: i64,
    /// The name of its upstream.
    pub upstream: String,
    /// Whether requests are held back for it, or were for as long as they may be.
    pub held: bool,
    /// When there is something to do, as a Unix time in milliseconds.
    pub due: i64,
    /// Until when somebody works on it, likewise.
    pub leased: i64,
}

/// A key that is no credential's, not yet or no more, and works upstream all the same.
#[derive(Clone, Debug)]
struct Hidden {
    slot: Slot,
    upstream: String,
    secret: Arc<UpstreamSecret>,
}

/// Where the store has it, by the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    New(i64),
    Old(i64),
    Pending(i64),
}

/// A shorter secret would be found by chance all over a reply.
const MASKED_MIN: usize = 8;

impl Rotating {
    /// What the records say, beside the credentials that were built of them.
    pub(super) fn of(
        records: &Records,
        builder: &Builder<'_>,
        built: &Snapshot,
        previous: &Self,
    ) -> Self {
        let mut hidden = Vec::new();
        let mut hide = |slot, bound_to, upstream: &str, sealed: &SealedSecret| {
            if sealed.bytes.is_empty() {
                return;
            }
            match builder.open_sealed(bound_to, upstream, sealed) {
                Ok(secret) if built.uses(upstream, &secret) => {}
                Ok(secret) => {
                    let (upstream, secret) = (upstream.to_owned(), Arc::new(secret));
                    hidden.push(Hidden { slot, upstream, secret });
                }
                // What was known stays known; other keys that do not open work for nobody here.
                Err(_) => hidden.extend(previous.hidden.iter().find(|h| h.slot == slot).cloned()),
            }
        };
        for RotationRecord { row, credential, upstream, course, old, .. } in &records.rotations {
            if let Some(new) = &course.new {
                hide(Slot::New(*row), *credential, upstream, new);
            }
            hide(Slot::Old(*row), *credential, upstream, old);
        }
        for PendingRecord { row, upstream, sealed, .. } in &records.pending {
            hide(Slot::Pending(*row), PendingRecord::bound_to(*row), upstream, sealed);
        }
        // A secret that was set since it began is not the one that is replaced.
        let in_force = |r: &&RotationRecord| r.ended.is_none() && r.generation == r.now_generation;
        let held = records.rotations.iter().filter(in_force).filter(|r| r.course.holds());
        let open = records.rotations.iter().filter(|rotation| rotation.ended.is_none());
        Self {
            held: held.map(|rotation| rotation.name.clone()).collect(),
            hidden,
            open: open.map(Open::of).collect(),
        }
    }

    /// Whether requests of a credential are held back.
    pub fn holds(&self, credential: &str) -> bool {
        !self.held.is_empty() && self.held.contains(credential)
    }

    /// What has not ended.
    pub fn open(&self) -> &[Open] {
        &self.open
    }

    /// The keys that no credential has, each with the name of its upstream.
    pub(super) fn hidden(&self) -> impl Iterator<Item = (&str, &UpstreamSecret)> {
        self.hidden.iter().map(|hidden| (&*hidden.upstream, &*hidden.secret))
    }
}

impl Open {
    fn of(rotation: &RotationRecord) -> Self {
        let RotationRecord { row, upstream, course, due, leased, .. } = rotation;
        let (row, due, leased) = (*row, *due, *leased);
        Self { row, upstream: upstream.clone(), held: course.endangers(), due, leased }
    }
}

impl Snapshot {
    /// Login and secret of every credential of an upstream whose secret is long enough to be masked.
    pub fn upstream_secrets(&self, upstream: &str) -> impl Iterator<Item = (&str, &str)> {
        let hidden = self.rotating.hidden().filter(move |(of, _)| *of == upstream);
        self.credentials
            .values()
            .filter(move |credential| *credential.upstream == *upstream)
            .map(|credential| credential.secret.pair())
            .chain(hidden.map(|(_, secret)| secret.pair()))
            .filter(|(_, secret)| secret.len() >= MASKED_MIN)
    }

    /// Whether a credential has a secret.
    fn uses(&self, upstream: &str, secret: &UpstreamSecret) -> bool {
        let mut of_it = self.credentials.values().filter(|known| *known.upstream == *upstream);
        of_it.any(|known| known.secret == *secret)
    }

    /// Whether a secret is among those that are not to be shown.
    pub(super) fn hides(&self, upstream: &str, secret: &UpstreamSecret) -> bool {
        self.uses(upstream, secret)
            || self.rotating.hidden().any(|known| known == (upstream, secret))
    }
}
