//! The words of what is learned of formats.

use crate::closed;

closed! {
    /// What came of a pair of formats, or of the attempt to fetch one.
    pub enum Taken {
        /// The map has learned from it.
        Learned => "learned",
        /// The map has reproduced both sides, and is used from now on.
        Proved => "proved",
        /// It has done so again.
        Confirmed => "confirmed",
        /// It is too much like the one that was learned from to prove anything.
        Repeated => "repeated",
        /// It shows something else than would have been derived: all is learned anew.
        Contradicted => "contradicted",
        /// Nothing can be learned from it.
        Unlearned => "unlearned",
        /// It could not be fetched, or something changed meanwhile.
        Failed => "failed",
    }
}
