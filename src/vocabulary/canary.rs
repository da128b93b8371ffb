//! What a canary's round has come to.

use crate::closed;

closed! {
    /// What came of one round of the canary.
    pub enum CanaryOutcome {
        /// Each planted tenant was shown its own, and nothing of the other's.
        Passed => "passed",
        /// One was shown what is the other's, or let in as the other.
        Leaked => "leaked",
        /// It could prove nothing: a planted token is not good, both are alike, or nothing of
        /// their own was shown to them.
        Blind => "blind",
        /// The upstream or the gateway did not answer, or not in time.
        Failed => "failed",
    }
}
