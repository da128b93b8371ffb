//! An upstream that goes down and comes back under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::harness::{Speaks, World, json, status};

/// Readers that ask for one of these in turn.
const ASKED: [&str; 4] = [
    "/virtual_machines.json",
    "/virtual_machines/1.json",
    "/virtual_machines/2.json",
    "/settings/networks.json",
];

const READERS: usize = 8;

/// What is kept is soon no longer fresh, and a second is a fifth of one.
const SHORT: &str = r#"
    cache = { inventory_lifetime = "20ms", retry_interval = "200ms" }
    upstreams.main = { breaker_failures = 3, breaker_interval = "200ms" }
"#;

/// What the readers saw in one stretch of time.
#[derive(Default)]
struct Seen {
    reads: AtomicUsize,
    stale: AtomicUsize,
    failed: AtomicUsize,
}

impl Seen {
    fn take(&self) -> [usize; 3] {
        [&self.reads, &self.stale, &self.failed].map(|counter| counter.swap(0, SeqCst))
    }
}

async fn read(w: Arc<World>, seen: Arc<Seen>, until: Instant) {
    let mut client = w.connect(Speaks::Http1).await;
    for target in ASKED.iter().cycle() {
        if Instant::now() >= until {
            return;
        }
        let answer = client.send(w.request("GET", target, "a")).await.expect("an answer");
        seen.reads.fetch_add(1, SeqCst);
        seen.failed.fetch_add(usize::from(answer.status != 200), SeqCst);
        let stale = answer.cache() == "hit:stale-if-error";
        seen.stale.fetch_add(usize::from(stale), SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_while_the_upstream_is_down_and_it_is_hardly_asked() {
    let w = Arc::new(World::with(SHORT).await);
    let down = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    w.origin.otherwise({
        let (down, asked) = (Arc::clone(&down), Arc::clone(&asked));
        move |_| {
            asked.fetch_add(1, SeqCst);
            if down.load(SeqCst) { status(503) } else { json("[]") }
        }
    });
    for target in ASKED {
        w.get(target).as_("a").await;
    }
    let seen = Arc::new(Seen::default());
    let until = Instant::now() + Duration::from_millis(2600);
    let readers: Vec<_> = (0..READERS)
        .map(|_| tokio::spawn(read(Arc::clone(&w), Arc::clone(&seen), until)))
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let [reads, stale, failed] = seen.take();
    assert!(reads > 0 && stale == 0 && failed == 0, "up: {reads}, {stale}, {failed}");

    down.store(true, SeqCst);
    asked.store(0, SeqCst);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let [reads, stale, failed] = seen.take();
    let probes = asked.load(SeqCst);
    assert_eq!(failed, 0, "of {reads} reads while it was down");
    assert!(stale > reads / 2, "{stale} of {reads}");
    // Those that were under way or opened the breaker, and one in each interval.
    let most = ASKED.len() + 3 + 1200 / 200 + 1;
    assert!((3..=most).contains(&probes), "{probes} requests, {most} at most");

    down.store(false, SeqCst);
    tokio::time::sleep(Duration::from_millis(500)).await;
    seen.take();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let [reads, stale, failed] = seen.take();
    assert!(reads > 0 && stale == 0 && failed == 0, "back: {reads}, {stale}, {failed}");
    for reader in readers {
        reader.await.expect("no panic");
    }
}
