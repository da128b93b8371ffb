//! What is known of one request: filled on its way in, written down on its way out.
//!
//! The layers that learn something note it here, so that the one layer outside of all of them can
//! say what happened whoever answered. No note takes a lock, and no layer reads another's.

use std::{
    fmt,
    marker::PhantomData,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use http::{HeaderValue, Method, uri::PathAndQuery};
use tokio::time::Instant;

use crate::{
    api::routes::RouteId,
    cache::{cause::Cause, key::Digest, status::CacheStatus},
    tenants::snapshot::Grant,
    vocabulary::{CacheOutcome, Format, KeyOutcome, Limiter, Noted, PolicyName, Protocol},
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
    /// What is told of its canonical target.
    pub target: OnceLock<TargetNote>,
    /// The route, if it is listed.
    pub route: Note<RouteId>,
    /// The format that is answered.
    pub format: Note<Format>,
    /// What the caller's token gives.
    pub grant: OnceLock<Arc<Grant>>,
    /// What is left of the quota that it was charged to.
    pub quota: Note<Charged>,
    /// The policy of its token that refused it, or would have in shadow.
    pub policy: Note<PolicyName>,
    /// Its key in the cache.
    pub key: Note<Digest>,
    /// What the cache did.
    pub cache: Note<CacheStatus>,
    /// What made the cache's entry outdated, or keeps it from having one.
    pub cause: Note<Cause>,
    /// What had last changed what it shows, when there was no entry.
    pub changed: Note<Cause>,
    /// What came of its `Idempotency-Key`.
    pub idempotency: Note<KeyOutcome>,
    /// Why it was refused.
    pub rejection: OnceLock<&'static str>,
}

/// As much of a canonical target as is told of it.
///
/// It is a copy: the target itself is a part of what its connection read, and as long as one is kept,
/// hyper reads what comes next into new memory instead of the same.
pub struct TargetNote {
    /// The beginning of its path.
    pub path: Text<PATH_BYTES>,
    /// Its query, of which only the names may be shown.
    pub query: Option<Box<str>>,
}

/// The most that is told of a path, in bytes.
pub const PATH_BYTES: usize = 76;

/// The beginning of a text.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

/// A small value that is noted once or again.
pub struct Note<T>(AtomicU64, PhantomData<T>);

/// A quota after a request was charged to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Which one.
    pub limiter: Limiter,
    /// How many more may come at once.
    pub remaining: u32,
}

/// The name of a request: 16 hexadecimal digits, different for each of this process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 16]);

impl Record {
    /// The record of a request that has just arrived.
    pub fn new(id: RequestId, client: IpAddr, protocol: Protocol, method: Method) -> Arc<Self> {
        Arc::new(Self {
            id,
            started: Instant::now(),
            received: SystemTime::now(),
            client,
            protocol,
            method,
            target: OnceLock::new(),
            route: Note::default(),
            format: Note::default(),
            grant: OnceLock::new(),
            quota: Note::default(),
            policy: Note::default(),
            key: Note::default(),
            cache: Note::default(),
            cause: Note::default(),
            changed: Note::default(),
            idempotency: Note::default(),
            rejection: OnceLock::new(),
        })
    }

    /// The word for what the cache did.
    pub fn outcome(&self) -> CacheOutcome {
        self.cache.get().map_or(CacheOutcome::None, CacheStatus::outcome)
    }
}

impl TargetNote {
    /// What is told of a target.
    pub fn of(target: &PathAndQuery) -> Self {
        Self { path: Text::new(target.path()), query: target.query().map(Box::from) }
    }
}

impl fmt::Debug for TargetNote {
    /// Without the query, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl<const N: usize> Text<N> {
    /// As much of a text as there is room for.
    pub fn new(text: &str) -> Self {
        let length = text.len().min(N).min(usize::from(u8::MAX));
        let mut bytes = [0; N];
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self { length: u8::try_from(length).unwrap_or(u8::MAX), bytes }
    }

    /// What there is of it, up to the last whole character.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.length)];
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self { length: 0, bytes: [0; N] }
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl<T: Noted> Note<T> {
    /// Notes it, in place of what was noted before.
    pub fn set(&self, value: T) {
        // Relaxed: who reads it has been handed the request's reply.
        self.0.store(value.pack(), Ordering::Relaxed);
    }

    /// What was noted last.
    pub fn get(&self) -> Option<T> {
        T::unpack(self.0.load(Ordering::Relaxed))
    }
}

impl<T> Default for Note<T> {
    fn default() -> Self {
        Self(AtomicU64::new(0), PhantomData)
    }
}

impl<T: Noted + fmt::Debug> fmt::Debug for Note<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Noted for Charged {
    fn pack(self) -> u64 {
        u64::from(self.remaining) << 32 | self.limiter.pack()
    }

    fn unpack(packed: u64) -> Option<Self> {
        let limiter = Limiter::unpack(packed & u64::from(u32::MAX))?;
        Some(Self { limiter, remaining: u32::try_from(packed >> 32).ok()? })
    }
}

/// The bits of a request's number; what is left of 64 says elsewhere what a number is.
const ID_BITS: u32 = 62;

impl RequestId {
    /// The next one. `seed` tells processes apart.
    pub fn next(seed: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Multiplication by an odd number permutes, also what is left of it modulo a power of two:
        // no two counts share an id.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::numbered(seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// The one with a number, of which 62 bits count.
    pub fn numbered(number: u64) -> Self {
        let number = number & ((1 << ID_BITS) - 1);
        let mut text = [0; 16];
        for (i, digit) in text.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (60 - 4 * i) & 15) as usize];
        }
        Self(text)
    }

    /// The one that a text names.
    pub fn parse(text: &str) -> Option<Self> {
        let number = u64::from_str_radix(text, 16).ok()?;
        let id = Self::numbered(number);
        (id.as_str() == text).then_some(id)
    }

    /// Its number.
    pub fn number(self) -> u64 {
        u64::from_str_radix(self.as_str(), 16).unwrap_or_default()
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
    use crate::vocabulary::Format;

    #[test]
    fn no_two_requests_share_an_id() {
        let ids: std::collections::HashSet<_> =
            (0..10_000).map(|_| RequestId::next(7).as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn an_id_is_its_text_and_its_number() {
        let id = RequestId::next(u64::MAX);
        assert_eq!(RequestId::parse(id.as_str()), Some(id));
        assert_eq!(RequestId::numbered(id.number()), id);
        for other in ["", "1", "000000000000000G", "ffffffffffffffff", "+00000000000000f"] {
            assert_eq!(RequestId::parse(other), None, "{other}");
        }
    }

    #[test]
    fn of_a_target_the_beginning_of_its_path_and_its_query_are_told() {
        let long = format!("/{}", "a".repeat(PATH_BYTES));
        let note = TargetNote::of(&format!("{long}?key=planted").parse().expect("a target"));
        assert_eq!(note.path.as_str(), &long[..PATH_BYTES]);
        assert_eq!(note.query.as_deref(), Some("key=planted"));
        assert!(!format!("{note:?}").contains("planted"));
        assert_eq!(TargetNote::of(&PathAndQuery::from_static("/a")).query, None);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Text::<4>::new(text).as_str(), expected, "{text}");
        };
        check("", "");
        check("abcd", "abcd");
        check("abcde", "abcd");
        check("abcé", "abc");
    }

    #[test]
    fn a_note_is_what_was_set_last() {
        let note = Note::default();
        assert_eq!(note.get(), None);
        for format in [Format::Json, Format::Xml] {
            note.set(format);
            assert_eq!(note.get(), Some(format));
        }
        for remaining in [0, 7, u32::MAX] {
            let charged = Charged { limiter: Limiter::Reads, remaining };
            assert_eq!(Charged::unpack(charged.pack()), Some(charged));
        }
    }
}
