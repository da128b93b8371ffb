//! Claims, however they end, on a real store.

use http::{HeaderMap, StatusCode};

use super::*;
use crate::{
    idempotency::{Asked, Key, State, Verdict},
    tenants::fixture::Fixture,
};

struct Kept {
    fixture: Fixture,
    keeper: Arc<Keeper>,
}

impl Kept {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        fixture.add("acme", "a key that is long enough");
        let keeper = keeper(&fixture, &fixture.config());
        Self { fixture, keeper }
    }

    fn slot(&self) -> Slot {
        let key = Key::parse([&b"key"[..]].into_iter()).expect("a key");
        self.keeper.keys.slot(1, 1, &key)
    }

    async fn ask(&self) -> Found {
        ask(&self.keeper, self.slot()).await.expect("the store is there")
    }

    async fn claim(&self) -> Claim {
        let Found::Claimed(claim) = self.ask().await else { panic!("the key is taken") };
        claim
    }

    async fn entry(&self) -> Entry {
        let Found::Known(entry) = self.ask().await else { panic!("the key is free") };
        entry
    }
}

fn keeper(fixture: &Fixture, store: &tenants::Config) -> Arc<Keeper> {
    let (config, tasks) = (Config::default(), TaskTracker::new());
    let metrics = Arc::new(Metrics::new());
    let search = Arc::new(Nobody);
    Keeper::start(&config, store, &fixture.keyring, search, tasks, metrics).expect("a thread")
}

/// Looks for nothing.
struct Nobody;

impl Search for Nobody {
    fn search(&self, _: Lost, _: lost::Tell) {}
}

async fn ask(keeper: &Arc<Keeper>, slot: Slot) -> Result<Found, Away> {
    keeper.claim(slot, print(keeper), 5).await
}

fn print(keeper: &Keeper) -> Mac {
    keeper.keys.print(&Asked {
        method: "POST",
        target: "/a",
        content_type: b"",
        view: "hidden",
        body: b"{}",
    })
}

#[tokio::test]
async fn what_was_not_sent_frees_its_key_when_it_is_dropped() {
    let kept = Kept::new();
    drop(kept.claim().await);
    drop(kept.claim().await);
}

#[tokio::test]
async fn what_was_sent_and_is_dropped_is_unknown() {
    let kept = Kept::new();
    let mut claim = kept.claim().await;
    claim.sent(1);
    assert_eq!(kept.entry().await.judge(&print(&kept.keeper), now()), Verdict::Wait);
    drop(claim);
    let entry = kept.entry().await;
    assert_eq!((entry.state, entry.first), (State::Unknown, 5));
}

#[tokio::test]
async fn whoever_waits_is_woken_by_the_end_and_finds_the_answer() {
    let kept = Kept::new();
    let mut claim = kept.claim().await;
    claim.sent(1);
    let mut live = kept.keeper.under_way(&kept.slot()).expect("it is under way");
    let (status, headers) = (StatusCode::CREATED, HeaderMap::new());
    let reply = Reply { status, headers, body: "made".into() };
    let end = claim.sealed(&reply);
    let waiting = tokio::spawn(async move { live.changed().await.is_err() });
    claim.end(end).await;
    assert!(waiting.await.expect("no panic"));
    assert!(kept.keeper.under_way(&kept.slot()).is_none());
    let entry = kept.entry().await;
    assert_eq!(entry.judge(&print(&kept.keeper), now()), Verdict::Replay);
    let sealed = entry.reply.expect("a reply");
    assert_eq!(kept.keeper.keys.open(&kept.slot(), entry.row, &sealed), Some(reply));
}

#[tokio::test]
async fn a_client_that_leaves_while_the_store_is_asked_takes_no_key() {
    let kept = Kept::new();
    let asked = ask(&kept.keeper, kept.slot());
    // It is polled once, so that the question is on its way.
    assert!(timeout(Duration::ZERO, asked).await.is_err());
    // What was claimed for nobody is let go of, at once or a moment later.
    while let Found::Known(_) = kept.ask().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_said_to_be() {
    let kept = Kept::new();
    let nowhere = kept.fixture.folder.path().join("no/such/folder/store.db");
    let store = tenants::Config { store: nowhere.into(), ..tenants::Config::default() };
    let keeper = keeper(&kept.fixture, &store);
    for _ in 0..2 {
        assert!(ask(&keeper, kept.slot()).await.is_err());
    }
}

#[tokio::test]
async fn an_end_that_nobody_waits_for_is_written_once_the_store_takes_it() {
    let mut kept = Kept::new();
    let mut claim = kept.claim().await;
    claim.sent(1);
    let away = "CREATE TRIGGER away BEFORE UPDATE ON idempotency
                BEGIN SELECT RAISE(ABORT, 'no end is written'); END";
    kept.fixture.store.script(away);
    drop(claim);
    // One question is asked after the other, so that the end has failed when this one is answered.
    assert!(ask(&kept.keeper, kept.slot()).await.is_err(), "the store rests");
    kept.fixture.store.script("DROP TRIGGER away");
    let entry = timeout(Duration::from_secs(10), async {
        loop {
            match ask(&kept.keeper, kept.slot()).await {
                Ok(Found::Known(entry)) => return entry,
                Ok(_) => panic!("the key is free"),
                Err(Away) => sleep(Duration::from_millis(20)).await,
            }
        }
    });
    let entry = entry.await.expect("the store is asked again");
    // Else everybody would wait until its lease is over.
    assert_eq!(entry.state, State::Unknown);
}
