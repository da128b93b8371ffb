//! A partition: all that one upstream credential, in one generation, was ever shown.
//!
//! What one credential was shown is never shown under another. So keys are made from a partition
//! ([`Key`](super::key::Key)), and a partition is made for a credential alone.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::coherence::{Cell, Epochs, Stamp};
use crate::api::families::FamilySet;

/// The entries of one credential in one generation, and the epochs that they depend on.
#[derive(Debug)]
pub struct Partition<C = AtomicU64> {
    id: u64,
    own: Epochs<C>,
    upstream: Arc<Epochs<C>>,
}

impl Partition {
    /// A partition under a number that no other has in this process.
    pub fn new(families: usize, upstream: Arc<Epochs>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::numbered(NEXT.fetch_add(1, Ordering::Relaxed), families, upstream)
    }
}

impl<C: Cell> Partition<C> {
    /// A partition under a given number.
    pub fn numbered(id: u64, families: usize, upstream: Arc<Epochs<C>>) -> Self {
        Self { id, own: Epochs::new(families), upstream }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The epochs of this partition alone.
    pub fn own(&self) -> &Epochs<C> {
        &self.own
    }

    /// The epochs that all partitions of the upstream share.
    pub fn upstream(&self) -> &Arc<Epochs<C>> {
        &self.upstream
    }

    /// The stamp of a read that begins now, in milliseconds of the process.
    pub fn stamp(&self, families: FamilySet, now: u64) -> Stamp {
        let mut stamp = Stamp::empty();
        self.own.stamp(families, now, &mut stamp);
        self.upstream.stamp(families, now, &mut stamp);
        stamp
    }

    /// Whether nothing that the stamp depends on was touched since it was taken.
    pub fn is_current(&self, families: FamilySet, stamp: &Stamp) -> bool {
        let own = self.own.is_current(families, stamp, 0);
        own.and_then(|from| self.upstream.is_current(families, stamp, from)).is_some()
    }
}
