//! What becomes of operations when the store does not answer.

use std::sync::mpsc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    auth::token::{RANDOM_BYTES, Token},
    metrics::Metrics,
    operations::tenants::{self, NewTenant},
    tenants::{
        fixture::{Fixture, NOW, keyring, surroundings},
        store::Kept,
    },
};

/// Asks a store, one operation at a time.
pub(in crate::admin) fn office(store: &Fixture, patience: Duration) -> Office {
    office_with(store, patience, 1)
}

fn office_with(store: &Fixture, patience: Duration, max_operations: usize) -> Office {
    let metrics = Arc::new(Metrics::new());
    let directory = Directory::open(&store.config(), keyring("ab"), surroundings(), metrics);
    Office::new(Parts {
        tenants: store.config(),
        directory: Arc::new(directory.expect("a directory")),
        routes: Arc::new(RouteTable::new(&[]).expect("the table itself")),
        origins: BTreeMap::new(),
        environment: Environment::default(),
        max_operations,
        patience,
        replay_window: Duration::from_secs(60),
        max_replays: 10,
    })
}

fn new(name: &str) -> NewTenant {
    serde_json::from_value(serde_json::json!({ "name": name })).expect("a tenant")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_is_told_and_the_turn_ends_with_the_operation() {
    let fixture = Fixture::new();
    let office = Arc::new(office(&fixture, Duration::from_millis(200)));
    let caller = Caller::configured();
    let add = |name: &'static str| {
        office.edit(&caller, move |edit, _| Ok(tenants::add(edit, &new(name))?))
    };
    add("first").await.expect("added");
    // Somebody else has the store in a transaction.
    let (held, holding) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let config = fixture.config();
    let holder = std::thread::spawn(move || {
        let mut store = Store::open(&config).expect("a store");
        store.edit::<_, StoreError>(NOW, |_| {
            held.send(()).expect("somebody waits");
            // Whoever is gone, has released it.
            let _ = released.recv();
            Ok(())
        })
    });
    holding.recv().expect("it is held");
    let begun = Instant::now();
    let late = add("second").await;
    assert!(matches!(late, Err(Refusal::Late)), "{late:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // The first still waits for the store, and has the only turn: even a read has none.
    let late = office.view(|view| Ok(tenants::show(view, "first")?)).await;
    assert!(matches!(late, Err(Refusal::Late)), "{late:?}");
    release.send(()).expect("it holds");
    holder.join().expect("no panic").expect("it ends");
    // What was late is done all the same, and then there is a turn again.
    let found = loop {
        match office.view(|view| Ok(tenants::show(view, "second")?)).await {
            Ok(tenant) => break tenant.name,
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(10), "never done"),
        }
    };
    assert_eq!(found, "second");
}

#[tokio::test]
async fn whoever_has_no_token_takes_no_turn_of_those_who_have() {
    let fixture = Fixture::new();
    let office = Arc::new(office(&fixture, Duration::from_millis(300)));
    let fake = Token::mint(&Environment::admin(), &[7; RANDOM_BYTES]);
    let found = office.find(fake.expose().as_bytes()).await;
    assert!(matches!(found, Ok(None)), "{found:?}");
    // One is looked up, for whatever time; the others wait outside.
    let first = Arc::clone(&office.door).acquire_owned().await.expect("nobody closes it");
    let late = office.find(fake.expose().as_bytes());
    let served = office.view(|view| Ok(view.now()));
    let (late, served) = tokio::join!(late, served);
    assert!(matches!(late, Err(Refusal::Late)), "{late:?}");
    assert!(served.is_ok(), "{served:?}");
    drop(first);
    let of_a_tenant = Token::mint(&Environment::default(), &[7; RANDOM_BYTES]);
    let _held = Arc::clone(&office.door).acquire_owned().await.expect("nobody closes it");
    let found = office.find(of_a_tenant.expose().as_bytes()).await;
    assert!(matches!(found, Ok(None)), "nobody looks it up: {found:?}");
}

#[tokio::test]
async fn what_fails_leaves_no_connection_behind_that_failed() {
    let fixture = Fixture::new();
    let office = Arc::new(office(&fixture, Duration::from_secs(5)));
    let caller = Caller::configured();
    for _ in 0..2 {
        let missing = office.view(|view| Ok(tenants::show(view, "nobody")?)).await;
        assert!(matches!(missing, Err(Refusal::Operation(_))), "{missing:?}");
        assert_eq!(office.idle().len(), 1, "one that answers is kept");
    }
    let lost = || StoreError::TimedOut { after: Duration::from_secs(1) };
    for failure in [
        Refusal::from(lost()),
        StoreError::Database(sqlx::Error::PoolClosed).into(),
        StoreError::Unsettled(Box::new(lost())).into(),
        // What is declared and what is imported go to the same store.
        OperationError::from(NotCarriedOut::Store(lost())).into(),
        ImportError::Store(lost()).into(),
    ] {
        let found = office.view(|view| Ok(tenants::show(view, "nobody")?)).await;
        assert!(found.is_err());
        // Another one rests, that two at once would have left.
        office.idle().push(Store::open(&fixture.config()).expect("a store"));
        assert_eq!(office.idle().len(), 2);
        let failed: Result<(), _> = office.work(&caller, move |_, _, _| Err(failure)).await;
        assert!(failed.is_err());
        assert_eq!(office.idle().len(), 0, "the other one is to the same store");
    }
}

#[tokio::test]
async fn answers_that_have_expired_go_by_themselves() {
    let mut fixture = Fixture::new();
    let office = Arc::new(office(&fixture, Duration::from_secs(5)));
    let keep = |edit: &Edit<'_>| {
        for (id, expires) in [("old", 1), ("new", i64::MAX)] {
            let answer = Kept { request: String::new(), sealed: Vec::new() };
            edit.keep_answer(id, answer, expires, 10)?;
        }
        Ok(())
    };
    fixture.store.edit::<_, StoreError>(0, keep).expect("kept");
    let stop = CancellationToken::new();
    let pruning = tokio::spawn(Arc::clone(&office).prune(stop.clone()));
    let begun = Instant::now();
    // A connection rests when it has been used.
    while office.idle().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5), "nothing is done");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fixture.store.prune_answers(i64::MAX - 1).expect("pruned"), 0, "it was gone");
    assert_eq!(fixture.store.prune_answers(i64::MAX).expect("pruned"), 1, "the other stays");
    stop.cancel();
    pruning.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_all_of_the_store_waits_for_its_like_and_for_nobody_else() {
    let fixture = Fixture::new();
    let office = Arc::new(office_with(&fixture, Duration::from_millis(200), 2));
    let caller = Caller::configured();
    let (held, holding) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let first = Arc::clone(&office);
    let first = tokio::spawn(async move {
        first
            .work_alone(&Caller::configured(), move |_, _, _| {
                held.send(()).expect("somebody waits");
                // Whoever is gone, has released it.
                let _ = released.recv();
                Ok(())
            })
            .await
    });
    holding.recv().expect("it is held");
    let second = office.work_alone(&caller, |_, _, _| Ok(())).await;
    assert!(matches!(second, Err(Refusal::Late)), "{second:?}");
    // Who waits for that has no turn that others want.
    let waiting = office.work_alone(&caller, |_, _, _| Ok(()));
    let (late, other) = tokio::join!(waiting, office.work(&caller, |_, _, _| Ok(())));
    assert!(matches!(late, Err(Refusal::Late)) && other.is_ok(), "{late:?} {other:?}");
    release.send(()).expect("it holds");
    let _late_as_well = first.await.expect("no panic");
    let begun = Instant::now();
    while office.work_alone(&caller, |_, _, _| Ok(())).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "its turn is never over");
    }
}
