//! The words of requests with an `Idempotency-Key`.

use crate::closed;

closed! {
    /// What came of a POST with an `Idempotency-Key`.
    pub enum KeyOutcome {
        /// It was the first of its key, and was sent on.
        First => "first",
        /// It was given the answer of the first.
        Replayed => "replayed",
        /// Its key is malformed.
        Malformed => "malformed",
        /// Its key was used for another request.
        Mismatched => "mismatched",
        /// The first of its key had not ended, and it could not wait for it any longer.
        InFlight => "in_flight",
        /// What came of the first of its key is not known.
        Unknown => "unknown",
        /// The first of its key was answered with more than is kept.
        Unkept => "unkept",
        /// Its tenant has as many keys as are kept.
        TooMany => "too_many",
        /// Its body is larger than is compared.
        TooLarge => "too_large",
        /// The store could not be asked.
        Unavailable => "unavailable",
    }
}
