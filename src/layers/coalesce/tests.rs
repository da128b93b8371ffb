//! Flights over a leaf that is held, fails or panics: who waits is always answered.

use std::{
    future::pending,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use tokio::sync::Semaphore;
use tower::{ServiceExt as _, service_fn};

use super::*;
use crate::{
    api::{routes::RouteTable, target::Target},
    auth::presented::presented,
    body::Body,
    cache::{
        coherence::{Change, Epochs},
        directives::Directives,
        entry,
        names::Names,
        partition::{Commons, Felt, Partition},
        touch::{Named, Unsettled},
    },
    call::{Aimed, Call, Caller, Effect},
    clock::Clock,
    formats,
    net::server::ClientBody,
    record::{Record, RequestId},
    settings::ByteSize,
    tenants::{
        directory::Directory,
        fixture::{Fixture, keyring, surroundings},
        snapshot::{MakePartition, Surroundings},
    },
    vocabulary::{Format, Forward, Protocol, Secrecy},
};

const KEY: &str = "a-key-that-is-long-enough-to-adopt";

struct Setting {
    shelf: Arc<Shelf>,
    hangar: Arc<Hangar>,
    directory: Arc<Directory>,
    _fixture: Fixture,
}

/// Holds nothing.
struct Nobody;

impl Settle for Nobody {
    fn settle(&self, _: Unsettled) {}

    fn holds(&self, _: &Felt, _: Option<&Named>) -> bool {
        false
    }
}

impl Setting {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        fixture.add("acme", KEY);
        let metrics = Arc::new(Metrics::new());
        let config = fixture.config();
        let routes = Arc::new(RouteTable::new(&[]).expect("the table itself"));
        let around = Surroundings { partition: partitions(&routes), ..surroundings() };
        let directory = Directory::open(&config, keyring("ab"), around, Arc::clone(&metrics));
        let config = entry::Config { capacity: ByteSize::mib(1), ..entry::Config::default() };
        let shelf = Arc::new(Shelf::new(config, routes, Clock::start(), metrics));
        let timeout = Duration::from_secs(5);
        let book = Arc::new(Book::new(&formats::Config::default(), Arc::clone(&shelf.routes)));
        let (nobody, tasks) = (Arc::new(Nobody), TaskTracker::new());
        let hangar = Hangar::new(Arc::clone(&shelf), nobody, tasks, timeout, book);
        let hangar = Arc::new(hangar);
        Self { shelf, hangar, directory: Arc::new(directory.expect("opened")), _fixture: fixture }
    }

    /// A miss of the list of machines that begins now.
    fn miss(&self) -> Lookup {
        self.miss_of("/virtual_machines.json")
    }

    fn miss_of(&self, target: &'static str) -> Lookup {
        let headers: HeaderMap = [("host", "a"), ("x-api-key", KEY)]
            .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let secret = presented(&headers).expect("decodable").expect("a secret");
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let caller = Caller::verify(&self.directory, &secret, 0, client).expect("a caller");
        let uri = target.parse().expect("a target");
        let target = Target::canonicalize(uri, &headers, http::Version::HTTP_11, 100);
        let target = target.expect("canonical");
        let listed = self.shelf.routes.read(&target).expect("listed");
        let route = self.shelf.routes.route(listed.id);
        let partition = Arc::clone(&caller.credential().partition);
        let ask = target.path_and_query().clone();
        let key = Key::new(&partition, Secrecy::Hidden, ask, Some(Format::Json));
        let dependence = Dependence::of(route, &target);
        let stamps = dependence.stamps(&partition);
        let record = Record::new(RequestId::next(0), client, Protocol::Http1, Method::GET);
        let request = Box::new(Aimed {
            record,
            method: Method::GET,
            target,
            effect: Effect::Read(listed),
            counted: None,
            headers: headers.clone(),
            body: ClientBody::empty(),
        });
        let call = Call { caller, request };
        let exchange =
            Exchange { call, ask: None, format: Some(Format::Json), native: None, touch: None };
        let (route, forward) = (listed.id, Forward::Miss);
        let demands = Directives::default();
        let (held, stale) = (None, None);
        let miss = Miss {
            exchange,
            key,
            stamps,
            route,
            dependence,
            forward,
            demands,
            held,
            stale,
            trusted_from: 0,
        };
        Lookup::Miss(Box::new(miss))
    }
}

/// Partitions that know machines one by one.
fn partitions(routes: &RouteTable) -> MakePartition {
    let (families, precise) = (routes.families().all().iter().count(), routes.precise());
    let commons = Commons::new(families, precise, FamilySet::EMPTY, Names::new(10));
    let commons = Arc::new(commons);
    Box::new(move |_, _| {
        let account = Arc::new(Epochs::new(families, precise));
        Some(Arc::new(Partition::new(account, Arc::clone(&commons), true)))
    })
}

fn list() -> Answer {
    let mut answer = Answer::new(Body::from(Bytes::from_static(b"[]")));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Asks for a machine twice, and in between another of its account is made that has no name. Both
/// times the machine has this status; how often it is asked for.
async fn asked_across_a_creation(status: StatusCode) -> usize {
    const MACHINE: &str = "/virtual_machines/9.json";
    let setting = Setting::new();
    let gate = Arc::new(Semaphore::new(0));
    let asked = Arc::new(AtomicUsize::new(0));
    let leaf = {
        let (gate, asked) = (Arc::clone(&gate), Arc::clone(&asked));
        service_fn(move |_: Outbound| {
            asked.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await);
                let mut answer = list();
                *answer.status_mut() = status;
                Ok(answer)
            }
        })
    };
    let coalesce = layer(Arc::clone(&setting.hangar)).layer(leaf);
    let miss = setting.miss_of(MACHINE);
    let Lookup::Miss(begun) = &miss else { panic!("a miss") };
    let family = begun.dependence.view.families;
    let account = Arc::clone(&begun.exchange.call.caller.credential().partition);
    let first = tokio::spawn(coalesce.clone().oneshot(miss));
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let family = family.iter().next().expect("a family");
    account.account().touch(Change::whole(FamilySet::one(family)).listed(family));
    let second = tokio::spawn(coalesce.clone().oneshot(setting.miss_of(MACHINE)));
    while setting.shelf.metrics.cache.collapsed_reads.get() == 0 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    for answered in [first, second] {
        assert_eq!(answered.await.expect("no panic").expect("answered").status(), status);
    }
    asked.load(Ordering::SeqCst)
}

#[tokio::test]
async fn who_joins_is_not_told_that_what_was_made_meanwhile_is_not_there() {
    for (status, fetches) in [(StatusCode::NOT_FOUND, 2), (StatusCode::OK, 1)] {
        let asked = asked_across_a_creation(status);
        let asked = tokio::time::timeout(Duration::from_secs(10), asked).await;
        assert_eq!(asked.expect("an end"), fetches, "{status}");
    }
}

#[tokio::test]
async fn who_waits_for_the_next_fetch_is_told_that_something_is_not_there() {
    let setting = Setting::new();
    let gate = Arc::new(Semaphore::new(0));
    let asked = Arc::new(AtomicUsize::new(0));
    let leaf = {
        let (gate, asked) = (Arc::clone(&gate), Arc::clone(&asked));
        service_fn(move |_: Outbound| {
            asked.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("open").forget();
                let mut answer = list();
                *answer.status_mut() = StatusCode::NOT_FOUND;
                Ok(answer)
            }
        })
    };
    let coalesce = layer(Arc::clone(&setting.hangar)).layer(leaf);
    let read = |max_age| {
        let Lookup::Miss(mut miss) = setting.miss_of("/virtual_machines/9.json") else {
            panic!("a miss")
        };
        miss.demands.max_age = max_age;
        let (view, partition) =
            (miss.dependence.view, Arc::clone(&miss.exchange.call.caller.credential().partition));
        let read = tokio::spawn(coalesce.clone().oneshot(Lookup::Miss(miss)));
        (read, view, partition)
    };
    let (first, view, partition) = read(None);
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // Both demand what is newer, and wait together.
    let later = [read(Some(0)).0, read(Some(0)).0];
    while setting.shelf.metrics.cache.collapsed_reads.get() == 0 {
        tokio::task::yield_now().await;
    }
    let family = view.families.iter().next().expect("a family");
    partition.account().touch(Change::whole(FamilySet::one(family)).listed(family));
    gate.add_permits(2);
    for answered in [first].into_iter().chain(later) {
        let answered = tokio::time::timeout(Duration::from_secs(10), answered).await;
        let answered = answered.expect("an end").expect("no panic").expect("answered");
        assert_eq!(answered.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "the second one began after all that was made");
}

#[tokio::test]
async fn a_fetch_that_panics_answers_everybody_and_blocks_nobody() {
    let setting = Setting::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let leaf = {
        let asked = Arc::clone(&asked);
        service_fn(move |_: Outbound| {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                tokio::task::yield_now().await;
                assert!(!first, "the leaf breaks");
                Ok(list())
            }
        })
    };
    let coalesce = layer(Arc::clone(&setting.hangar)).layer(leaf);
    let (one, two) = (setting.miss(), setting.miss());
    let answered = tokio::join!(coalesce.clone().oneshot(one), coalesce.clone().oneshot(two));
    assert_eq!(answered.0.err(), Some(Rejection::Panicked));
    assert_eq!(answered.1.err(), Some(Rejection::Panicked));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let next = coalesce.oneshot(setting.miss()).await;
    assert_eq!(next.expect("answered").status(), StatusCode::OK);
}

#[tokio::test]
async fn the_first_reader_may_leave() {
    let setting = Setting::new();
    let gate = Arc::new(Semaphore::new(0));
    let asked = Arc::new(AtomicUsize::new(0));
    let leaf = {
        let (gate, asked) = (Arc::clone(&gate), Arc::clone(&asked));
        service_fn(move |_: Outbound| {
            asked.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await);
                Ok(list())
            }
        })
    };
    let coalesce = layer(Arc::clone(&setting.hangar)).layer(leaf);
    let first = tokio::spawn(coalesce.clone().oneshot(setting.miss()));
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn(coalesce.clone().oneshot(setting.miss()));
    first.abort();
    drop(first.await);
    gate.add_permits(1);
    let answered = second.await.expect("no panic").expect("answered");
    assert_eq!(answered.status(), StatusCode::OK);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one fetch, though its first reader left");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_never_ends_is_ended() {
    let setting = Setting::new();
    let leaf = service_fn(|_: Outbound| pending::<Result<Answer, Rejection>>());
    let coalesce = layer(Arc::clone(&setting.hangar)).layer(leaf);
    let answered = coalesce.oneshot(setting.miss()).await;
    assert_eq!(answered.err(), Some(Rejection::UpstreamTimedOut));
    assert!(setting.hangar.flights().is_empty());
}
