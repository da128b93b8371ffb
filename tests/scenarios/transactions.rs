//! What is unsettled, and how its end is seen.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tollgate::tenants::record::Reach;

use crate::harness::{Reply, Seen, World, json, status, until, within};

const VMS: &str = "/virtual_machines.json";
const ONE: &str = "/virtual_machines/1.json";
const TWO: &str = "/virtual_machines/2.json";
const STARTUP: &str = "/virtual_machines/1/startup.json";

/// Looks come fast, so that nothing waits long.
const WATCHED: &str = r#"
    cache.unsettled_lifetime = "1s"
    watch = { enabled = true, interval = "20ms", max_interval = "20ms" }
"#;

/// A panel whose transactions are what the test says, and which is looked at.
struct Panel {
    w: World,
    shown: Arc<Mutex<Shown>>,
}

struct Shown {
    /// Newest first.
    rows: Vec<String>,
    status: u16,
    looks: Vec<Seen>,
}

fn machine(id: u64) -> Reply {
    json(format!(r#"{{"virtual_machine":{{"id":{id},"identifier":"abcdefghijklm{id}"}}}}"#))
}

fn row(id: u64, status: &str, about: u64) -> String {
    format!(
        r#"{{"transaction":{{"id":{id},"status":"{status}","parent_type":"VirtualMachine","parent_id":{about}}}}}"#
    )
}

/// One page of a list, by its query.
fn page(rows: &[String], target: &str) -> String {
    let value = |name: &str| {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name));
        value.and_then(|value| value.parse::<usize>().ok()).expect("a number")
    };
    let (page, size) = (value("page="), value("per_page="));
    let shown: Vec<_> = rows.iter().skip((page - 1) * size).take(size).cloned().collect();
    format!("[{}]", shown.join(","))
}

impl Panel {
    async fn new(overrides: &str) -> Self {
        let w = World::with(overrides).await;
        let shown = Shown { rows: Vec::new(), status: 200, looks: Vec::new() };
        let shown = Arc::new(Mutex::new(shown));
        let state = Arc::clone(&shown);
        w.origin.otherwise(move |seen| {
            assert!(seen.target.starts_with("/transactions.json?page="), "{}", seen.line());
            let mut state = state.lock().expect("no panic before");
            state.looks.push(seen.clone());
            json(page(&state.rows, &seen.target)).status(state.status)
        });
        Self { w, shown }
    }

    fn show(&self, rows: &[String]) {
        self.shown.lock().expect("no panic before").rows = rows.to_vec();
    }

    fn refuse(&self, status: u16) {
        self.shown.lock().expect("no panic before").status = status;
    }

    fn looks(&self) -> usize {
        self.shown.lock().expect("no panic before").looks.len()
    }

    /// Waits until it was looked at so often from now on.
    async fn looked_at(&self, times: usize) {
        let wanted = self.looks() + times;
        until("looks", || self.looks() >= wanted).await;
    }

    async fn startup(&self) {
        let reply = status(201).on(STARTUP);
        let write = self.w.post(STARTUP).as_("a").body("application/json", "{}");
        write.origin(reply).expect_status(201).await;
    }

    /// A read that goes upstream.
    async fn missed(&self, id: u64) {
        let target = format!("/virtual_machines/{id}.json");
        let reply = machine(id).on(&target);
        self.w.get(&target).as_("a").origin(reply).expect_cache("miss").await;
    }

    async fn hit(&self, id: u64) {
        let target = format!("/virtual_machines/{id}.json");
        self.w.get(&target).as_("a").expect_cache("hit").await;
    }

    async fn reaches(&self, series: &str, value: f64) {
        within(series, async {
            while self.w.metric(series).await < value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    async fn ended(&self, outcome: &str) {
        let series = format!("tollgate_unsettled_ends_total{{outcome=\"{outcome}\"}}");
        self.reaches(&series, 1.0).await;
        assert_eq!(self.waiting().await, 0.0);
    }

    async fn waiting(&self) -> f64 {
        self.w.metric("tollgate_unsettled_waiting").await
    }
}

/// A panel with two machines that `a` has read, one of which is starting up.
async fn starting(overrides: &str) -> Panel {
    let panel = Panel::new(overrides).await;
    panel.w.declare("a", Reach::Own, "ann");
    panel.missed(1).await;
    panel.missed(2).await;
    panel.startup().await;
    panel
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unsettled_is_kept_for_a_moment() {
    let overrides = "cache = { unsettled_lifetime = \"150ms\" }";
    let panel = starting(overrides).await;
    panel.missed(1).await;
    panel.hit(1).await;
    tokio::time::sleep(Duration::from_millis(160)).await;
    panel.missed(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_transaction_is_a_change() {
    let panel = Panel::new(WATCHED).await;
    panel.w.declare("a", Reach::Own, "ann");
    panel.missed(1).await;
    panel.missed(2).await;
    panel.show(&[row(7, "running", 1)]);
    panel.startup().await;
    panel.looked_at(3).await;
    assert_eq!(panel.waiting().await, 1.0);
    panel.missed(1).await;
    panel.hit(1).await;
    panel.show(&[row(7, "complete", 1)]);
    panel.ended("seen").await;
    panel.missed(1).await;
    panel.hit(1).await;
    panel.hit(2).await;
    // Nothing is unsettled, so nobody looks.
    let looks = panel.looks();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(panel.looks(), looks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_has_no_transaction_settles_after_two_looks() {
    let panel = starting(WATCHED).await;
    panel.ended("seen").await;
    assert!(panel.looks() >= 2, "{}", panel.looks());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_panel_does_not_show_is_waited_for_by_the_window() {
    for refusal in [401, 403, 404] {
        let panel = Panel::new(&format!("{WATCHED}\ncache.settle_window = \"80ms\"")).await;
        panel.refuse(refusal);
        panel.startup().await;
        panel.ended("window").await;
        assert!(panel.looks() > 0, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_credential_was_shown_goes_when_a_look_finds_it_refused() {
    for (status, kept) in [(401, false), (403, true)] {
        let panel = starting(WATCHED).await;
        panel.hit(2).await;
        panel.refuse(status);
        panel.looked_at(2).await;
        // Machine 2 has nothing to do with what is looked for.
        if kept {
            panel.hit(2).await;
        } else {
            panel.missed(2).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_not_for_good() {
    let panel = starting(WATCHED).await;
    panel.refuse(403);
    panel.looked_at(3).await;
    assert_eq!(panel.waiting().await, 1.0);
    panel.refuse(200);
    panel.ended("seen").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_fails_is_looked_at_again() {
    let panel = starting(WATCHED).await;
    panel.refuse(500);
    panel.looked_at(3).await;
    assert_eq!(panel.waiting().await, 1.0);
    panel.refuse(200);
    panel.ended("seen").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_wait_for_a_key_that_is_replaced_and_go_on_with_the_new_one() {
    let panel = Panel::new(WATCHED).await;
    panel.w.declare("a", Reach::Own, "ann");
    panel.w.give_key("a", "upstream-key-that-is-replaced");
    panel.missed(2).await;
    panel.show(&[row(7, "running", 1)]);
    panel.startup().await;
    panel.looked_at(3).await;
    panel.w.begin_replacement("a", "upstream-key-that-comes-after");
    // The panel has replaced it by now.
    panel.refuse(401);
    // One may have been on its way.
    let looks = panel.looks() + 1;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(panel.looks() <= looks, "it is looked with a key that is dead");
    panel.w.end_replacement("a", "upstream-key-that-comes-after");
    panel.refuse(200);
    panel.looked_at(2).await;
    let look = panel.shown.lock().expect("no panic before").looks.last().cloned();
    assert_eq!(look.expect("a look").login(), "a:upstream-key-that-comes-after");
    panel.show(&[row(7, "complete", 1)]);
    panel.ended("seen").await;
    let refused = "tollgate_credential_rejections_total{credential=\"a\"}";
    assert_eq!(panel.w.metric(refused).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_never_ends_is_overdue() {
    let panel = Panel::new(&WATCHED.replace("enabled", "max_wait = \"100ms\", enabled")).await;
    panel.show(&[row(7, "running", 1)]);
    panel.startup().await;
    panel.ended("overdue").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_nobody_knows_has_its_window() {
    let panel = Panel::new(&format!("{WATCHED}\ncache.settle_window = \"200ms\"")).await;
    let reply = Reply::hang_up().on(ONE);
    panel.w.put(ONE).as_("a").origin(reply).expect_refusal(502, "upstream_broken").await;
    panel.looked_at(4).await;
    assert_eq!(panel.waiting().await, 1.0);
    panel.ended("seen").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_looks_for_everybody() {
    let panel = Panel::new(WATCHED).await;
    panel.w.declare("a", Reach::Own, "ann");
    panel.w.declare("b", Reach::All, "root");
    panel.missed(1).await;
    panel.missed(2).await;
    panel.show(&[row(7, "running", 1)]);
    panel.startup().await;
    panel.looked_at(2).await;
    let look = panel.shown.lock().expect("no panic before").looks[0].clone();
    assert!(look.login().ends_with(&crate::harness::secret_of("b")), "{}", look.login());
    // Nobody here has written to the second: it comes from the panel's own pages.
    panel.show(&[row(8, "running", 2), row(7, "running", 1)]);
    panel.reaches("tollgate_cache_invalidations_total{cause=\"transaction\"}", 1.0).await;
    panel.missed(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_can_look_all_the_time() {
    let panel = Panel::new(&WATCHED.replace("enabled", "always = true, enabled")).await;
    panel.w.declare("a", Reach::Own, "ann");
    panel.w.declare("b", Reach::All, "root");
    panel.missed(1).await;
    panel.looked_at(2).await;
    panel.hit(1).await;
    panel.show(&[row(7, "complete", 1)]);
    panel.reaches("tollgate_cache_invalidations_total{cause=\"transaction\"}", 1.0).await;
    panel.missed(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_turns_pages_and_says_when_they_were_too_few() {
    let paged = WATCHED.replace("enabled", "page_size = 2, max_pages = 2, enabled");
    let panel = Panel::new(&paged).await;
    panel.w.declare("a", Reach::Own, "ann");
    panel.missed(1).await;
    panel.missed(2).await;
    panel.show(&[row(7, "running", 1)]);
    panel.startup().await;
    panel.looked_at(2).await;
    let gap = "tollgate_cache_invalidations_total{cause=\"transaction_gap\"}";
    let from =
        |newest: u64| -> Vec<_> { (7..=newest).rev().map(|id| row(id, "running", 1)).collect() };
    panel.show(&from(9));
    panel.looked_at(4).await;
    assert_eq!(panel.w.metric(gap).await, 0.0);
    panel.hit(2).await;
    panel.show(&from(19));
    panel.reaches(gap, 1.0).await;
    panel.missed(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_says_locked_is_held_by_itself() {
    let panel = Panel::new(WATCHED).await;
    panel.show(&[row(7, "running", 1)]);
    panel.missed(2).await;
    let locked =
        json(r#"{"virtual_machine":{"id":1,"identifier":"abcdefghijklm1","locked":true}}"#);
    let read = panel.w.get(ONE).as_("a").origin(locked.on(ONE));
    read.expect_cache("miss:unsettled").await;
    panel.looked_at(2).await;
    panel.hit(2).await;
    panel.show(&[row(7, "complete", 1)]);
    panel.ended("seen").await;
    panel.missed(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_is_unsettled_and_the_rest_is_not() {
    let w = World::new().await;
    w.get(TWO).as_("a").origin(machine(2)).expect_cache("miss").await;
    let made = machine(9).status(201);
    w.post(VMS).as_("a").body("application/json", "{}").origin(made).expect_status(201).await;
    w.get(TWO).as_("a").expect_cache("hit").await;
    w.get(VMS).as_("a").origin(json("[]")).expect_cache("miss:unsettled").await;
    for name in ["9", "abcdefghijklm9"] {
        let target = format!("/virtual_machines/{name}.json");
        w.get(&target).as_("a").origin(machine(9)).expect_cache("miss:unsettled").await;
    }
}
