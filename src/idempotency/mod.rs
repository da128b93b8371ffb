//! Idempotent requests: what a POST with an `Idempotency-Key` was answered is kept, and given again to
//! who sends the same once more; after the IETF's draft-ietf-httpapi-idempotency-key-header.
//!
//! 1. A key belongs to a tenant and the credential that it is used with. A token may be rotated
//!    between two attempts, and so may the credential's key; but nobody is shown what another credential
//!    was shown, nor what this one was while it was another user's.
//! 2. The same is the same method, canonical target, content type and body, byte for byte. They are
//!    compared by a keyed MAC, because a body may hold a password that is easily guessed.
//! 3. It is written down before the first byte goes upstream that the request is sent, and what came of
//!    it before the reply is relayed. Whoever finds it sent waits; the line in the store is the lock
//!    between the servers that share it.
//! 4. What provably was not sent, or not acted upon, frees the key. What nobody knows the outcome of,
//!    or was being sent when its process died, is answered as unknown, and never sent again.
//! 5. The transactions of the panel that such a request may have begun are named, at most
//!    [`MAX_TRANSACTIONS`] of them, once they have been seen.
//! 6. A reply is kept as its client saw it, masked, and sealed with a key of its own.
//!
//! This part decides; the `Keeper` asks the store and waits, and a layer of the request path asks it.

mod key;
mod reply;
mod seal;
mod state;

use std::time::Duration;

pub use self::{
    key::Key,
    reply::Reply,
    seal::{Asked, Keys},
    state::{End, Entry, Refused, Slot, State, Verdict},
};
use crate::settings::{ByteSize, Problems};

crate::section! {
    /// What is kept of POSTs that have an `Idempotency-Key`.
    pub struct Config {
        /// Whether the header is obeyed. If not, it is ignored.
        pub enabled: bool = true,
        /// How long a key is known; after that the same is sent anew.
        pub retention: Duration = Duration::from_secs(86_400),
        /// The most keys that are kept of one tenant; a new one is then refused.
        pub max_keys_per_tenant: u32 = 10_000,
        /// The largest body of a request that has a key; it is read before anything is sent.
        pub max_body: ByteSize = ByteSize::mib(1),
        /// The largest body of a reply that is kept; of a larger one it is known that there was one.
        pub max_reply: ByteSize = ByteSize::kib(256),
        /// How long a request that was sent already is waited for.
        pub wait_timeout: Duration = Duration::from_secs(60),
        /// How many requests may wait so; further ones are refused at once.
        pub max_waiting: usize = 256,
        /// How soon it is looked again for what another server has under way; the time doubles up to
        /// eight times this.
        pub poll_interval: Duration = Duration::from_millis(250),
        /// How long a request may be under way; if nothing is known of it by then, its outcome is
        /// taken to be unknown.
        pub lease: Duration = Duration::from_secs(120),
        /// How many questions to the store may wait for each other; further ones are refused.
        pub queue: usize = 256,
    }
}

/// How many transactions are named that a request may have begun.
pub const MAX_TRANSACTIONS: usize = 8;

/// The longest retention.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

impl Config {
    /// Adds what is wrong with the values as such.
    pub fn validate(&self, problems: &mut Problems) {
        if self.retention > LONGEST {
            problems.add(None, "idempotency.retention", "must be at most \"365d\"");
        }
        if self.wait_timeout > self.retention {
            let wanted = "must not be longer than idempotency.retention";
            problems.add(None, "idempotency.wait_timeout", wanted);
        }
        if self.lease.is_zero() || self.lease >= self.retention {
            let wanted = "must be longer than 0 and shorter than idempotency.retention";
            problems.add(None, "idempotency.lease", wanted);
        }
        if self.poll_interval.is_zero() {
            problems.add(None, "idempotency.poll_interval", "must be longer than 0");
        }
        if self.queue == 0 {
            problems.add(None, "idempotency.queue", "must be at least 1");
        }
        if self.max_keys_per_tenant == 0 {
            let wanted = "must be at least 1; idempotency.enabled = false keeps none";
            problems.add(None, "idempotency.max_keys_per_tenant", wanted);
        }
    }
}
