//! What is known of a key, and what follows for whoever sends it again.
//!
//! ```text
//!              nothing --claimed--> sent --+--> answered, unkept, unknown
//!                 ^                        |
//!                 +------- released -------+
//! ```
//!
//! Only the one who claimed a key ends its line, by the line's own number, and only once: every end is
//! from `sent` alone. A process that died leaves `sent`, which is unknown once its lease is over; what
//! its owner writes after that still counts, since it can only make known what was not.

use bytes::Bytes;

use crate::{auth::keyring::Mac, vocabulary::KeyOutcome};

crate::closed! {
    /// How far a request has come.
    pub enum State {
        /// It may have been sent; nothing is known of an answer.
        Sent => "sent",
        /// It was answered, and the answer is kept.
        Answered => "answered",
        /// It was answered, with more than is kept.
        Unkept => "unkept",
        /// It was sent, and nobody knows what came of it.
        Unknown => "unknown",
    }
}

/// Whose key it is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The row of the tenant.
    pub tenant: i64,
    /// The row of the credential.
    pub credential: i64,
    /// What is kept of the key.
    pub mac: Mac,
}

/// What is written of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of its line, which no other line ever has.
    pub row: i64,
    /// Which request it was.
    pub print: Mac,
    /// How far it has come.
    pub state: State,
    /// When it was claimed, before it was sent; in milliseconds of Unix time, as all times here.
    pub sent: i64,
    /// Until when it may be under way.
    pub lease: i64,
    /// The number of the first request.
    pub first: u64,
    /// The sealed reply.
    pub reply: Option<Vec<u8>>,
    /// The numbers of the panel's transactions that it may have begun, if its outcome is unknown and
    /// any was seen.
    pub transactions: Box<[u64]>,
}

/// What follows for a request that finds its key taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is another request: the key is not for it.
    Mismatch,
    /// The first one is under way.
    Wait,
    /// It gets the answer that is kept.
    Replay,
    /// There was an answer, and it is not kept.
    Unkept,
    /// Nobody knows what came of the first one.
    Unknown,
}

/// How a request that had claimed a key came to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was not sent, or not acted upon: the key is free.
    Released,
    /// It was answered.
    Answered {
        /// The sealed reply.
        reply: Bytes,
        /// The generation of the credential that it was sent with.
        generation: i64,
    },
    /// It was answered with more than is kept.
    Unkept,
    /// Nobody knows.
    Unknown,
}

/// Why a request with a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key, or several.
    #[error("an Idempotency-Key has 1 to 255 visible characters, and there is one of them")]
    Malformed,
    /// The key was used for another request.
    #[error("this Idempotency-Key was used for another request; a new request needs a new key")]
    Mismatch,
    /// The first request with this key has not ended.
    #[error("the first request with this Idempotency-Key is under way; try again")]
    InFlight,
    /// The outcome of the first request is not known.
    #[error(
        "what became of the first request with this Idempotency-Key ({first:016x}) is not known; \
         look whether it took effect, and at {}, before you send it with a new key",
        places(transactions)
    )]
    Unknown {
        /// Its number.
        first: u64,
        /// The numbers of the transactions that it may have begun, as far as any was seen.
        transactions: Box<[u64]>,
    },
    /// The first request was answered, with more than is kept.
    #[error(
        "the first request with this Idempotency-Key ({first:016x}) was answered, and its answer is \
         not kept"
    )]
    Unkept {
        /// Its number.
        first: u64,
    },
    /// The tenant has as many keys as may be kept.
    #[error("too many Idempotency-Keys of this tenant are kept; try again later")]
    TooMany,
    /// What is kept cannot be asked.
    #[error("the store of Idempotency-Keys cannot be asked; nothing was sent; try again")]
    Unavailable,
    /// The body is too large to be compared.
    #[error("with an Idempotency-Key a body may have {0} bytes (idempotency.max_body)")]
    BodyTooLarge(u64),
}

impl Entry {
    /// What follows for a request with this print.
    pub fn judge(&self, print: &Mac, now: i64) -> Verdict {
        if self.print != *print {
            return Verdict::Mismatch;
        }
        match self.state {
            State::Sent if now < self.lease => Verdict::Wait,
            State::Sent | State::Unknown => Verdict::Unknown,
            State::Answered => Verdict::Replay,
            State::Unkept => Verdict::Unkept,
        }
    }
}

impl Refused {
    /// The word for it.
    pub fn outcome(&self) -> KeyOutcome {
        match self {
            Self::Malformed => KeyOutcome::Malformed,
            Self::Mismatch => KeyOutcome::Mismatched,
            Self::InFlight => KeyOutcome::InFlight,
            Self::Unknown { .. } => KeyOutcome::Unknown,
            Self::Unkept { .. } => KeyOutcome::Unkept,
            Self::TooMany => KeyOutcome::TooMany,
            Self::Unavailable => KeyOutcome::Unavailable,
            Self::BodyTooLarge(_) => KeyOutcome::TooLarge,
        }
    }
}

/// Where its trace would be.
fn places(transactions: &[u64]) -> String {
    let Some((first, rest)) = transactions.split_first() else {
        return "the panel's transactions".to_owned();
    };
    let mut text = format!("what may be its work: /transactions/{first}");
    for number in rest {
        text.push_str(&format!(", /transactions/{number}"));
    }
    text
}

impl End {
    /// What is written of the key from now on; none when it is free.
    pub fn state(&self) -> Option<State> {
        match self {
            Self::Released => None,
            Self::Answered { .. } => Some(State::Answered),
            Self::Unkept => Some(State::Unkept),
            Self::Unknown => Some(State::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(byte: u8) -> Mac {
        Mac::from_bytes(&[byte; 32]).expect("a MAC")
    }

    /// Of print 1, sent at 2 and under way until 10.
    fn entry(state: State) -> Entry {
        let (row, print, transactions) = (1, mac(1), Box::default());
        Entry { row, print, state, sent: 2, lease: 10, first: 5, reply: None, transactions }
    }

    #[test]
    fn another_request_learns_nothing_of_the_first() {
        for state in [State::Sent, State::Answered, State::Unkept, State::Unknown] {
            let entry = entry(state);
            for now in [0, 20] {
                assert_eq!(entry.judge(&mac(2), now), Verdict::Mismatch, "{state:?}");
            }
        }
    }

    #[test]
    fn what_was_sent_is_waited_for_until_its_lease_is_over() {
        let entry = entry(State::Sent);
        assert_eq!(entry.judge(&mac(1), 9), Verdict::Wait);
        assert_eq!(entry.judge(&mac(1), 10), Verdict::Unknown);
        for (state, verdict) in [
            (State::Answered, Verdict::Replay),
            (State::Unkept, Verdict::Unkept),
            (State::Unknown, Verdict::Unknown),
        ] {
            let entry = Entry { state, ..entry.clone() };
            assert_eq!((entry.judge(&mac(1), 9), entry.judge(&mac(1), 99)), (verdict, verdict));
        }
    }

    #[test]
    fn an_unknown_outcome_says_where_to_look() {
        let said = |transactions: &[u64]| {
            Refused::Unknown { first: 5, transactions: transactions.into() }.to_string()
        };
        assert!(
            said(&[]).contains("look whether it took effect, and at the panel's transactions,")
        );
        let two = "and at what may be its work: /transactions/7, /transactions/8, before";
        assert!(said(&[7, 8]).contains(two), "{}", said(&[7, 8]));
    }
}
