//! What is known of one request: filled on its way in, written down on its way out.
//!
//! The layers that learn something note it here, so that the one layer outside of all of them can
//! say what happened whoever answered. A note costs an uncontended lock; no layer reads another's.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use http::{HeaderValue, Method, uri::PathAndQuery};
use tokio::time::Instant;

use crate::{
    api::routes::RouteId,
    tenants::snapshot::Grant,
    vocabulary::{CacheOutcome, Format, Protocol},
};

/// One request.
#[derive(Debug)]
pub struct Record {
    /// Its name in logs and replies.
    pub id: RequestId,
    /// When its head had been read.
    pub started: Instant,
    /// The same moment by the calendar.
    pub received: SystemTime,
    /// Who sent it.
    pub client: IpAddr,
    /// How it came.
    pub protocol: Protocol,
    /// Its method as it was sent.
    pub method: Method,
    notes: Mutex<Notes>,
}

/// What the layers found out.
#[derive(Debug)]
pub struct Notes {
    /// The canonical target; only the names of its query may be shown.
    pub target: Option<PathAndQuery>,
    /// The route, if it is listed.
    pub route: Option<RouteId>,
    /// The format that is answered.
    pub format: Option<Format>,
    /// What the caller's token gives.
    pub grant: Option<Arc<Grant>>,
    /// What the cache did.
    pub cache: CacheOutcome,
    /// Why it was refused.
    pub rejection: Option<&'static str>,
}

/// The name of a request: 16 hexadecimal digits, different for each of this process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 16]);

impl Record {
    /// The record of a request that has just arrived.
    pub fn new(id: RequestId, client: IpAddr, protocol: Protocol, method: Method) -> Arc<Self> {
        let notes = Notes {
            target: None,
            route: None,
            format: None,
            grant: None,
            cache: CacheOutcome::None,
            rejection: None,
        };
        let notes = Mutex::new(notes);
        let (started, received) = (Instant::now(), SystemTime::now());
        Arc::new(Self { id, started, received, client, protocol, method, notes })
    }

    /// What is known by now.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestId {
    /// The next one. `seed` tells processes apart.
    pub fn next(seed: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Multiplication by an odd number permutes: no two counts share an id.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mixed = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut text = [0; 16];
        for (i, digit) in text.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(mixed >> (60 - 4 * i) & 15) as usize];
        }
        Self(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As a header's value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).expect("hexadecimal digits are a header value")
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_share_an_id() {
        let ids: std::collections::HashSet<_> =
            (0..10_000).map(|_| RequestId::next(7).as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
