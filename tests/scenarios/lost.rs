//! POSTs with an `Idempotency-Key` whose outcome nobody knows: which transactions are named.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use crate::harness::{Answer, Reply, Seen, Step, World, json, within};

const CREATE: &str = "/virtual_machines";
const STARTUP: &str = "/virtual_machines/4/startup";

/// How far the panel's clock is ahead.
const AHEAD: Duration = Duration::from_secs(3600);

/// A panel that shows everybody the same transactions, as it does to administrators.
struct Panel {
    w: World,
    shown: Arc<Mutex<Shown>>,
}

#[derive(Default)]
struct Shown {
    /// Newest first.
    rows: Vec<String>,
    /// Nobody is told who it is.
    is_shy: bool,
    profiles: usize,
}

impl Panel {
    async fn new() -> Self {
        let w = World::with(
            "watch = { enabled = true, interval = \"20ms\", max_interval = \"20ms\" }
             upstreams.main = { breaker_failures = 0 }",
        )
        .await;
        let shown: Arc<Mutex<Shown>> = Arc::default();
        let state = Arc::clone(&shown);
        w.origin.otherwise(move |seen| state.lock().expect("no panic before").answer(seen));
        Self { w, shown }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().expect("no panic before")
    }

    fn post<'w>(&'w self, target: &str, name: &str) -> Step<'w> {
        let post = self.w.post(target).as_(name).header("idempotency-key", "k");
        post.body("application/json", "{}")
    }

    /// A request whose answer is lost.
    async fn lose(&self, target: &'static str, name: &str) {
        let lost = self.post(target, name).accept("application/json");
        lost.origin(Reply::hang_up().on(target)).expect_refusal(502, "upstream_broken").await;
    }

    /// The same again.
    async fn again(&self, target: &str, name: &str, accept: &str) -> Answer {
        self.post(target, name).accept(accept).expect_refusal(409, "outcome_unknown").await
    }

    /// The same again, until it names transactions.
    async fn named(&self, target: &str, name: &str) -> String {
        within("transactions that are named", async {
            loop {
                let answer = self.again(target, name, "application/json").await;
                if let Some((_, named)) = answer.text().split_once("\"transactions\":") {
                    return named.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }
}

impl Shown {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let clock = httpdate::fmt_http_date(SystemTime::now() + AHEAD);
        let reply = if seen.target == "/profile.json" {
            self.profiles += 1;
            let number = if seen.login().starts_with("a:") { 1 } else { 2 };
            let status = if self.is_shy { 403 } else { 200 };
            json(format!(r#"{{"user":{{"id":{number},"login":"?"}}}}"#)).status(status)
        } else {
            assert!(seen.target.starts_with("/transactions.json?page=1&"), "{}", seen.line());
            json(format!("[{}]", self.rows.join(",")))
        };
        reply.header("Date", &clock)
    }
}

/// A transaction that was begun so long ago.
fn row(id: u64, user: u64, (action, machine): (&str, u64), ago: u64) -> String {
    let at = SystemTime::now() + AHEAD - Duration::from_secs(ago);
    let text = httpdate::fmt_http_date(at);
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(words[2]).expect("a month") / 3 + 1;
    let created = format!("{}-{month:02}-{}T{}Z", words[3], words[1], words[4]);
    format!(
        r#"{{"transaction":{{"id":{id},"status":"running","action":"{action}","user_id":{user},
        "parent_type":"VirtualMachine","parent_id":{machine},"created_at":"{created}"}}}}"#
    )
}

const BUILD: &str = "build_virtual_machine";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_names_what_was_built_for_its_user_alone() {
    let panel = Panel::new().await;
    panel.lose(CREATE, "a").await;
    let unseen = panel.again(CREATE, "a", "application/json").await;
    assert!(!unseen.text().contains("\"transactions\":"), "{unseen:?}");
    panel.shown().rows = vec![
        row(9, 1, ("startup_virtual_machine", 4), 0),
        row(8, 2, (BUILD, 5), 0),
        row(7, 1, (BUILD, 4), 0),
        row(6, 1, (BUILD, 3), 60),
    ];
    assert_eq!(panel.named(CREATE, "a").await, "[7]}");
    // It is written down: the panel need not show it any more.
    panel.shown().rows.clear();
    for (accept, expected) in [
        ("application/json", "may be its work: /transactions/7, before"),
        ("application/xml", "may be its work: /transactions/7, before"),
        ("application/problem+json", "\"transactions\":[7]"),
        ("application/problem+xml", "<transactions>\n    <i>7</i>\n  </transactions>"),
    ] {
        let answer = panel.again(CREATE, "a", accept).await;
        assert!(answer.header("content-type").starts_with(accept), "{answer:?}");
        assert!(answer.text().contains(expected), "{accept}: {answer:?}");
    }
    // What is another user's is not named to a neighbor.
    panel.shown().rows = vec![row(7, 1, (BUILD, 4), 0)];
    panel.lose(CREATE, "b").await;
    let other = panel.again(CREATE, "b", "application/json").await;
    assert!(!other.text().contains("/transactions/7"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_to_a_machine_names_its_transactions() {
    let panel = Panel::new().await;
    panel.shown().rows = vec![
        row(9, 1, ("startup_virtual_machine", 5), 0),
        row(8, 2, ("startup_virtual_machine", 4), 0),
        row(7, 1, ("stop_virtual_machine", 4), 60),
    ];
    panel.lose(STARTUP, "a").await;
    assert_eq!(panel.named(STARTUP, "a").await, "[8]}");
    assert_eq!(panel.shown().profiles, 0, "nobody need be asked whose it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_says_whose_it_is_nothing_is_named() {
    let panel = Panel::new().await;
    panel.shown().is_shy = true;
    panel.shown().rows = vec![row(7, 1, (BUILD, 4), 0)];
    panel.lose(CREATE, "a").await;
    within("a look", async {
        while panel.shown().profiles < 3 {
            let answer = panel.again(CREATE, "a", "application/json").await;
            assert!(!answer.text().contains("/transactions/7"), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
