//! The cache key: partition, upstream target, format. Nothing else decides what a reply shows.
//!
//! A key is made from a partition, and a partition belongs to a caller's credential. So a key
//! without a caller does not compile:
//!
//! ```compile_fail
//! use tollgate::{cache::key::Key, vocabulary::Format};
//! let target: http::uri::PathAndQuery = "/profile.json".parse().unwrap();
//! let key = Key::new(target, Some(Format::Json)); // whose profile?
//! ```

use http::uri::PathAndQuery;

use super::partition::Partition;
use crate::vocabulary::Format;

/// What an entry is kept under, and all that a fill is made from besides the credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    partition: u64,
    target: PathAndQuery,
    format: Option<Format>,
}

impl Key {
    /// The key of a target as it is asked for upstream; no format for what is asked for as it is.
    pub fn new(partition: &Partition, target: PathAndQuery, format: Option<Format>) -> Self {
        Self { partition: partition.id(), target, format }
    }

    /// The number of its partition.
    pub fn partition(&self) -> u64 {
        self.partition
    }

    /// The target as it is asked for upstream.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// The format that is asked for.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// How much memory the key takes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.target.as_str().len()
    }
}
