//! Failed tokens, counted by the address they came from, within bounded memory.
//!
//! The count is asked for failed tokens alone, so a valid one is never locked out by a neighbor
//! behind the same address. An address is a whole IPv6 /64, which one customer holds. When more
//! addresses fail than are remembered, the one that has been silent longest is forgotten.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use moka::{policy::EvictionPolicy, sync::Cache};

crate::section! {
    /// How many failed tokens are answered as such before an address has to wait.
    pub struct Config {
        /// Failed tokens a minute from one address (IPv4 /32, IPv6 /64); 0 counts none.
        pub failed_tokens_per_minute: u32 = 30,
        /// How many may come at once; at least 1.
        pub failed_tokens_burst: u32 = 20,
        /// How many addresses are remembered; at least 1.
        pub tracked_addresses: u32 = 65_536,
    }
}

/// The limiters of the addresses that sent failed tokens lately.
pub struct FailedTokens<C: Clock = DefaultClock> {
    quota: Option<Quota>,
    clock: C,
    addresses: Cache<IpAddr, Arc<Limiter<C>>>,
}

/// How long an address has to wait before its next failure is answered as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl FailedTokens {
    /// No failures yet.
    pub fn new(config: &Config) -> Self {
        Self::with_clock(config, DefaultClock::default())
    }
}

impl<C: Clock> FailedTokens<C>
where
    C: Clone + Send + Sync + 'static,
    C::Instant: Send + Sync,
{
    /// No failures yet, by another clock.
    pub fn with_clock(config: &Config, clock: C) -> Self {
        let burst = NonZeroU32::new(config.failed_tokens_burst).unwrap_or(NonZeroU32::MIN);
        let quota = NonZeroU32::new(config.failed_tokens_per_minute)
            .map(|rate| Quota::per_minute(rate).allow_burst(burst));
        // Once its burst is back, an address is as good as one that was never seen.
        let forgiven = quota.map_or(Duration::ZERO, |q| q.burst_size_replenished_in());
        let addresses = Cache::builder()
            .max_capacity(u64::from(config.tracked_addresses.max(1)))
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(forgiven.max(Duration::from_secs(60)))
            .build();
        Self { quota, clock, addresses }
    }

    /// Counts a failed token; an error once the address has sent too many.
    pub fn record(&self, address: IpAddr) -> Result<(), RetryAfter> {
        let Some(quota) = self.quota else { return Ok(()) };
        let limiter = self.addresses.get_with(network(address), || {
            Arc::new(RateLimiter::direct_with_clock(quota, self.clock.clone()))
        });
        limiter.check().map_err(|not_until| RetryAfter(not_until.wait_time_from(self.clock.now())))
    }
}

/// The address that stands for all that one customer is likely to hold.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limited(config: &Config) -> (FailedTokens<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (FailedTokens::with_clock(config, clock.clone()), clock)
    }

    fn two_a_minute() -> Config {
        Config { failed_tokens_per_minute: 2, failed_tokens_burst: 3, tracked_addresses: 4 }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let (failures, clock) = limited(&two_a_minute());
        let from = address("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(failures.record(from), Ok(()));
        }
        assert_eq!(failures.record(from), Err(RetryAfter(Duration::from_secs(30))));
        clock.advance(Duration::from_secs(30));
        assert_eq!(failures.record(from), Ok(()));
        assert!(failures.record(from).is_err());
        assert_eq!(failures.record(address("192.0.2.2")), Ok(()), "another address is not touched");
    }

    #[test]
    fn a_64_is_one_address_and_so_is_a_mapped_one() {
        for (one, other) in
            [("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"), ("192.0.2.1", "::ffff:192.0.2.1")]
        {
            let (failures, _) = limited(&two_a_minute());
            for _ in 0..3 {
                assert_eq!(failures.record(address(one)), Ok(()));
            }
            assert!(failures.record(address(other)).is_err(), "{one} and {other}");
        }
        assert_ne!(network(address("2001:db8::1")), network(address("2001:db8:0:1::1")));
    }

    #[test]
    fn memory_is_bounded() {
        let (failures, _) = limited(&two_a_minute());
        for last in 0..=255 {
            let _ = failures.record(IpAddr::from([192, 0, 2, last]));
        }
        failures.addresses.run_pending_tasks();
        assert!(failures.addresses.entry_count() <= 4);
    }

    #[test]
    fn zero_counts_nothing() {
        let (failures, _) = limited(&Config { failed_tokens_per_minute: 0, ..two_a_minute() });
        assert!((0..100).all(|_| failures.record(address("192.0.2.1")).is_ok()));
    }
}
