//! An entry: one representation as it was shown, and the rules for what may become one.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
};

use super::{
    coherence::{Stamp, View},
    key::Digest,
    lines::Lines,
    partition::Room,
    validator::Validator,
};
use crate::{
    api::format,
    clock::millis,
    fields,
    settings::ByteSize,
    vocabulary::{Format, NotStored, RouteClass},
};

crate::section! {
    /// How long what a route class shows may be kept, and how much of it.
    pub struct Config {
        /// The memory that all entries together may take.
        pub capacity: ByteSize = ByteSize::mib(256),
        /// The share of it that one credential's entries may take, in percent; what comes on top is not
        /// kept, so that nobody can crowd the others out.
        pub max_partition_percent: u32 = 50,
        /// The largest body that is kept; larger ones are passed through.
        pub max_entry: ByteSize = ByteSize::mib(4),
        /// Lifetime of the class `static`.
        pub static_lifetime: Duration = Duration::from_secs(3600),
        /// Lifetime of the class `inventory`.
        pub inventory_lifetime: Duration = Duration::from_secs(60),
        /// Lifetime of the class `volatile`.
        pub volatile_lifetime: Duration = Duration::from_secs(10),
        /// How long a 404 is kept, if its class is not kept shorter; 0 keeps none.
        pub not_found_lifetime: Duration = Duration::from_secs(10),
        /// Whether what is kept is asked about by the upstream's own entity tag when it is fetched
        /// anew, so that what has not changed does not travel again.
        pub revalidate: bool = true,
        /// How long what a write touched is unsettled after an outcome that nobody knows; and after a
        /// 201 or a body that says `locked`, where transactions cannot be watched.
        pub settle_window: Duration = Duration::from_secs(120),
        /// How long unsettled reads are fresh; 0 keeps none. Beyond that they are shown only where
        /// the upstream cannot be asked.
        pub unsettled_lifetime: Duration = Duration::from_secs(1),
        /// How long beyond its lifetime, or a soft purge, a read may still be shown while the upstream
        /// cannot be asked for it, if nothing has touched it; 0 shows none.
        pub stale_if_error: Duration = Duration::from_secs(600),
        /// How long beyond its lifetime, or a soft purge, a read may still be shown while it is
        /// fetched anew, if nothing has touched it; 0 shows none.
        pub stale_while_revalidate: Duration = Duration::ZERO,
        /// How long a read that could not be fetched is not tried again while there is an older one
        /// to show; longer, up to a minute, if the upstream wishes so with `Retry-After`.
        pub retry_interval: Duration = Duration::from_secs(1),
        /// How many pairs of a number and an identifier are remembered of each upstream.
        pub max_names: usize = 100_000,
        /// How long it is remembered that a reply could not be kept, so that its readers do not
        /// queue for each other.
        pub uncacheable_lifetime: Duration = Duration::from_secs(10),
        /// How many fetches of one key may run at once, when writes keep overtaking them.
        pub max_fetches_per_key: usize = 4,
    }
}

/// One representation, complete.
#[derive(Clone, Debug)]
pub struct Representation {
    /// The status; entries that are kept have 200, or 404.
    pub status: StatusCode,
    /// The headers as they are shown, without those that depend on the moment.
    pub headers: Lines,
    /// The body, masked.
    pub body: Bytes,
    /// By what the upstream can be asked whether it still shows this. Boxed, because no hit asks.
    pub validator: Option<Box<Validator>>,
}

/// A representation that is kept.
#[derive(Debug)]
pub struct Entry {
    /// What is shown.
    pub representation: Representation,
    /// What it depends on, for whoever finds it by no request.
    pub view: View,
    /// The epochs when its fetch began.
    pub stamp: Stamp,
    /// When the upstream was asked for it, in milliseconds of the process.
    pub asked_at: u64,
    /// For how long it may be shown stale once it is no longer fresh, in milliseconds.
    pub stale_for: u64,
    /// Until when it is fresh, in milliseconds of the process. A soft purge lowers it. Nothing else
    /// hangs on it, so no order is asked for, and a hit reads it as any number.
    fresh_until: AtomicU64,
    /// Nothing was under way that may change what it shows.
    pub settled: bool,
    /// It was derived from the other format.
    pub derived: bool,
    /// The digest of the key that it is kept under, so that no hit has to make it; none before that.
    pub digest: Option<Digest>,
    /// Until when it is not tried to fetch it anew, because that has just failed.
    retry_at: AtomicU64,
    /// Given back with it.
    _room: Option<Room>,
}

/// What the rules ask about a reply.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The class of its route, which is one that is kept.
    pub class: RouteClass,
    /// Its status.
    pub status: StatusCode,
    /// Its headers as the upstream sent them.
    pub headers: &'a HeaderMap,
    /// The format that was asked for; none for what was asked for as it is.
    pub format: Option<Format>,
}

/// How long something is of use, in the order of its decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// For so long it is fresh.
    pub fresh: Duration,
    /// So much longer it may be shown where there is nothing better.
    pub stale: Duration,
}

impl Config {
    /// The bytes that the entries of one partition may take.
    pub fn share(&self) -> u64 {
        let percent = u64::from(self.max_partition_percent.min(100));
        (self.capacity.0 / 100).saturating_mul(percent)
    }

    /// The lifetime of a class; none for what is not kept.
    pub fn lifetime(&self, class: RouteClass) -> Option<Duration> {
        let lifetime = match class {
            RouteClass::Static => self.static_lifetime,
            RouteClass::Inventory => self.inventory_lifetime,
            RouteClass::Volatile => self.volatile_lifetime,
            RouteClass::Never => return None,
        };
        (!lifetime.is_zero()).then_some(lifetime)
    }

    /// How long a reply of a class is kept; none for what is not kept.
    pub fn lifetime_of(&self, class: RouteClass, status: StatusCode) -> Option<Lifetime> {
        let fresh = self.lifetime(class)?;
        match status {
            StatusCode::OK => {
                let stale = self.stale_if_error.max(self.stale_while_revalidate);
                Some(Lifetime { fresh, stale })
            }
            // What is not there may come to be at any time: it is never shown beyond its lifetime.
            StatusCode::NOT_FOUND if !self.not_found_lifetime.is_zero() => {
                let fresh = fresh.min(self.not_found_lifetime);
                Some(Lifetime { fresh, stale: Duration::ZERO })
            }
            _ => None,
        }
    }
}

impl Candidate<'_> {
    /// Why the reply may not be kept, judged by its head.
    pub fn refusal(&self, config: &Config) -> Option<NotStored> {
        if config.lifetime_of(self.class, self.status).is_none() {
            return Some(NotStored::Status);
        }
        let has = |name, word: &str| {
            let values = self.headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
            values.flat_map(|v| v.split(',')).any(|d| d.trim().eq_ignore_ascii_case(word))
        };
        if has(CACHE_CONTROL, "no-store") || has(VARY, "*") {
            return Some(NotStored::NoStore);
        }
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        match self.format {
            Some(wanted) if content_type.and_then(format::of_media_type) != Some(wanted) => {
                Some(NotStored::ContentType)
            }
            _ => None,
        }
    }
}

impl Representation {
    /// One that holds on to nothing that was read (see [`Lines::of`]) but its body.
    pub fn new(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Self {
        Self { status, headers: Lines::of(headers), body, validator: None }
    }

    /// How much memory it takes.
    pub fn weight(&self) -> usize {
        let validator = self.validator.as_deref().map_or(0, Validator::weight);
        size_of::<Self>() + self.body.len() + self.headers.weight() + validator
    }

    /// Whether the client's conditional request already has it.
    pub fn is_known_to(&self, request: &HeaderMap) -> bool {
        let mut lines = fields::all(request, IF_NONE_MATCH).peekable();
        // Most requests have no condition.
        if lines.peek().is_none() || self.status != StatusCode::OK {
            return false;
        }
        let Some(own) = self.headers.get(&ETAG) else { return false };
        let tags = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        // Weak comparison (RFC 9110, 13.1.2): a `W/` in front says nothing here.
        let is_own = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == own;
        tags.map(str::trim).any(is_own)
    }
}

impl Entry {
    /// One that shows the same in the other format, for as long.
    pub fn derived(&self, representation: Representation) -> Self {
        let (stamp, fresh_until) = (self.stamp.clone(), self.fresh_until());
        let derived =
            Self::new(representation, self.view, stamp, self.asked_at, fresh_until, self.stale_for);
        Self { settled: self.settled, derived: true, ..derived }
    }

    /// An entry of something settled, of which no fetch has failed.
    pub fn new(
        representation: Representation,
        view: View,
        stamp: Stamp,
        asked_at: u64,
        fresh_until: u64,
        stale_for: u64,
    ) -> Self {
        let (fresh_until, retry_at) = (AtomicU64::new(fresh_until), AtomicU64::new(0));
        Self {
            representation,
            view,
            stamp,
            asked_at,
            stale_for,
            fresh_until,
            settled: true,
            derived: false,
            digest: None,
            retry_at,
            _room: None,
        }
    }

    /// It takes this room for as long as it is there.
    #[must_use]
    pub fn taking(self, room: Room) -> Self {
        Self { _room: Some(room), ..self }
    }

    /// It is fresh no longer than until then, and usable as if its lifetime had ended there. Says
    /// whether it would have been fresh for longer.
    pub fn soften(&self, at: u64) -> bool {
        self.fresh_until.fetch_min(at, Ordering::Relaxed) > at
    }

    /// Whether it may be shown while it is fetched anew: nothing was under way that may have changed
    /// it since. Whether it was touched is the partition's to say.
    pub fn serves_meanwhile(&self, now: u64, config: &Config) -> bool {
        self.settled && self.is_usable_for(config.stale_while_revalidate, now)
    }

    /// Whether it may be shown where the upstream cannot say what is newer. Whether it was touched is
    /// the partition's to say.
    pub fn serves_if_error(&self, now: u64, config: &Config) -> bool {
        self.is_usable_for(config.stale_if_error, now)
    }

    /// To fetch it anew has failed; it is not tried again until then.
    pub fn rest_until(&self, at: u64) {
        self.retry_at.store(at, Ordering::Relaxed);
    }

    /// Whether to fetch it anew has just failed.
    pub fn rests(&self, now: u64) -> bool {
        now < self.retry_at.load(Ordering::Relaxed)
    }

    /// For how many milliseconds it has not been fresh.
    pub fn overdue(&self, now: u64) -> u64 {
        now.saturating_sub(self.fresh_until())
    }

    /// The same in seconds.
    pub fn staleness(&self, now: u64) -> u64 {
        self.overdue(now) / 1000
    }

    /// Seconds since it was asked for.
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.asked_at) / 1000
    }

    /// Whether it may be shown: young enough. Whether it was touched is the partition's to say.
    pub fn is_fresh(&self, now: u64) -> bool {
        now < self.fresh_until()
    }

    /// Until when it is fresh, in milliseconds of the process.
    pub fn fresh_until(&self) -> u64 {
        self.fresh_until.load(Ordering::Relaxed)
    }

    fn is_usable_for(&self, bound: Duration, now: u64) -> bool {
        now < self.usable_until() && self.overdue(now) < millis(bound)
    }

    /// Until when it may be shown, fresh or stale.
    fn usable_until(&self) -> u64 {
        self.fresh_until().saturating_add(self.stale_for)
    }
}

/// What a lookup in the store finds.
#[derive(Debug)]
pub enum Stored {
    /// A representation.
    Entry(Entry),
    /// The last reply could not be kept; for so long its readers do not wait for each other.
    Uncacheable {
        /// In milliseconds.
        lifetime: u64,
    },
}

impl Stored {
    /// How much memory it takes, without its key.
    pub fn weight(&self) -> usize {
        match self {
            Self::Entry(entry) => size_of::<Self>() + entry.representation.weight(),
            Self::Uncacheable { .. } => size_of::<Self>(),
        }
    }

    /// How long it is of use, in milliseconds from when it was made.
    pub fn lifetime(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.usable_until().saturating_sub(entry.asked_at),
            Self::Uncacheable { lifetime } => *lifetime,
        }
    }
}

/// The strong entity tag of a body.
pub fn strong_tag(body: &[u8]) -> HeaderValue {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    // 128 bits: more than enough that two versions of one resource never share a tag.
    let text = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]));
    HeaderValue::from_str(&text).expect("base64 is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (k.parse().expect("a name"), v.parse().expect("a value")))
            .collect()
    }

    fn check(status: u16, pairs: &[(&'static str, &str)], expected: Option<NotStored>) {
        let (headers, format) = (headers(pairs), Some(Format::Json));
        let status = StatusCode::from_u16(status).expect("a status");
        let class = RouteClass::Inventory;
        let candidate = Candidate { class, status, headers: &headers, format };
        assert_eq!(candidate.refusal(&Config::default()), expected, "{status} {pairs:?}");
    }

    #[test]
    fn only_a_clean_200_or_404_of_the_right_type_is_kept() {
        let json = ("content-type", "application/json; charset=utf-8");
        check(200, &[json], None);
        check(200, &[json, ("cache-control", "max-age=0, private, must-revalidate")], None);
        check(404, &[json], None);
        check(404, &[("content-type", "text/html")], Some(NotStored::ContentType));
        check(422, &[json], Some(NotStored::Status));
        check(200, &[json, ("cache-control", "private, No-Store")], Some(NotStored::NoStore));
        check(200, &[json, ("vary", "*")], Some(NotStored::NoStore));
        check(200, &[("content-type", "text/html")], Some(NotStored::ContentType));
        check(200, &[("content-type", "application/xml")], Some(NotStored::ContentType));
        check(200, &[], Some(NotStored::ContentType));
    }

    #[test]
    fn a_404_is_kept_within_both_bounds_and_never_beyond() {
        let lifetime = |not_found: u64, class| {
            let not_found_lifetime = Duration::from_secs(not_found);
            let config = Config { not_found_lifetime, ..Config::default() };
            config.lifetime_of(class, StatusCode::NOT_FOUND)
        };
        let for_seconds =
            |s| Some(Lifetime { fresh: Duration::from_secs(s), stale: Duration::ZERO });
        assert_eq!(lifetime(30, RouteClass::Inventory), for_seconds(30));
        assert_eq!(lifetime(30, RouteClass::Volatile), for_seconds(10));
        assert_eq!(lifetime(0, RouteClass::Inventory), None);
        assert_eq!(lifetime(30, RouteClass::Never), None);
    }

    #[test]
    fn a_known_tag_needs_no_body() {
        let body = Bytes::from_static(b"[]");
        let tag = strong_tag(&body);
        let tag = tag.to_str().expect("text").to_owned();
        let shown = headers(&[("etag", &tag)]);
        let mut it = Representation::new(StatusCode::OK, &shown, body);
        let asks = |v: &str| it.is_known_to(&headers(&[("if-none-match", v)]));
        assert!(asks(&tag) && asks("*") && asks(&format!("\"x\", W/{tag}")));
        assert!(!asks("\"x\"") && !it.is_known_to(&HeaderMap::new()));
        let lines = [("if-none-match", "\"x\""), ("if-none-match", &tag)];
        assert!(it.is_known_to(&headers(&lines)), "whichever line names it");
        // A condition is about what is there (RFC 9110, 13.2.1).
        it.status = StatusCode::NOT_FOUND;
        assert!(!it.is_known_to(&headers(&[("if-none-match", &tag)])));
        it.status = StatusCode::OK;
        it.headers = Lines::default();
        assert!(!it.is_known_to(&headers(&[("if-none-match", "*")])), "what has no tag is shown");
    }

    #[test]
    fn a_softened_entry_is_usable_as_long_as_one_whose_lifetime_has_ended() {
        let shown = Representation::new(StatusCode::OK, &HeaderMap::new(), Bytes::new());
        let entry = Entry::new(shown, View::default(), Stamp::empty(), 100, 5000, 300);
        let state = |now| {
            (
                entry.is_fresh(now),
                entry.serves_if_error(now, &Config::default()),
                entry.overdue(now),
            )
        };
        assert_eq!([state(1000), state(5200)], [(true, true, 0), (false, true, 200)]);
        assert!(entry.soften(1000));
        let [at_once, meanwhile, over] = [1000, 1299, 1300].map(state);
        assert_eq!(at_once, (false, true, 0));
        assert_eq!((meanwhile, over), ((false, true, 299), (false, false, 300)));
        assert!(!entry.soften(2000), "it is not made fresh again");
        assert_eq!(state(1299), (false, true, 299));
    }
}
