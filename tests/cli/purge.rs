//! `tollgate purge`, and the route of the admin listener that it asks.

use bytes::Bytes;
use http::Request;
use tollgate::demo::simulator::Options;

use super::{Installation, installation::Server};
use crate::{
    harness::Answer,
    panel::{admin_at, direct},
    program::{Ended, PATIENCE, Program, tollgate},
};

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const LIST: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_is_fetched_anew_after_a_purge_of_all() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let server = place.serve();
    keep(&server, &alice, LIST).await;
    let purged = place.installation.json("purge --all", "");
    assert_eq!(purged["partitions"], 1);
    let families = purged["families"].as_array().expect("a list");
    assert!(families.contains(&"vms".into()) && families.len() > 10, "{purged}");
    assert_eq!(server.get(&alice, LIST).await.cache(), "miss");
    assert_eq!(server.get(&alice, LIST).await.cache(), "hit");
    let page = admin_at(server.admin, "/metrics").await;
    let purges = r#"tollgate_cache_invalidations_total{cause="purge"}"#;
    assert_eq!(crate::harness::sum_of(&page, purges), 1.0);
    let said = place.run(&["purge", "--upstream", "main", "--family", "vms"]).good();
    assert_eq!(said, "purged for 1 credentials: vms\n");
    assert_eq!(server.get(&alice, LIST).await.cache(), "miss");
    assert_eq!(server.terminate().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_of_one_spares_the_others() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let bob = place.installation.tenant("bob");
    let server = place.serve();
    let asked = [(&alice, LIST), (&alice, "/version.json"), (&bob, LIST)];
    for (selectors, hits) in [
        ("--credential alice", [false, false, true]),
        ("--credential alice --family vms", [false, true, true]),
        ("--tenant bob", [true, true, false]),
        ("--path /virtual_machines.xml", [false, true, false]),
        ("--family dns", [true; 3]),
    ] {
        for (token, target) in asked {
            keep(&server, token, target).await;
        }
        place.installation.json(&format!("purge {selectors}"), "");
        for ((token, target), hit) in asked.into_iter().zip(hits) {
            let expected = if hit { "hit" } else { "miss" };
            assert_eq!(server.get(token, target).await.cache(), expected, "{selectors}: {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_of_one_machine_spares_the_others() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let server = place.serve();
    let owner = place.installation.panel.user("alice").expect("a user").id;
    let machines = place.installation.panel.machines();
    let mut own = machines.iter().filter(|machine| machine.user_id == owner);
    let (one, two) = (own.next().expect("a machine"), own.next().expect("another"));
    let item = |name: &dyn std::fmt::Display| format!("/virtual_machines/{name}.json");
    let asked = [LIST.to_owned(), item(&one.id), item(&one.identifier), item(&two.id)];
    for target in &asked {
        keep(&server, &alice, target).await;
    }
    let purged = place.installation.json(&format!("purge --all --path {}", item(&one.id)), "");
    assert_eq!(purged, serde_json::json!({"partitions": 1, "families": ["vms"]}));
    for (target, expected) in asked.iter().zip(["miss", "miss", "miss", "hit"]) {
        assert_eq!(server.get(&alice, target).await.cache(), expected, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soft_purge_says_how_many_entries_it_marked() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let server = place.serve();
    keep(&server, &alice, LIST).await;
    keep(&server, &alice, "/version.json").await;
    let said = place.run(&["purge", "--soft", "--tenant", "alice", "--family", "vms"]).good();
    assert_eq!(said, "1 entries marked stale for 1 credentials: vms\n");
    assert_eq!(server.get(&alice, "/version.json").await.cache(), "hit");
    assert_eq!(server.get(&alice, LIST).await.cache(), "miss");
    assert_eq!(server.get(&alice, LIST).await.cache(), "hit");
    let purged = place.installation.json("purge --path /version --soft", "");
    assert_eq!((&purged["entries"], &purged["partitions"]), (&1.into(), &1.into()), "{purged}");
    assert_eq!(server.get(&alice, "/version.json").await.cache(), "miss");
    let ended = server.terminate();
    assert!((ended.out + &ended.err).contains("marked stale"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_purges_without_the_token() {
    let place = Place::new().await;
    let alice = place.installation.tenant("alice");
    let server = place.serve();
    keep(&server, &alice, LIST).await;
    let refused = place.run_as(&TOKEN.replace('f', "e"), &["purge", "--all"]);
    assert_eq!((refused.code, &*refused.out), (Some(77), ""), "{refused:?}");
    assert!(refused.err.contains("the admin token is wrong"), "{refused:?}");
    for authorization in ["", &format!("Bearer {alice}"), &format!("Basic {TOKEN}")] {
        let answer = post(&server, authorization, r#"{"all":true}"#).await;
        assert_eq!(answer.status, 401, "{authorization}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let short = place.run_as("short", &["purge", "--all"]);
    assert_eq!((short.code, &*short.out), (Some(78), ""), "{short:?}");
    assert!(short.err.contains("TOLLGATE_ADMIN_TOKEN"), "{short:?}");
    assert_eq!(server.get(&alice, LIST).await.cache(), "hit");

    let answer = post(&server, &format!("Bearer {TOKEN}"), r#"{"all":true,"hard":true}"#).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.text().contains("hard"), "{answer:?}");
    place.run_as(TOKEN, &["purge", "--all"]).good();
    assert_eq!(server.get(&alice, LIST).await.cache(), "miss");
    let ended = server.terminate();
    assert!(!(ended.out + &ended.err).contains(TOKEN), "the token is logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_configured_token_nothing_is_purged() {
    let installation = Installation::new().await;
    let server = installation.serve();
    point(&installation, &server);
    let refused = installation.run(&["purge", "--all"], "");
    assert_eq!((refused.code, &*refused.out), (Some(77), ""), "{refused:?}");
    for way in ["admin.token_file", "TOLLGATE_ADMIN_TOKEN"] {
        assert!(refused.err.contains(way), "{refused:?}");
    }
    assert_eq!(server.terminate().code, Some(0));

    let place = Place::new().await;
    place.installation.write("admin.token", "short\n");
    for command in [&["serve"][..], &["purge", "--all"]] {
        let refused = place.run(command);
        assert_eq!((refused.code, &*refused.out), (Some(78), ""), "{refused:?}");
        let named = refused.err.contains("admin.token") && refused.err.contains("at least 32");
        assert!(named, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_purged_is_named() {
    let place = Place::new().await;
    place.installation.tenant("alice");
    let server = place.serve();
    for (selector, name, kind) in [
        ("--family", "vmz", "family"),
        ("--upstream", "moon", "upstream"),
        ("--tenant", "nobody", "tenant"),
        ("--credential", "nothing", "credential"),
        ("--path", "/nowhere.json", "path"),
        ("--path", "nowhere", "path"),
    ] {
        let refused = place.run(&["purge", selector, name]);
        assert_eq!((refused.code, &*refused.out), (Some(65), ""), "{selector}: {refused:?}");
        let named = refused.err.contains(name) && refused.err.contains(kind);
        assert!(named, "{selector}: {refused:?}");
    }
    for wrong in [&["purge"][..], &["purge", "--all", "--tenant", "alice"]] {
        assert_eq!(place.run(wrong).code, Some(64), "{wrong:?}");
    }
    assert_eq!(server.terminate().code, Some(0));
    let away = place.run(&["purge", "--all"]);
    assert_eq!((away.code, &*away.out), (Some(69), ""), "{away:?}");
    assert!(away.err.contains("tollgate serve"), "{away:?}");
}

/// An installation with an admin token.
pub struct Place {
    pub installation: Installation,
}

impl Place {
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        Self::in_front_of(Installation::with(options, "").await)
    }

    /// With further sections of its configuration.
    pub async fn configured(sections: &str) -> Self {
        Self::in_front_of(Installation::with(Options::default(), sections).await)
    }

    /// With its store elsewhere than in a file of its own.
    pub async fn on(store: &str) -> Self {
        Self::in_front_of(Installation::on(store).await)
    }

    /// With an admin listener that speaks TLS.
    pub async fn encrypted() -> Self {
        let place = Self::new().await;
        let path = |name: &str| place.installation.path(name).display().to_string();
        let tls = format!(
            "[admin]\ncertificate = \"{}\"\nkey = \"{}\"",
            path("tls.crt"),
            path("tls.key")
        );
        change(&place.installation, "[admin]", &tls);
        place
    }

    /// With a token for what is there.
    pub fn in_front_of(installation: Installation) -> Self {
        installation.write("admin.token", &format!("{TOKEN}\n"));
        let file = installation.path("admin.token").display().to_string();
        change(&installation, "[admin]", &format!("[admin]\ntoken_file = \"{file}\""));
        Self { installation }
    }

    pub fn serve(&self) -> Server {
        let server = self.installation.serve();
        point(&self.installation, &server);
        server
    }

    /// Runs a command, through the server where that can be.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "")
    }

    /// The same with something on its standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Ended {
        self.installation.start_online(args, input).end_within(PATIENCE)
    }

    /// The same with a token in the environment.
    pub fn run_as(&self, token: &str, args: &[&str]) -> Ended {
        let mut command = tollgate(args);
        command.env("TOLLGATE_CONFIG", self.installation.path("tollgate.toml"));
        command.env("TOLLGATE_ADMIN_TOKEN", token);
        Program::start(command, "").end_within(PATIENCE)
    }
}

/// Names the port that the server was given where the command line looks for it.
fn point(installation: &Installation, server: &Server) {
    let text = std::fs::read_to_string(installation.path("tollgate.toml")).expect("a file");
    let (before, after) = text.split_once("[admin]").expect("the section");
    let after = after.replacen("127.0.0.1:0", &server.admin.to_string(), 1);
    installation.write("tollgate.toml", &format!("{before}[admin]{after}"));
}

fn change(installation: &Installation, what: &str, into: &str) {
    let text = std::fs::read_to_string(installation.path("tollgate.toml")).expect("a file");
    assert!(text.contains(what), "{text}");
    installation.write("tollgate.toml", &text.replacen(what, into, 1));
}

/// Reads until it is answered from memory.
pub(super) async fn keep(server: &Server, token: &str, target: &str) {
    server.get(token, target).await;
    assert_eq!(server.get(token, target).await.cache(), "hit", "{target}");
}

async fn post(server: &Server, authorization: &str, body: &'static str) -> Answer {
    let mut request = Request::post("/v1/purge");
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    direct(server.admin, request.body(Bytes::from_static(body.as_bytes())).expect("one")).await
}
