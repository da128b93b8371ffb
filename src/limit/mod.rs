//! What a tenant may ask for in a time: quotas, the limiters that hold them, and their headers.
//!
//! This folder does no I/O and imports nothing of ours.

/// The quotas of one tenant; none means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Reads, whether answered from the cache or not.
    pub reads: Option<Quota>,
    /// Writes.
    pub writes: Option<Quota>,
    /// Reads that had to be fetched from the upstream.
    pub upstream_reads: Option<Quota>,
}

/// So many requests a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The sustained rate, in requests a second.
    pub per_second: u32,
    /// How many may come at once.
    pub burst: u32,
}

/// The limiters of one tenant.
#[derive(Debug)]
pub struct Limits {
    quotas: Quotas,
}

impl Limits {
    /// Limiters that are full.
    pub fn new(quotas: Quotas) -> Self {
        Self { quotas }
    }

    /// What they allow.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }
}
