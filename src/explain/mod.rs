//! Why a request was answered as it was: the latest decisions are remembered, and told in words.
//!
//! What the access log says of every request is for programs that count. This is for the operator who
//! asks about one: who it was, what was allowed, what the cache found, and whose write or which
//! transaction made it fetch anew. Nothing is decided by what is remembered here.

mod decision;
mod explanation;
mod ring;

pub use decision::Decision;
pub use explanation::{CallerShown, CauseShown, EntryShown, Explanation, RouteShown, header};
pub use ring::Ring;

use crate::settings::Problems;

crate::section! {
    /// The decisions that can be explained.
    pub struct Config {
        /// How many of the latest requests are remembered, each in 256 bytes; 0 remembers none.
        pub decisions: usize = 4096,
    }
}

/// More than this would be a log, and there is one.
const MOST: usize = 1 << 20;

impl Config {
    /// Adds what is wrong with the values.
    pub fn validate(&self, problems: &mut Problems) {
        if self.decisions > MOST {
            problems.add(None, "explain.decisions", "must be at most 1048576");
        }
    }
}
