//! Random histories against one rule: **no read that begins after a write was acknowledged shows
//! an older version.**
//!
//! Each machine has one writer at a time, so that its versions have an order: `updated_at`, which
//! the panel moves by a second with every change, the refused ones included. A reader notes what
//! had been acknowledged when it began, and must be shown at least that. A failure names the seed;
//! `TOLLGATE_TEST_SEED` plays it again, as far as threads let it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;
use tollgate::demo::simulator::Stage;

use super::House;
use crate::harness::{Answer, Client, Speaks, within};

const CLIENTS: usize = 3;
const LONG: Duration = Duration::from_secs(3);

/// A machine by the tenant's own knowledge.
struct Machine {
    id: String,
    identifier: String,
    writer: tokio::sync::Mutex<()>,
}

/// What was acknowledged.
#[derive(Clone, Default)]
struct Known {
    /// The least that a machine may show.
    versions: HashMap<String, String>,
    created: HashSet<String>,
    /// Whose deletion has begun, and whose has been acknowledged.
    doomed: HashSet<String>,
    deleted: HashSet<String>,
}

struct Tenant {
    name: &'static str,
    machines: Vec<Machine>,
    known: Mutex<Known>,
}

struct History {
    house: House,
    tenants: Vec<Tenant>,
    /// The greatest number that a machine has.
    newest: AtomicU64,
    creates: bool,
    end: Instant,
}

/// xorshift64*: a history needs no better chance.
struct Chance(u64);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_what_was_acknowledged_before_it() {
    let reads = History::run(false).await;
    assert!(reads > 0.0, "nothing was answered from memory, so nothing was tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_misses_what_was_created_or_shows_what_was_deleted() {
    History::run(true).await;
}

impl History {
    /// Plays one, and says how many reads were hits.
    async fn run(creates: bool) -> f64 {
        let house = House::with(|options| {
            options.panel.machines = Some(4);
            options.panel.job_duration = Duration::from_millis(150);
        })
        .await;
        // Long enough that reads and writes overlap, short enough that there are many.
        house.panel().delay("/", Duration::from_millis(6));
        let tenants = ["alice", "bob"].map(|name| Tenant::new(&house, name));
        let end = Instant::now() + LONG;
        let numbers = tenants.iter().flat_map(|tenant| &tenant.machines);
        let newest = numbers.filter_map(|machine| machine.id.parse().ok()).max().unwrap_or(0);
        let (tenants, newest) = (tenants.into(), AtomicU64::new(newest));
        let history = Arc::new(Self { house, tenants, newest, creates, end });
        let seed = Chance::seed();
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS * history.tenants.len() {
            let history = Arc::clone(&history);
            let chance = Chance(seed ^ (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            clients.spawn(async move { history.live(n, chance).await });
        }
        within("the clients", async {
            while let Some(ended) = clients.join_next().await {
                ended.unwrap_or_else(|e| panic!("TOLLGATE_TEST_SEED={seed}: {e}"));
            }
        })
        .await;
        history.house.metric(r#"tollgate_cache_lookups_total{outcome="hit"}"#).await
    }

    async fn live(&self, n: usize, mut chance: Chance) {
        let tenant = &self.tenants[n % self.tenants.len()];
        let speaks = if chance.below(2) == 0 { Speaks::Http1 } else { Speaks::Http2 };
        let mut client = self.house.connect(speaks).await;
        while Instant::now() < self.end {
            match chance.below(if self.creates { 12 } else { 10 }) {
                0 => self.change(tenant, &mut client, &mut chance).await,
                1 => {
                    self.leave_in_the_middle(tenant, client, &mut chance).await;
                    client = self.house.connect(speaks).await;
                }
                2..=5 => self.read_list(tenant, &mut client, &mut chance).await,
                6..=9 => self.read_one(tenant, &mut client, &mut chance).await,
                _ => self.create_and_delete(tenant, &mut client, &mut chance).await,
            }
        }
    }

    /// A write that is taken or refused; either moves `updated_at`.
    async fn change(&self, tenant: &Tenant, client: &mut Client, chance: &mut Chance) {
        let machine = chance.one_of(&tenant.machines);
        let only = machine.writer.lock().await;
        let (label, status) = match chance.below(3) {
            0 => (String::new(), 422),
            _ => (format!("v{}", chance.next()), 204),
        };
        let target = format!("/virtual_machines/{}.json", machine.name(chance));
        let body = format!(r#"{{"virtual_machine":{{"label":"{label}"}}}}"#);
        assert_eq!(self.send(tenant, client, &format!("PUT {target}"), &body).await.status, status);
        // Its own client is the first that may see it, and the panel says what there is to see.
        let read = self.send(tenant, client, &format!("GET {target}"), "").await;
        let truth = self.house.direct(tenant.name, &target).await;
        // Unless a write that nobody waits for came in between, which its note shows.
        if note_of(&read) == note_of(&truth) {
            let (shown, truth) = (version_of(&read), version_of(&truth));
            assert_eq!(shown, truth, "{}: {target} after {status}: {}", tenant.name, read.cache());
        }
        let shown = version_of(&read);
        let before = tenant.known().versions.insert(machine.id.clone(), shown.clone());
        assert!(before.is_none_or(|before| before < shown), "{target} stays at {shown}");
        drop(only);
    }

    /// A write whose client does not wait for the answer: the panel may apply it at any time, also
    /// in the middle of the next one.
    async fn leave_in_the_middle(&self, tenant: &Tenant, mut client: Client, chance: &mut Chance) {
        let machine = chance.one_of(&tenant.machines);
        let only = machine.writer.lock().await;
        let line = format!("PUT /virtual_machines/{}.json", machine.name(chance));
        let body = format!(r#"{{"virtual_machine":{{"note":"n{}"}}}}"#, chance.next());
        let request = self.house.request(tenant.name, &line, &body);
        let gate = self.house.panel().hold(&line, Stage::BeforeAction, 1);
        let late = Duration::from_millis(chance.below(40));
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            drop(gate);
        });
        let patience = Duration::from_millis(chance.below(8));
        let _ = tokio::time::timeout(patience, client.send(request)).await;
        drop(only);
    }

    async fn read_one(&self, tenant: &Tenant, client: &mut Client, chance: &mut Chance) {
        let machine = chance.one_of(&tenant.machines);
        let least = tenant.known().versions.get(&machine.id).cloned().unwrap_or_default();
        let suffix = ["json", "xml"][chance.index(2)];
        let line = format!("GET /virtual_machines/{}.{suffix}", machine.name(chance));
        let read = self.send(tenant, client, &line, "").await;
        let shown = version_of(&read);
        assert!(shown >= least, "{line} shows {shown}, not {least}: {}", read.cache());
    }

    async fn read_list(&self, tenant: &Tenant, client: &mut Client, chance: &mut Chance) {
        let before = tenant.known().clone();
        let suffix = ["json", "xml"][chance.index(2)];
        let line = format!("GET /virtual_machines.{suffix}");
        let read = self.send(tenant, client, &line, "").await;
        let after = tenant.known().clone();
        let shown = versions_of(&read);
        for (id, least) in &before.versions {
            let found = shown.get(id).unwrap_or_else(|| panic!("{line}: {id} is missing"));
            assert!(found >= least, "{line}: {id} at {found}, not {least}: {}", read.cache());
        }
        for id in before.created.difference(&after.doomed) {
            assert!(shown.contains_key(id), "{line}: {id} was created: {}", read.cache());
        }
        for id in &before.deleted {
            assert!(!shown.contains_key(id), "{line}: {id} was deleted: {}", read.cache());
        }
        let others = self.tenants.iter().filter(|other| other.name != tenant.name);
        for machine in others.flat_map(|other| &other.machines) {
            assert!(!shown.contains_key(&machine.id), "{line} shows {}'s", tenant.name);
        }
    }

    async fn create_and_delete(&self, tenant: &Tenant, client: &mut Client, chance: &mut Chance) {
        // What is not there yet is remembered, and must be forgotten.
        for _ in 0..chance.below(4) {
            let ahead = self.newest.load(Ordering::SeqCst) + 1 + chance.below(2);
            let line = format!("GET /virtual_machines/{ahead}.json");
            self.send(tenant, client, &line, "").await;
        }
        let body = r#"{"virtual_machine":{"label":"new","hostname":"new"}}"#;
        let made = self.send(tenant, client, "POST /virtual_machines.json", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let made: Value = serde_json::from_slice(&made.body).expect("JSON");
        let id = made["virtual_machine"]["id"].to_string();
        tenant.known().created.insert(id.clone());
        self.newest.fetch_max(id.parse().expect("a number"), Ordering::SeqCst);
        let item = format!("/virtual_machines/{id}.json");
        let read = self.send(tenant, client, &format!("GET {item}"), "").await;
        assert_eq!(read.status, 200, "{item} was created: {}", read.cache());
        for _ in 0..chance.below(3) {
            self.read_list(tenant, client, chance).await;
        }
        tenant.known().doomed.insert(id.clone());
        assert_eq!(self.send(tenant, client, &format!("DELETE {item}"), "").await.status, 204);
        tenant.known().deleted.insert(id);
        let gone = self.send(tenant, client, &format!("GET {item}"), "").await;
        assert_eq!(gone.status, 404, "{item}: {}", gone.cache());
        self.read_list(tenant, client, chance).await;
    }

    async fn send(&self, tenant: &Tenant, client: &mut Client, line: &str, body: &str) -> Answer {
        let request = self.house.request(tenant.name, line, body);
        let answer = within(line, client.send(request)).await;
        answer.unwrap_or_else(|e| panic!("{line}: {e:?}"))
    }
}

impl Tenant {
    fn new(house: &House, name: &'static str) -> Self {
        let machines = house.machines(name).into_iter().map(|machine| Machine {
            id: machine.id.to_string(),
            identifier: machine.identifier,
            writer: tokio::sync::Mutex::default(),
        });
        Self { name, machines: machines.collect(), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no panic before")
    }
}

impl Machine {
    /// One of its two names.
    fn name(&self, chance: &mut Chance) -> &str {
        if chance.below(2) == 0 { &self.id } else { &self.identifier }
    }
}

impl Chance {
    fn seed() -> u64 {
        let given = std::env::var("TOLLGATE_TEST_SEED").ok();
        let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        given.map_or(since.as_nanos() as u64, |seed| seed.parse().expect("a number"))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("small")
    }

    fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }
}

fn version_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let (_, version) = versions_of(answer).into_iter().next().expect("one machine");
    version
}

/// What the last write that was left in the middle has set.
fn note_of(answer: &Answer) -> Value {
    let shown: Value = serde_json::from_str(answer.text()).expect("JSON");
    shown["virtual_machine"]["note"].clone()
}

/// `updated_at` of every machine that is shown, by its number.
fn versions_of(answer: &Answer) -> HashMap<String, String> {
    let text = answer.text();
    if answer.header("content-type").starts_with("application/xml") {
        return versions_of_xml(text);
    }
    let shown: Value = serde_json::from_str(text).expect("JSON");
    let one = |item: &Value| {
        let machine = &item["virtual_machine"];
        let version = machine["updated_at"].as_str().expect("a time");
        (machine["id"].to_string(), version.to_owned())
    };
    shown.as_array().map_or_else(|| [one(&shown)].into(), |list| list.iter().map(one).collect())
}

/// Rails indents, so what is a machine's own stands two steps in from its beginning.
fn versions_of_xml(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut id = String::new();
    let steps = if text.contains("<virtual_machines") { 4 } else { 2 };
    for line in text.lines() {
        let Some(element) = line.get(steps..).filter(|e| line.trim_start() == *e) else { continue };
        let value = || element.split(['>', '<']).nth(2).expect("a value").to_owned();
        if element.starts_with("<id ") {
            id = value();
        } else if element.starts_with("<updated_at ") {
            found.insert(id.clone(), value());
        }
    }
    found
}
