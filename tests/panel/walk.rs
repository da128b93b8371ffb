//! Who shares what: a walk over every entry of the route table, for every pair of callers.
//!
//! Two tenants stand for one credential, two have their own, and one has the administrator's. The
//! table itself says which reads and writes there are, so a new entry is walked, too.

use std::{collections::BTreeSet, fmt::Write as _};

use futures_util::future::join_all;
use tollgate::{
    demo::simulator::{Options, User},
    vocabulary::{Closed as _, RouteClass},
};

use super::{basic, direct, request};
use crate::{
    cli::{Installation, Server},
    harness::{Answer, Client, within},
};

/// The callers: their names, and the users of the panel whose credentials they stand for.
const CALLERS: [(&str, &str); 5] = [
    ("one", "alice"),
    ("two", "alice"),
    ("bob", "bob"),
    ("carol", "carol"),
    ("root", ADMINISTRATOR),
];

/// The one whose credential reaches all.
const ADMINISTRATOR: &str = "admin";

/// No lifetime ends while the walk goes on.
const LONG: &str = r#"
[cache]
static_lifetime = "1h"
inventory_lifetime = "1h"
volatile_lifetime = "1h"
"#;

struct Caller {
    name: &'static str,
    credential: &'static str,
    authorization: String,
    client: Client,
}

/// An entry of the table that lists reads, by one path of it.
struct Read {
    class: String,
    families: BTreeSet<String>,
    target: String,
    /// Whether the panel answers none of the callers with a refusal, so that all is kept.
    kept: bool,
}

/// An entry of the table that lists writes, likewise.
struct Change {
    /// None for all families.
    touches: Option<BTreeSet<String>>,
    everyone: bool,
    target: String,
}

struct Walk {
    /// Kept, because the panel ends with it.
    _installation: Installation,
    _server: Server,
    callers: Vec<Caller>,
    reads: Vec<Read>,
    writes: Vec<Change>,
    shared: BTreeSet<String>,
    /// How often two were told the same and were not shown each other's.
    equal: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_was_shown_is_shown_to_whom_stands_for_the_same_credential_alone() {
    let mut walk = Walk::begin().await;
    let classes: BTreeSet<&str> = walk.reads.iter().map(|read| &*read.class).collect();
    for class in RouteClass::ALL.iter().filter(|class| **class != RouteClass::Never) {
        assert!(classes.contains(class.as_str()), "no read of the class {}", class.as_str());
    }
    let mut table = String::new();
    for at in 0..walk.reads.len() {
        let mut sharing = Vec::new();
        for (one, other) in pairs() {
            if walk.shares(at, one, other).await {
                sharing.push(format!("{} > {}", CALLERS[one].0, CALLERS[other].0));
            }
        }
        let Read { class, families, target, kept } = &walk.reads[at];
        let families = families.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let said = if *kept { sharing.join(", ") } else { "the panel refuses some".to_owned() };
        let _ = writeln!(table, "{class:<10}{families:<19}{target:<46}{said}");
    }
    println!("{table}{} replies were equal, and fetched for each of two", walk.equal);
    assert!(walk.equal > 0, "equal replies are not shared either, and there was none");
    let kept = walk.reads.iter().filter(|read| read.kept).count();
    assert!(kept * 4 >= walk.reads.len() * 3, "only {kept} reads are kept:\n{table}");
    assert_eq!(table.matches(" > ").count(), 2 * kept, "two share, and nobody else:\n{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_makes_untrue_what_its_reach_says_and_nothing_else() {
    let mut walk = Walk::begin().await;
    // Nothing is kept yet; from then on what is asked for is kept again.
    walk.look().await;
    let mut table = String::new();
    for at in 0..walk.writes.len() {
        for writer in [0, 2, 4] {
            let before = walk.look().await;
            let fresh = walk.reads.iter().zip(&before).filter(|(read, _)| read.kept);
            for (read, shown) in fresh {
                assert!(shown.iter().all(|answer| answer.cache() == "hit"), "{}", read.target);
            }
            let line = format!("PUT {}", walk.writes[at].target);
            let written = walk.callers[writer].ask(&line).await;
            assert_eq!(written.code(), "", "{line}: {written:?}");
            let after = walk.look().await;
            let touched = walk.judge(at, writer, &after);
            let who = CALLERS.iter().zip(touched).map(|((name, _), n)| format!("{name} {n:>2}"));
            let who = who.collect::<Vec<_>>().join("  ");
            let _ = writeln!(table, "{line:<56}by {:<6}untrue of {who}", CALLERS[writer].0);
        }
    }
    println!("{} reads of each caller\n{table}", walk.reads.len());
}

impl Walk {
    async fn begin() -> Self {
        let installation = Installation::with(Options::default(), LONG).await;
        for (_, login) in CALLERS.iter().skip(1) {
            let User { email, api_key, .. } = installation.panel.user(login).expect("a user");
            let reach = if *login == ADMINISTRATOR { "all" } else { "own" };
            let add = format!(
                "credential add {login} --upstream main --email {email} --reach {reach} \
                 --account {login} --secret-stdin"
            );
            installation.json(&add, &api_key);
        }
        let mut tokens = Vec::new();
        for (name, login) in CALLERS {
            installation.json(&format!("tenant add {name}"), "");
            let create = format!("token create --tenant {name} --credential {login}");
            tokens.push(installation.json(&create, "")["token"].as_str().expect("one").to_owned());
        }
        let server = installation.serve();
        let mut callers = Vec::new();
        for ((name, credential), token) in CALLERS.into_iter().zip(tokens) {
            let client = server.connect().await.expect("a connection");
            let authorization = basic(name, &token);
            callers.push(Caller { name, credential, authorization, client });
        }
        let routes: toml::Table = include_str!("../../src/api/routes.toml").parse().expect("TOML");
        let entries = |name: &str| routes[name].as_array().expect("entries").clone();
        let mut reads = Vec::new();
        // What is never kept is shared by nobody.
        let secret: Vec<String> =
            entries("secret").iter().flat_map(|e| texts(&e["paths"])).collect();
        for entry in entries("read") {
            if texts(&entry["paths"]).iter().any(|path| !secret.contains(path)) {
                reads.push(Read::of(&entry, &installation).await);
            }
        }
        let writes =
            entries("write").iter().map(|entry| Change::of(entry, &installation)).collect();
        let shared = texts(&routes["shared"]).into_iter().collect();
        Self {
            _installation: installation,
            _server: server,
            callers,
            reads,
            writes,
            shared,
            equal: 0,
        }
    }

    /// Whether one is shown what another was; and that each is shown again what it was itself.
    async fn shares(&mut self, at: usize, one: usize, other: usize) -> bool {
        // Nobody has asked for this before.
        let line = format!("GET {}?walk={one}-{other}", self.reads[at].target);
        let kept = self.reads[at].kept;
        let first = self.callers[one].ask(&line).await;
        let second = self.callers[other].ask(&line).await;
        let again = self.callers[one].ask(&line).await;
        let whose = format!("{line}: {} and then {}", CALLERS[one].0, CALLERS[other].0);
        assert_ne!(first.cache(), "hit", "{whose}");
        if kept {
            assert_eq!(
                (first.cache().as_str(), again.cache().as_str()),
                ("miss", "hit"),
                "{whose}"
            );
        }
        let shares = second.cache() == "hit";
        let same = self.callers[one].credential == self.callers[other].credential;
        assert_eq!(shares, same && kept, "{whose}: {second:?}");
        if shares {
            assert_eq!(second.body, first.body, "{whose}");
        } else if kept && second.body == first.body {
            self.equal += 1;
        }
        shares
    }

    /// Every read of every caller.
    async fn look(&mut self) -> Vec<Vec<Answer>> {
        let mut seen = Vec::new();
        for Read { target, .. } in &self.reads {
            let line = format!("GET {target}");
            seen.push(join_all(self.callers.iter_mut().map(|caller| caller.ask(&line))).await);
        }
        seen
    }

    /// Holds what was seen after a write against what the table says; counts what was untrue.
    fn judge(&self, write: usize, writer: usize, seen: &[Vec<Answer>]) -> [usize; CALLERS.len()] {
        let mut touched = [0; CALLERS.len()];
        for (read, shown) in self.reads.iter().zip(seen).filter(|(read, _)| read.kept) {
            // Whoever stands for the same credential fetches for the other.
            for (at, answer) in shown.iter().enumerate() {
                let feels = self.feels(write, writer, at, read);
                let fetched = answer.cache() != "hit";
                let whose = format!(
                    "{} of {} after PUT {} by {}: {:?}",
                    read.target,
                    CALLERS[at].0,
                    self.writes[write].target,
                    CALLERS[writer].0,
                    answer.headers.get("cache-status"),
                );
                let fetched_by_other = self.callers.iter().zip(shown).any(|(caller, answer)| {
                    caller.credential == self.callers[at].credential && answer.cache() != "hit"
                });
                assert!(!fetched || feels, "spared by the table, and untrue: {whose}");
                assert!(fetched_by_other || !feels, "untrue by the table, and kept: {whose}");
                touched[at] += usize::from(feels);
            }
        }
        touched
    }

    /// What the design says.
    fn feels(&self, write: usize, writer: usize, reader: usize, read: &Read) -> bool {
        let Change { touches, everyone, .. } = &self.writes[write];
        let touches = |family: &&String| touches.as_ref().is_none_or(|all| all.contains(*family));
        let mut touched = read.families.iter().filter(touches);
        let [writer, reader] = [writer, reader].map(|at| self.callers[at].credential);
        if *everyone || [writer, reader].contains(&ADMINISTRATOR) || writer == reader {
            touched.next().is_some()
        } else {
            touched.any(|family| self.shared.contains(family))
        }
    }
}

impl Caller {
    async fn ask(&mut self, line: &str) -> Answer {
        let what = format!("{line} for {}", self.name);
        let asked = self.client.send(request(line, &self.authorization, ""));
        within(&what, asked).await.expect(&what)
    }
}

impl Read {
    /// By the path that the most of them may read.
    async fn of(entry: &toml::Value, installation: &Installation) -> Self {
        let mut best: Option<(usize, bool, String)> = None;
        for path in texts(&entry["paths"]) {
            let target = filled(&path, installation);
            let mut statuses = Vec::new();
            for (_, login) in CALLERS {
                let User { login, password, .. } = installation.panel.user(login).expect("a user");
                let asked = request(&format!("GET {target}"), &basic(&login, &password), "");
                statuses.push(direct(installation.panel.addr(), asked).await.status);
            }
            let kept = statuses.iter().all(|status| [200, 404].contains(status));
            let good = statuses.iter().filter(|status| **status == 200).count();
            let score = if kept { good + CALLERS.len() } else { good };
            if best.as_ref().is_none_or(|(most, ..)| score > *most) {
                best = Some((score, kept, target));
            }
        }
        let (_, kept, target) = best.expect("an entry has paths");
        let class = entry["class"].as_str().expect("a class").to_owned();
        Self { class, families: texts(&entry["families"]).into_iter().collect(), target, kept }
    }
}

impl Change {
    /// By something below its first path that the panel does not have: tried, it is a write.
    fn of(entry: &toml::Value, installation: &Installation) -> Self {
        let touches = texts(&entry["touches"]);
        let path = &texts(&entry["paths"])[0];
        let path = path.strip_suffix("/**").expect("a write is of all below a path");
        let target = filled(&format!("{path}/:id/walk"), installation);
        Self {
            touches: (!touches.iter().any(|name| name == "*"))
                .then(|| touches.into_iter().collect()),
            everyone: entry.get("everyone").and_then(toml::Value::as_bool).unwrap_or(false),
            target,
        }
    }
}

/// A path with something of alice's in the place of its parameters.
fn filled(path: &str, installation: &Installation) -> String {
    let alice = installation.panel.user("alice").expect("a user").id;
    let machines = installation.panel.machines();
    let machine = machines.iter().find(|machine| machine.user_id == alice).expect("a machine").id;
    let mut target = String::new();
    let mut before = "";
    for segment in path.split('/').skip(1) {
        target.push('/');
        let number = match (segment, before) {
            (":id", "virtual_machines") => Some(machine),
            (":id", "users") => Some(alice),
            _ => segment.starts_with(':').then_some(1),
        };
        match number {
            Some(number) => target += &number.to_string(),
            None => target += &segment.replace(".:format", ".json"),
        }
        before = segment;
    }
    if target.contains(".json") { target } else { target + ".json" }
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    let all = (0..CALLERS.len()).flat_map(|one| (0..CALLERS.len()).map(move |other| (one, other)));
    all.filter(|(one, other)| one != other)
}

fn texts(list: &toml::Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|text| text.as_str().expect("a text").to_owned()).collect()
}
