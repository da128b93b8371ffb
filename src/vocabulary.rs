//! The closed lists of what can happen, each with the one word that header, log and metric share.
//!
//! A list is closed so that no series, log field or header value can be made from what a stranger
//! sent. This file imports nothing of ours but what a list is. A list by which one part
//! counts something, and nothing else is done, stands with its series, in `metrics`.

mod connection;
mod formats;
mod idempotency;
mod policy;
mod secrecy;

pub use self::{
    connection::{ConnectionEnd, Protocol},
    formats::Taken,
    idempotency::KeyOutcome,
    policy::{PolicyMode, PolicyName},
    secrecy::Secrecy,
};
pub use crate::closed::{Closed, Noted};

use crate::closed;

closed! {
    /// What the cache did for a request.
    pub enum CacheOutcome {
        /// Answered from memory.
        Hit => "hit",
        /// Answered from memory although its lifetime is over.
        Stale => "stale",
        /// Fetched, and kept if it may be.
        Miss => "miss",
        /// Joined a fetch that another reader had begun.
        Collapsed => "collapsed",
        /// A read that no rule lets the cache answer.
        Bypass => "bypass",
        /// A write, or what counts as one.
        Write => "write",
        /// Refused before the cache was asked, or because it was all that might be asked.
        None => "none",
    }
}

closed! {
    /// Why a reply was not kept. The words are the details of `Cache-Status`.
    pub enum NotStored {
        /// Neither a 200 nor a 404 that is kept.
        Status => "status",
        /// Its content type is not the format that was asked for.
        ContentType => "content-type",
        /// Larger than one entry may be.
        TooLarge => "too-large",
        /// The credential's share of the memory is used up.
        Share => "partition-share",
        /// The upstream forbids it (`no-store`).
        NoStore => "no-store",
        /// A write touched it while it was being fetched.
        Overtaken => "overtaken",
        /// What it shows has not settled after a write or a transaction.
        Unsettled => "unsettled",
        /// It is not known: the fetch failed, or the client did not wait for it.
        Failed => "failed",
    }
}

closed! {
    /// Why what a write touched is not settled when the write has ended.
    pub enum Unrest {
        /// The upstream has accepted it, to be done later.
        Scheduled => "scheduled",
        /// A transaction holds the resource.
        Locked => "locked",
        /// Nobody knows whether it was applied, or whether it still will be.
        Unknown => "unknown",
    }
}

closed! {
    /// Why something is shown although its lifetime is over. The words are details of
    /// `Cache-Status`.
    pub enum Staleness {
        /// The upstream could not be asked.
        Error => "stale-if-error",
        /// It is being fetched anew.
        Revalidating => "stale-while-revalidate",
    }
}

closed! {
    /// Why a read was fetched. The words are those of `fwd` in `Cache-Status` (RFC 9211).
    pub enum Forward {
        /// Nothing is kept, or something has touched it.
        Miss => "miss",
        /// Its lifetime is over.
        Stale => "stale",
        /// The request demands what is newer.
        Request => "request",
    }
}

closed! {
    /// Why a read was passed by the cache.
    pub enum Bypass {
        /// Its route is not listed.
        Unlisted => "unlisted",
        /// It has a body that Rails would read as parameters.
        Body => "request-body",
        /// Its route class is `never`.
        Never => "never",
        /// It was found uncacheable a moment ago.
        Marked => "uncacheable",
        /// Too many hits of its class were found stale.
        Quarantined => "quarantined",
    }
}

closed! {
    /// Why entries were invalidated.
    pub enum InvalidationCause {
        /// A write was about to be sent.
        WriteSent => "write_sent",
        /// The head of a write's reply arrived.
        WriteAnswered => "write_answered",
        /// A write ended.
        WriteEnded => "write_ended",
        /// A read that is not listed may have changed something.
        UnlistedRead => "unlisted_read",
        /// The upstream refused the credential.
        CredentialRefused => "credential_refused",
        /// The upstream refused what the credential asked for.
        Forbidden => "forbidden",
        /// A transaction began, ended, or changed otherwise.
        Transaction => "transaction",
        /// So many transactions came at once that not all were seen.
        TransactionGap => "transaction_gap",
        /// An operator asked for it.
        Purge => "purge",
        /// A secret of an upstream has come or gone: what is kept was not searched for it.
        Vault => "vault",
        /// An operator asked for it to be fetched anew, and not to be forgotten.
        SoftPurge => "soft_purge",
        /// A sample was found stale.
        Sample => "sample",
        /// A read showed that a transaction holds what it shows.
        Locked => "locked",
    }
}

closed! {
    /// What came of a hit that was to be compared with what the upstream shows.
    pub enum Sampled {
        /// The upstream shows the same.
        Fresh => "fresh",
        /// It shows something else, and nothing that went through the gateway explains it.
        Stale => "stale",
        /// What was shown was touched before the upstream's reply had been received.
        Inconclusive => "inconclusive",
        /// The upstream did not show it.
        Failed => "failed",
        /// It was over the bounds, and not fetched.
        Skipped => "skipped",
    }
}

closed! {
    /// Why a request was sent upstream.
    pub enum UpstreamCause {
        /// To fill the cache.
        Fill => "fill",
        /// A read that passes the cache by.
        Pass => "pass",
        /// A write.
        Write => "write",
        /// Sent again, because the first attempt provably did no harm.
        Retry => "retry",
        /// An operator's test of a credential.
        Probe => "probe",
        /// A look at the panel's transactions.
        Watch => "watch",
        /// To compare a hit with what the upstream shows.
        Sample => "sample",
        /// To learn what both formats of a route look like.
        Learn => "learn",
        /// To look whether planted tenants are shown their own alone.
        Canary => "canary",
        /// To make, try or remove a key of a credential.
        Rotation => "rotation",
    }
}

closed! {
    /// Which limiter decided.
    pub enum Limiter {
        /// A tenant's reads.
        Reads => "reads",
        /// A tenant's writes.
        Writes => "writes",
        /// A tenant's reads that had to go upstream.
        UpstreamReads => "upstream_reads",
        /// The reads of one token.
        TokenReads => "token_reads",
        /// The writes of one token.
        TokenWrites => "token_writes",
        /// Failed tokens of one address.
        FailedTokens => "failed_tokens",
    }
}

closed! {
    /// How long what a route shows may be kept; lifetimes are in the configuration.
    pub enum RouteClass {
        /// Changes with a release of the upstream: templates, versions, resolvers.
        Static => "static",
        /// Changes with writes.
        Inventory => "inventory",
        /// Changes by itself: usage, statistics, logs.
        Volatile => "volatile",
        /// Not kept at all.
        Never => "never",
    }
}

closed! {
    /// A representation that the upstream speaks.
    pub enum Format {
        /// `application/json`.
        Json => "json",
        /// `application/xml`.
        Xml => "xml",
    }
}

impl Format {
    /// The one of the two that it is not.
    pub const fn other(self) -> Self {
        match self {
            Self::Json => Self::Xml,
            Self::Xml => Self::Json,
        }
    }
}
