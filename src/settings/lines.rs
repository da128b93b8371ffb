//! Which line of a text something stands in.

use super::Origin;

/// Where the lines of a text end.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        Self(memchr::memchr_iter(b'\n', text.as_bytes()).collect())
    }

    /// The line that an offset lies in.
    pub(super) fn of(&self, offset: usize) -> Origin {
        Origin::Line(self.0.partition_point(|end| *end < offset) + 1)
    }
}
