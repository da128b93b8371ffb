//! Which connections are let in: so many in all, and so many from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use crate::vocabulary::ConnectionEnd;

/// The counts of connections that are open.
///
/// The lock is taken once when a connection is accepted and once when it is gone.
#[derive(Debug)]
pub(super) struct Admission {
    most: usize,
    most_from_address: usize,
    open: Mutex<Open>,
}

/// A place among the open connections, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    source: IpAddr,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Counts of zero are removed, so there are never more entries than connections. Strangers
    /// choose the keys, hence std's keyed hasher.
    from: HashMap<IpAddr, usize>,
}

impl Admission {
    pub(super) fn new(most: usize, most_from_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_from_address, open: Mutex::default() })
    }

    /// A place for a connection, or why there is none.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Admitted, ConnectionEnd> {
        let source = source(peer.ip());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.most {
            return Err(ConnectionEnd::TooMany);
        }
        if open.from.get(&source).is_some_and(|count| *count >= self.most_from_address) {
            return Err(ConnectionEnd::TooManyFromAddress);
        }
        open.all += 1;
        *open.from.entry(source).or_default() += 1;
        Ok(Admitted { admission: Arc::clone(self), source })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(count) = open.from.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                open.from.remove(&self.source);
            }
        }
    }
}

/// What counts as one source: an IPv4 address, or the /64 that one IPv6 subscriber has.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().expect("an address"), 1)
    }

    fn refusal(admission: &Arc<Admission>, address: &str) -> Option<ConnectionEnd> {
        admission.admit(peer(address)).err()
    }

    #[test]
    fn the_cap_of_all_counts_what_is_open() {
        let admission = Admission::new(2, 9);
        let first = admission.admit(peer("192.0.2.1"));
        let _second = admission.admit(peer("192.0.2.2"));
        assert_eq!(refusal(&admission, "192.0.2.3"), Some(ConnectionEnd::TooMany));
        drop(first);
        assert_eq!(refusal(&admission, "192.0.2.3"), None);
    }

    #[test]
    fn an_address_is_a_v4_host_or_a_v6_network() {
        let admission = Admission::new(9, 1);
        let _v4 = admission.admit(peer("192.0.2.1"));
        let _v6 = admission.admit(peer("2001:db8::1"));
        let too_many = Some(ConnectionEnd::TooManyFromAddress);
        assert_eq!(refusal(&admission, "::ffff:192.0.2.1"), too_many);
        assert_eq!(refusal(&admission, "2001:db8::ffff:1"), too_many);
        assert_eq!(refusal(&admission, "192.0.2.2"), None);
        assert_eq!(refusal(&admission, "2001:db8:0:1::1"), None);
    }

    #[test]
    fn nothing_is_remembered_of_who_is_gone() {
        let admission = Admission::new(9, 9);
        drop((admission.admit(peer("192.0.2.1")), admission.admit(peer("192.0.2.1"))));
        let open = admission.open.lock().expect("no panic before");
        assert_eq!((open.all, open.from.len()), (0, 0));
    }
}
