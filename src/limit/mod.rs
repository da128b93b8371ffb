//! What a tenant may ask for in a time: quotas, the limiters that hold them, and their headers.
//!
//! Each tenant's object has its own direct limiters (GCRA). A keyed limiter would have one quota
//! for everybody and would keep every key it ever saw. Pure: no I/O, and its clock is that
//! of `clock.rs`.

pub mod in_flight;

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use bytes::Bytes;
use governor::{
    Quota as Gcra, RateLimiter,
    clock::Clock as _,
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use http::HeaderValue;

use crate::clock::QuotaClock;

/// The quotas of one tenant; none means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Reads, whether answered from the cache or not.
    pub reads: Option<Quota>,
    /// Writes.
    pub writes: Option<Quota>,
    /// Reads that had to be fetched from the upstream.
    pub upstream_reads: Option<Quota>,
}

/// So many requests a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The sustained rate, in requests a second; at least one.
    pub per_second: u32,
    /// How many may come at once; at least one.
    pub burst: u32,
}

/// Why a text is no quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected RATE or RATE/BURST, in whole numbers from 1")]
pub struct BadQuota;

/// The limiters of one tenant.
#[derive(Debug)]
pub struct Limits {
    quotas: Quotas,
    reads: Option<Limit>,
    writes: Option<Limit>,
    upstream_reads: Option<Limit>,
}

/// One limiter with its quota.
pub struct Limit {
    limiter: RateLimiter<NotKeyed, InMemoryState, QuotaClock, StateInformationMiddleware>,
    quota: Quota,
    policy: HeaderValue,
    /// The `RateLimit` header of a request that finds it full, as it is for who stays far below the rate.
    first: HeaderValue,
    /// What any other begins with.
    beginning: Box<[u8]>,
    name: &'static str,
}

/// A request that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// How many more may come at once.
    pub remaining: u32,
}

/// A request that has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// For how long.
    pub retry_after: Duration,
}

/// What the headers are, and so no value is refused.
const MADE_OF: &str = "made of a literal and numbers";

/// The longest name of a limiter.
const LONGEST_NAME: usize = 32;

/// The longest `RateLimit` header: a name in quotes, and two numbers of at most ten digits.
const LONGEST_STATE: usize = LONGEST_NAME + "\"\";r=;t=".len() + 2 * 10;

impl FromStr for Quota {
    type Err = BadQuota;

    /// Reads `20/40`; `20` is short for `20/20`.
    fn from_str(text: &str) -> Result<Self, BadQuota> {
        let positive = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or(BadQuota);
        let (rate, burst) = text.split_once('/').unwrap_or((text, text));
        Ok(Self { per_second: positive(rate)?, burst: positive(burst)? })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.per_second, self.burst)
    }
}

impl Limits {
    /// Limiters that are full.
    pub fn new(quotas: Quotas) -> Self {
        Self {
            reads: quotas.reads.map(|q| Limit::new("reads", q)),
            writes: quotas.writes.map(|q| Limit::new("writes", q)),
            upstream_reads: quotas.upstream_reads.map(|q| Limit::new("upstream-reads", q)),
            quotas,
        }
    }

    /// What they allow.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The limiter of reads.
    pub fn reads(&self) -> Option<&Limit> {
        self.reads.as_ref()
    }

    /// The limiter of writes.
    pub fn writes(&self) -> Option<&Limit> {
        self.writes.as_ref()
    }

    /// The limiter of reads that go upstream.
    pub fn upstream_reads(&self) -> Option<&Limit> {
        self.upstream_reads.as_ref()
    }
}

impl Limit {
    /// A limiter that is full; `name` is its policy's name in the headers, of at most 32 bytes.
    pub fn new(name: &'static str, quota: Quota) -> Self {
        assert!(name.len() <= LONGEST_NAME, "the name of a limiter is too long: {name}");
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let gcra =
            Gcra::per_second(at_least_one(quota.per_second)).allow_burst(at_least_one(quota.burst));
        let window = quota.burst.div_ceil(quota.per_second.max(1)).max(1);
        let beginning: Box<[u8]> = format!("\"{name}\";r=").into_bytes().into();
        let policy = format!("\"{name}\";q={};w={window}", quota.burst).into_bytes();
        let (first, length) = state(&beginning, quota, quota.burst.saturating_sub(1));
        // In one buffer, because most replies have both.
        let both = Bytes::from([&*policy, &first[..length]].concat());
        let part = |range| HeaderValue::from_maybe_shared(both.slice(range)).expect(MADE_OF);
        Self {
            limiter: RateLimiter::direct_with_clock(gcra, QuotaClock).with_middleware(),
            quota,
            policy: part(0..policy.len()),
            first: part(policy.len()..both.len()),
            beginning,
            name,
        }
    }

    /// Counts one request.
    pub fn check(&self) -> Result<Allowed, Limited> {
        match self.limiter.check() {
            Ok(state) => Ok(Allowed { remaining: state.remaining_burst_capacity() }),
            Err(not_until) => {
                Err(Limited { retry_after: not_until.wait_time_from(QuotaClock.now()) })
            }
        }
    }

    /// The `RateLimit-Policy` header: the burst, and the seconds in which it comes back.
    pub fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    /// The `RateLimit` header for what is left.
    pub fn state(&self, remaining: u32) -> HeaderValue {
        if remaining == self.quota.burst.saturating_sub(1) {
            return self.first.clone();
        }
        let (text, length) = state(&self.beginning, self.quota, remaining);
        HeaderValue::from_bytes(&text[..length]).expect(MADE_OF)
    }
}

/// The text of a `RateLimit` header, and its length. Replies have one, so it is put together without the
/// formatting machinery.
fn state(beginning: &[u8], quota: Quota, remaining: u32) -> ([u8; LONGEST_STATE], usize) {
    let seconds = quota.burst.saturating_sub(remaining).div_ceil(quota.per_second.max(1));
    let (mut left, mut back) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (left, back) = (left.format(remaining).as_bytes(), back.format(seconds).as_bytes());
    let (mut text, mut length) = ([0; LONGEST_STATE], 0);
    for part in [beginning, left, b";t=", back] {
        text[length..][..part.len()].copy_from_slice(part);
        length += part.len();
    }
    (text, length)
}

impl Limited {
    /// The `Retry-After` header: whole seconds, never too few.
    pub fn header(self) -> HeaderValue {
        let seconds = self.retry_after.as_secs() + u64::from(self.retry_after.subsec_nanos() > 0);
        HeaderValue::from(seconds.max(1))
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("name", &self.name).field("quota", &self.quota).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limiter_fills_again() {
        let limit = Limit::new("reads", Quota { per_second: 10, burst: 1 });
        let mut waits = 0;
        assert_eq!(limit.check(), Ok(Allowed { remaining: 0 }));
        // Where the machine is slow, it may have filled before it is asked again.
        while let Err(Limited { retry_after }) = limit.check() {
            assert!(retry_after <= Duration::from_millis(100), "{retry_after:?}");
            assert!(waits < 10, "it does not fill");
            tokio::time::sleep(retry_after).await;
            waits += 1;
        }
    }

    #[test]
    fn the_longest_state_has_room() {
        let name = "a-name-of-thirty-two-letters-abc";
        let limit = Limit::new(name, Quota { per_second: 1, burst: u32::MAX });
        let most = u32::MAX;
        assert_eq!(limit.state(0), format!("\"{name}\";r=0;t={most}"));
        assert_eq!(limit.state(most), format!("\"{name}\";r={most};t=0"));
        assert_eq!(limit.state(1 << 31).len(), LONGEST_STATE);
    }

    #[test]
    fn the_first_of_a_burst_is_told_what_any_other_is() {
        for quota in [(50, 100), (1, 1), (7, u32::MAX)] {
            let (per_second, burst) = quota;
            let limit = Limit::new("reads", Quota { per_second, burst });
            let expected = format!("\"reads\";r={};t=1", burst - 1);
            assert_eq!(limit.state(burst - 1), expected, "{quota:?}");
            assert_eq!(
                limit.policy(),
                format!("\"reads\";q={burst};w={}", burst.div_ceil(per_second))
            );
        }
    }

    #[test]
    fn a_burst_passes_and_then_waits() {
        let limit = Limit::new("reads", Quota { per_second: 1, burst: 3 });
        let left: Vec<_> =
            (0..3).map(|_| limit.check().expect("within the burst").remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let limited = limit.check().expect_err("over the burst");
        assert!(limited.retry_after <= Duration::from_secs(1));
        assert_eq!(limited.header(), "1");
    }

    #[test]
    fn a_quota_is_read_as_it_is_written() {
        let quota = Quota { per_second: 20, burst: 40 };
        assert_eq!(quota.to_string().parse(), Ok(quota));
        assert_eq!("5".parse(), Ok(Quota { per_second: 5, burst: 5 }));
        for wrong in ["", "0", "5/0", "-1", "5/", "5/6/7", "1.5", "4294967296", "unlimited"] {
            assert_eq!(wrong.parse::<Quota>(), Err(BadQuota), "{wrong}");
        }
    }

    #[test]
    fn the_headers_are_structured_fields() {
        let limit = Limit::new("reads", Quota { per_second: 10, burst: 50 });
        assert_eq!(limit.policy(), "\"reads\";q=50;w=5");
        assert_eq!(limit.state(20), "\"reads\";r=20;t=3");
        assert_eq!(limit.state(0), "\"reads\";r=0;t=5");
        assert_eq!(limit.state(50), "\"reads\";r=50;t=0");
    }

    #[test]
    fn what_has_no_quota_has_no_limiter() {
        let limits = Limits::new(Quotas::default());
        assert!(limits.reads().is_none() && limits.writes().is_none());
    }
}
