//! What many tokens cost: how long a server takes to start with them and to hear of a change, how
//! long a look-up takes, and the memory that they need.
//!
//! The store is filled by an import, as an operator's would be. A real `tollgate serve` is started on
//! it; what its parts take is timed once more in this process. README.md says how to read the figures.

use std::{
    hint::black_box,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tollgate::{
    api::families::FamilySet,
    auth::keyring::{Keyring, Mac, MasterKey},
    cache::{
        coherence::Epochs,
        names::Names,
        partition::{Commons, Partition},
    },
    config::Config,
    tenants::{
        import::Import,
        record::Records,
        secret::Vault,
        snapshot::{Snapshot, Surroundings},
        store::{Store, StoreError},
    },
};

/// A store and what opens it.
struct World {
    folder: TempDir,
    config: Config,
    keyring: Keyring,
}

/// What a process says of itself once it serves.
struct Started {
    after: Duration,
    resident_kib: u64,
}

/// So many tenants and credentials share the tokens.
const TENANTS: usize = 1_000;

const NOW: i64 = 1_800_000_000;

/// Times of which the least counts: what is slower had other work between.
const ROUNDS: usize = 5;

fn main() {
    // Without its name this is a test of the bench.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let sizes: &[usize] = if measured { &[0, 10_000, 100_000] } else { &[0, 200] };
    let mut empty_kib = 0;
    for tokens in sizes {
        let world = World::new(*tokens);
        let Started { after, resident_kib } = world.serve();
        say(*tokens, "start of tollgate serve", &millis(after));
        say(*tokens, "resident memory", &format!("{:.1} MiB", resident_kib as f64 / 1024.0));
        if *tokens == 0 {
            empty_kib = resident_kib;
            continue;
        }
        let more = resident_kib.saturating_sub(empty_kib) * 1024 / *tokens as u64;
        say(*tokens, "resident memory a token", &format!("{more} bytes"));
        world.parts(*tokens);
    }
}

impl World {
    fn new(tokens: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let master = MasterKey::generate().expect("random numbers");
        let keyring = Keyring::derive(&MasterKey::parse(&master).expect("a master key"));
        let text = configuration(folder.path());
        write(folder.path(), "master.key", &master);
        write(folder.path(), "tollgate.toml", &text);
        certify(folder.path());
        let config = Config::parse(&text, std::iter::empty()).expect("a valid configuration");
        let world = Self { folder, config, keyring };
        let begun = Instant::now();
        let imported = world.import(tokens);
        assert_eq!(imported, tokens);
        say(tokens, "import", &millis(begun.elapsed()));
        world
    }

    fn import(&self, tokens: usize) -> usize {
        let mut lines = String::new();
        for n in 0..tokens {
            let (owner, key) = (n % TENANTS, key(n));
            let named = format!(r#""t{owner}","credential":"t{owner}""#);
            let described = format!(
                r#"{{"name":"t{owner}","reads_per_second":50,"reads_burst":100}},"credential":{{"name":"t{owner}","upstream":"panel","email":"t{owner}@example.com","key":"upstream-key-{owner:027}","reach":"own","account":"t{owner}"}}"#
            );
            let stands_on = if n < TENANTS { described } else { named };
            lines += &format!("{{\"tenant\":{stands_on},\"token\":\"{key}\"}}\n");
        }
        let origin = |name: &str| self.config.upstreams.get(name).map(|u| u.origin.to_string());
        let vault = Vault { keyring: &self.keyring, origin: &origin };
        let import = Import { vault, scope: &|_| None, now: NOW };
        import.run(&mut self.store(), lines.as_bytes()).expect("good lines").tokens
    }

    fn store(&self) -> Store {
        Store::open(&self.config.tenants).expect("a store")
    }

    /// Starts a server, and ends it when it serves.
    fn serve(&self) -> Started {
        let mut best: Option<Started> = None;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
                .args(["--config", "tollgate.toml", "serve"])
                .current_dir(self.folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program");
            let said = BufReader::new(child.stderr.take().expect("a pipe"));
            let mut lines = said.lines().map_while(Result::ok);
            assert!(lines.any(|line| line.contains("serving")), "it does not serve");
            let started = Started { after: begun.elapsed(), resident_kib: resident(child.id()) };
            child.kill().and_then(|()| child.wait()).expect("an end");
            if best.as_ref().is_none_or(|best| started.after < best.after) {
                best = Some(started);
            }
        }
        best.expect("one round at least")
    }

    /// What a start and a change consist of, and what a request asks.
    fn parts(&self, tokens: usize) {
        let mut store = self.store();
        let read = least(|| drop(black_box(store.read().expect("read"))));
        say(tokens, "to read the store", &millis(read));
        let revision = least(|| assert!(black_box(store.revision().expect("read")) > 0));
        say(tokens, "to ask for its revision", &micros(revision));

        let records = store.records().expect("read");
        let surroundings = surroundings();
        let build =
            |before: &Snapshot| Snapshot::build(&records, &self.keyring, &surroundings, before);
        let nothing = Snapshot::default();
        let fresh = least(|| drop(black_box(build(&nothing))));
        say(tokens, "to build a snapshot", &millis(fresh));
        let snapshot = build(&nothing);
        assert_eq!(snapshot.tokens(), tokens);
        let again = least(|| drop(black_box(build(&snapshot))));
        say(tokens, "to build the next one", &millis(again));
        self.change(tokens, &records);
        self.look_up(tokens, &snapshot);
    }

    /// An edit, as a revocation is one.
    fn change(&self, tokens: usize, records: &Records) {
        let mut store = self.store();
        let ids: Vec<&str> = records.tokens.iter().map(|token| &*token.id).collect();
        let mut next = ids.iter();
        let revoke = least(|| {
            let id = next.next().expect("more tokens than rounds");
            store.edit::<_, StoreError>(NOW, |edit| edit.revoke_token(id)).expect("revoked");
        });
        say(tokens, "to revoke a token", &micros(revoke));
    }

    fn look_up(&self, tokens: usize, snapshot: &Snapshot) {
        let keys: Vec<String> = (0..tokens).map(key).collect();
        let macs: Vec<Mac> = keys.iter().map(|key| self.keyring.mac(key.as_bytes())).collect();
        let some = &keys[..tokens.min(1000)];
        let make = |key: &String| self.keyring.mac(key.as_bytes());
        let mac = least(|| {
            some.iter().for_each(|key| {
                black_box(make(key));
            });
        });
        say(tokens, "a MAC", &nanos(mac, some.len()));
        let find = |mac: &Mac| assert!(black_box(snapshot.find(mac)).is_some());
        // What a few clients ask again and again is in the processor's cache.
        let warm = least(|| (0..tokens).for_each(|n| find(&macs[n % 16])));
        say(tokens, "a look-up, of 16 tokens in turn", &nanos(warm, tokens));
        // A MAC is as good as random, and so is the place of what it finds.
        let cold = least(|| macs.iter().for_each(find));
        say(tokens, "a look-up, of all tokens in turn", &nanos(cold, tokens));
    }
}

fn key(n: usize) -> String {
    format!("adopted-{n:07}-0123456789abcdef0123456789abcdef")
}

fn say(tokens: usize, what: &str, figure: &str) {
    let line = format!("{tokens:>7} tokens  {what:<34}{figure:>14}\n");
    std::io::stdout().write_all(line.as_bytes()).expect("standard output");
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}

fn nanos(time: Duration, times: usize) -> String {
    format!("{:.0} ns", time.as_secs_f64() * 1e9 / times as f64)
}

fn least(mut run: impl FnMut()) -> Duration {
    let timed = |_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    (0..ROUNDS).map(timed).min().expect("one round at least")
}

/// The memory of a process that is its own at this moment.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// As a server has them, with as many families.
fn surroundings() -> Surroundings {
    const FAMILIES: usize = 12;
    let none = FamilySet::EMPTY;
    let upstream = Arc::new(Commons::new(FAMILIES, none, none, Names::new(10)));
    Surroundings {
        origin: Box::new(|name| (name == "panel").then(|| "http://127.0.0.1:9".to_owned())),
        partition: Box::new(move |_, _| {
            let account = Arc::new(Epochs::new(FAMILIES, none));
            Some(Arc::new(Partition::new(account, Arc::clone(&upstream), true)))
        }),
        scope: Box::new(|_| None),
        vault: Box::new(|_| {}),
    }
}

fn configuration(folder: &Path) -> String {
    format!(
        r#"
        server.listen = "127.0.0.1:0"
        admin.listen = "127.0.0.1:0"
        upstreams.panel.url = "http://127.0.0.1:9"
        tenants.store = "{}"
        tenants.master_key_file = "master.key"
        tls = {{ certificate = "tls.crt", key = "tls.key" }}
        "#,
        folder.join("tollgate.db").display(),
    )
}

fn certify(folder: &Path) {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    write(folder, "tls.crt", &certificate.pem());
    write(folder, "tls.key", &key.serialize_pem());
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a writable folder");
}
