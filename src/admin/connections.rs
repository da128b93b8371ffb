//! The connections of the admin listener that are open, and which of them goes when there are too many.
//!
//! A stranger may open any number of them, and must not be able to cut off what an operator has begun. So
//! one on which nobody has presented a good token goes first; of those, one of the address that has most
//! of them, and of these the oldest: a probe takes a millisecond, so the oldest is the one that does
//! nothing. Where all have presented one, the oldest goes, so that a probe still gets in.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::{AbortHandle, JoinSet};

use crate::auth::failures::network;

/// The connections that are open.
#[derive(Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    oldest_first: Vec<Open>,
}

/// Whether somebody has presented a good token on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Admitted(Arc<AtomicBool>);

struct Open {
    task: AbortHandle,
    /// All that one customer is likely to hold.
    network: IpAddr,
    admitted: Admitted,
}

impl Admitted {
    /// Somebody has.
    pub(super) fn set(&self) {
        // Relaxed: nothing else is read for it.
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Connections {
    /// Cuts off as many as are too many for one more.
    pub(super) fn make_room(&mut self, max: usize) {
        if self.oldest_first.len() < max {
            return;
        }
        self.oldest_first.retain(|open| !open.task.is_finished());
        while self.oldest_first.len() >= max
            && let Some(place) = self.first_to_go()
        {
            self.oldest_first.remove(place).task.abort();
        }
    }

    /// Serves one more, which comes from an address.
    pub(super) fn start(
        &mut self,
        from: IpAddr,
        admitted: Admitted,
        connection: impl Future + Send + 'static,
    ) {
        let task = self.tasks.spawn(async {
            connection.await;
        });
        self.oldest_first.push(Open { task, network: network(from), admitted });
    }

    /// Waits until one has ended; none if none is open.
    pub(super) async fn ended(&mut self) -> Option<()> {
        self.tasks.join_next().await.map(drop)
    }

    fn first_to_go(&self) -> Option<usize> {
        let mut strangers: HashMap<IpAddr, usize> = HashMap::new();
        let unknown = || self.oldest_first.iter().enumerate().filter(|(_, o)| !o.admitted.is_set());
        for (_, open) in unknown() {
            *strangers.entry(open.network).or_default() += 1;
        }
        let most = strangers.values().max();
        let place = unknown().find(|(_, open)| strangers.get(&open.network) == most);
        place.map(|(place, _)| place).or((!self.oldest_first.is_empty()).then_some(0))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Opens connections from addresses, of which those with a star have been let in; then makes room in
    /// so many, and says which are left.
    async fn left(max: usize, open: &str) -> String {
        let mut connections = Connections::default();
        let names: Vec<&str> = open.split(' ').collect();
        for name in &names {
            let admitted = Admitted::default();
            if name.ends_with('*') {
                admitted.set();
            }
            let host = name.as_bytes()[0];
            connections.start([192, 0, 2, host].into(), admitted, pending::<()>());
        }
        let all: Vec<AbortHandle> =
            connections.oldest_first.iter().map(|open| open.task.clone()).collect();
        connections.make_room(max);
        let cut_off = all.len() - connections.oldest_first.len();
        for _ in 0..cut_off {
            connections.ended().await.expect("one was cut off");
        }
        let left = names.iter().zip(all).filter(|(_, task)| !task.is_finished());
        left.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn who_was_let_in_is_cut_off_last() {
        assert_eq!(left(4, "a* b c d").await, "a* c d");
        assert_eq!(left(4, "a* b* c* d").await, "a* b* c*");
        assert_eq!(left(4, "a* b* c* d*").await, "b* c* d*");
        assert_eq!(left(5, "a* b c d").await, "a* b c d");
        assert_eq!(left(2, "a* b c d*").await, "d*");
    }

    #[tokio::test]
    async fn an_address_that_has_many_gives_way_to_one_that_has_few() {
        assert_eq!(left(4, "a b b b").await, "a b b");
        assert_eq!(left(3, "a b a b").await, "a b");
        assert_eq!(left(4, "b* b* a c").await, "b* b* c");
    }

    #[tokio::test]
    async fn what_has_ended_takes_no_room() {
        let mut connections = Connections::default();
        let from = IpAddr::from([192, 0, 2, 1]);
        connections.start(from, Admitted::default(), pending::<()>());
        connections.start(from, Admitted::default(), async {});
        connections.ended().await.expect("the second ends");
        connections.make_room(2);
        assert_eq!(connections.oldest_first.len(), 1);
        assert!(!connections.oldest_first[0].task.is_finished());
    }
}
