//! What was decided about one request, small enough to be remembered of every one.
//!
//! It owns nothing and refers to nothing: a request's own parts would keep alive the buffer that they
//! were read into, for as long as it is remembered.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use http::StatusCode;

use crate::{
    api::routes::RouteId,
    cache::{cause::Cause, key::Digest, status::CacheStatus},
    record::{Charged, PATH_BYTES, Record, RequestId, Text},
    vocabulary::{Format, KeyOutcome, PolicyName, Protocol},
};

/// One request and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// Its name.
    pub id: RequestId,
    /// When its head had been read.
    pub received: SystemTime,
    /// How long it took until its reply began.
    pub duration: Duration,
    /// Who sent it.
    pub client: IpAddr,
    /// How it came.
    pub protocol: Protocol,
    /// What it was answered with.
    pub status: StatusCode,
    /// The route, if it is a listed read.
    pub route: Option<RouteId>,
    /// The format that was answered.
    pub format: Option<Format>,
    /// What the cache did.
    pub cache: Option<CacheStatus>,
    /// What was left of its quota.
    pub quota: Option<Charged>,
    /// The policy of its token that refused it, or would have in shadow.
    pub policy: Option<PolicyName>,
    /// What made the cache's entry outdated, or kept it from having one.
    pub cause: Option<Cause>,
    /// What had last changed what it shows, when there was no entry.
    pub changed: Option<Cause>,
    /// What came of its `Idempotency-Key`.
    pub idempotency: Option<KeyOutcome>,
    /// Why it was refused.
    pub rejection: Option<&'static str>,
    /// A digest of its key in the cache.
    pub key: Option<Digest>,
    /// Its method.
    pub method: Text<8>,
    /// Its canonical path. Its query is not remembered, which may hold secrets.
    pub path: Text<PATH_BYTES>,
    /// The public id of its token.
    pub token: Text<12>,
}

impl Decision {
    /// What is known of a request once it has been answered.
    pub fn new(record: &Record, status: StatusCode, duration: Duration) -> Self {
        let target = record.target.get();
        Self {
            id: record.id,
            received: record.received,
            duration,
            client: record.client,
            protocol: record.protocol,
            status,
            route: record.route.get(),
            format: record.format.get(),
            cache: record.cache.get(),
            quota: record.quota.get(),
            policy: record.policy.get(),
            cause: record.cause.get(),
            changed: record.changed.get(),
            idempotency: record.idempotency.get(),
            rejection: record.rejection.get().copied(),
            key: record.key.get(),
            method: Text::new(record.method.as_str()),
            path: target.map_or_else(Text::default, |target| target.path),
            token: Text::new(record.grant.get().map_or("", |grant| &grant.token_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_as_small_as_is_said() {
        assert!(size_of::<Decision>() <= 256, "{}", size_of::<Decision>());
    }
}
