//! Answers of the server that are lost on their way to a command, or longer than most.

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use tollgate::tenants::{
    Config,
    store::{Store, StoreError},
};

use super::{
    Place, Server,
    apply::{DECLARED, created, declare},
    rotation::QUICK,
    way::{Fate, Way},
};

const APPLY: &str = "POST /v1/declaration/apply ";

/// A server, and the command that applies a declaration which makes a token.
async fn declared() -> (Place, Server, String) {
    let place = Place::new().await;
    let server = place.serve();
    declare(&place.installation, DECLARED);
    let path = |name: &str| place.installation.path(name).display().to_string();
    let line = format!("apply {} --yes --tokens-out {}", path("declared.toml"), path("tokens"));
    (place, server, line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_whose_answer_is_lost_or_long_loses_no_token() {
    for (fate, asked) in [(Fate::Lost(1), 2), (Fate::Padded(17 << 20), 1)] {
        let (place, server, line) = declared().await;
        let way = Way::to(&server, APPLY, fate).await;
        assert!(way.run(&place, &line).good().ends_with("applied\n"));
        assert_eq!(way.asked(), asked);
        let tokens = created(&place.installation);
        let [token] = &tokens[..] else { panic!("{tokens:?}") };
        server.answers(token["token"].as_str().expect("a token"), 200, "").await;
        let listed = place.installation.json("token list", "");
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_that_is_never_heard_of_is_not_denied() {
    let (place, server, line) = declared().await;
    let way = Way::to(&server, APPLY, Fate::Lost(3)).await;
    let unheard = way.run(&place, &line);
    assert_eq!((unheard.code, way.asked()), (Some(69), 3), "{unheard:?}");
    for said in ["may have been applied", "`tollgate apply`", "`tollgate token rotate ID`"] {
        assert!(unheard.err.contains(said), "{said}: {unheard:?}");
    }
    // What it says can be done, can be done.
    assert!(!place.installation.path("tokens").exists());
    assert!(way.run(&place, &line).good().ends_with("the store is as declared\n"));
    let listed = place.installation.json("token list", "");
    let id = listed[0]["id"].as_str().expect("an id");
    let secret = place.run(&["token", "rotate", id]).good();
    server.answers(secret.trim(), 200, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_once_is_asked_for_again_and_made_once() {
    let place = Place::configured(QUICK).await;
    place.installation.tenant("alice");
    let old = place.installation.json("token list", "")[0]["id"].as_str().expect("one").to_owned();
    place.installation.write("secret", "a-secret\n");
    let secret = place.installation.path("secret").display().to_string();
    let server = place.serve();
    let add =
        format!("credential add b --upstream main --login b --no-test --secret-file {secret}");
    let rotate = format!("credential rotate b --login c --no-test --secret-file {secret}");
    for line in [
        "token create --tenant alice --credential alice",
        &format!("token rotate {old}"),
        "admin-token create eve --role viewer",
        "tenant add b",
        &add,
        &rotate,
        "credential rotate-key alice",
    ] {
        let way = Way::to(&server, "POST ", Fate::Lost(1)).await;
        way.run(&place, line).good();
        assert_eq!(way.asked(), 2, "{line}");
    }
    let listed = place.installation.json("credential list", "");
    let b = listed.as_array().expect("a list").iter().find(|shown| shown["name"] == "b");
    assert_eq!(b.expect("it is listed")["generation"], 2, "it was rotated once");
    let count = |line: &str| place.installation.json(line, "").as_array().map(Vec::len);
    for (line, number) in [
        ("token list", 3),
        ("admin-token list", 1),
        ("tenant list", 2),
        ("credential list", 2),
        ("credential rotations", 1),
    ] {
        assert_eq!(count(line), Some(number), "{line}");
    }
    let way = Way::to(&server, "POST ", Fate::Lost(3)).await;
    let unheard = way.run(&place, "token create --tenant alice --credential alice");
    assert_eq!((unheard.code, way.asked()), (Some(69), 3), "{unheard:?}");
    for said in ["may have been done", "`tollgate token rotate ID`"] {
        assert!(unheard.err.contains(said), "{said}: {unheard:?}");
    }
    assert_eq!(count("token list"), Some(4));
}

const CREATE: &str = "token create --tenant alice --credential alice";

/// A server with a tenant.
async fn of_alice() -> (Place, Server) {
    let place = Place::new().await;
    place.installation.tenant("alice");
    let server = place.serve();
    (place, server)
}

/// How many there are.
fn count(place: &Place, line: &str) -> usize {
    place.installation.json(line, "").as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_after_an_answer_that_was_lost_denies_nothing() {
    let (place, server) = of_alice().await;
    let old = place.installation.json("token list", "")[0]["id"].as_str().expect("one").to_owned();
    for (line, why) in [
        (&*format!("token rotate {old}"), "was rotated before"),
        ("tenant add b", "there is already a tenant"),
        ("admin-token create eve --role viewer", "there is already a"),
    ] {
        let way = Way::to(&server, "POST ", Fate::Forgotten(1)).await;
        let unheard = way.run(&place, line);
        assert_eq!((unheard.code, way.asked()), (Some(69), 2), "{line}: {unheard:?}");
        for said in ["may have been done", "asked again", why] {
            assert!(unheard.err.contains(said), "{line}: {said}: {unheard:?}");
        }
    }
    for (line, number) in [("token list", 2), ("tenant list", 2), ("admin-token list", 1)] {
        assert_eq!(count(&place, line), number, "it was done: {line}");
    }
    // Who was refused the first time is told so.
    let way = Way::to(&server, "POST ", Fate::Lost(0)).await;
    let refused = way.run(&place, "tenant add b");
    assert_eq!((refused.code, way.asked()), (Some(65), 1), "{refused:?}");
    assert!(!refused.err.contains("may have been done"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_applied_is_not_denied_because_the_store_has_changed() {
    let (place, server, line) = declared().await;
    let way = Way::to(&server, APPLY, Fate::Forgotten(1)).await;
    let unheard = way.run(&place, &line);
    assert_eq!((unheard.code, way.asked()), (Some(69), 2), "{unheard:?}");
    for said in ["may have been applied", "asked again", "it has changed since"] {
        assert!(unheard.err.contains(said), "{said}: {unheard:?}");
    }
    assert!(!unheard.err.contains("nothing was applied"), "{unheard:?}");
    assert_eq!(count(&place, "token list"), 1, "it was applied");
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n<html>";
const TOO_LATE: &str = "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 6\r\n\r\n<html>";
/// What a server says who expects TLS.
const ALERT: &str = "\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{16}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_no_tollgate_is_shown_the_token_once_and_has_done_nothing() {
    let (place, server) = of_alice().await;
    for foreign in [NOT_FOUND, ALERT] {
        let way = Way::to(&server, "POST ", Fate::Instead(3, foreign)).await;
        let refused = way.run(&place, CREATE);
        assert_eq!((refused.code, way.asked()), (Some(69), 1), "{foreign:?}: {refused:?}");
        assert!(!refused.err.contains("may have been done"), "{foreign:?}: {refused:?}");
        assert!(refused.err.contains("does `tollgate serve` run there?"), "{foreign:?}");
    }
    let encrypted = Place::encrypted().await;
    let behind = encrypted.serve();
    let way = Way::to(&behind, "POST ", Fate::Lost(0)).await;
    let refused = way.run(&encrypted, CREATE);
    assert_eq!((refused.code, way.asked()), (Some(69), 1), "{refused:?}");
    assert!(!refused.err.contains("may have been done"), "{refused:?}");
    // A proxy has handed it on, and has not heard the answer either.
    let before = count(&place, "token list");
    let way = Way::to(&server, "POST ", Fate::Instead(1, TOO_LATE)).await;
    way.run(&place, CREATE).good();
    assert_eq!((way.asked(), count(&place, "token list")), (2, before + 1));
}

/// A server whose store and operators have so much patience, and that store in somebody's hands until
/// something is sent.
async fn held(store: &str, operation: &str) -> (Place, Server, mpsc::Sender<()>) {
    let place = Place::new().await;
    place.installation.tenant("alice");
    let text = std::fs::read_to_string(place.installation.path("tollgate.toml")).expect("a file");
    let patience = format!("[tenants]\nstore_timeout = \"{store}\"");
    let text = text.replacen("[tenants]", &patience, 1);
    let patience = format!("[admin]\noperation_timeout = \"{operation}\"");
    place.installation.write("tollgate.toml", &text.replacen("[admin]", &patience, 1));
    let server = place.serve();
    let store = place.installation.path("tollgate.db").display().to_string().into();
    let (release, released) = mpsc::channel();
    let (hold, holds) = mpsc::channel();
    std::thread::spawn(move || {
        let mut store = Store::open(&Config { store, ..Config::default() }).expect("a store");
        store.edit::<_, StoreError>(1_800_000_000, |_| {
            hold.send(()).expect("somebody waits");
            // Whoever is gone, has released it.
            let _ = released.recv();
            Ok(())
        })
    });
    holds.recv().expect("it is held");
    (place, server, release)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_did_not_do_is_not_said_to_be_open() {
    let (place, server, release) = held("500ms", "20s").await;
    let way = Way::to(&server, "POST ", Fate::Lost(0)).await;
    let refused = way.run(&place, CREATE);
    assert_eq!((refused.code, way.asked()), (Some(69), 1), "{refused:?}");
    assert!(refused.err.contains("cannot do it now"), "{refused:?}");
    assert!(!refused.err.contains("may have been done"), "{refused:?}");
    release.send(()).expect("it is held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_does_late_is_asked_for_again() {
    let (place, server, release) = held("10s", "500ms").await;
    let way = Way::to(&server, "POST ", Fate::Lost(0)).await;
    let asked = Arc::clone(&way.asked);
    tokio::spawn(async move {
        while asked.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        release.send(()).expect("it is held");
    });
    let token = way.run(&place, CREATE).good();
    assert_eq!((way.asked(), count(&place, "token list")), (2, 2));
    server.answers(token.trim(), 200, "").await;
}

const AWAY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 100\r\n\r\n\
    {\"type\":\"/v1/problems#unavailable\",\"title\":\"\",\"status\":503,\"detail\":\"the store is away\",\"errors\":[]}";
const WRONG: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 95\r\n\r\n\
    {\"type\":\"/v1/problems#unauthorized\",\"title\":\"\",\"status\":401,\"detail\":\"it is wrong\",\"errors\":[]}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_fails_does_not_end_the_wait_for_a_rotation() {
    const LOOK: &str = "GET /v1/key-rotations/";
    let place = Place::configured(QUICK).await;
    place.installation.tenant("alice");
    let server = place.serve();
    for fate in [Fate::Lost(3), Fate::Instead(3, AWAY), Fate::Instead(3, NOT_FOUND)] {
        let way = Way::to(&server, LOOK, fate).await;
        let end = way.run(&place, "credential rotate-key alice").good();
        assert!(end.contains("has a new key") && way.asked() > 3, "{end}");
    }
    for (fate, why) in [(Fate::Lost(99), "no answer"), (Fate::Instead(99, AWAY), "is away")] {
        let way = Way::to(&server, LOOK, fate).await;
        let waited = way.run(&place, "credential rotate-key alice --wait 1s");
        assert_eq!(waited.code, Some(75), "{waited:?}");
        for said in ["planned", "goes on", why] {
            assert!(waited.err.contains(said), "{said}: {waited:?}");
        }
        place.run(&["credential", "rotate-key", "alice"]).good();
    }
    // What says that it is not to be seen, will say so again.
    let way = Way::to(&server, LOOK, Fate::Instead(9, WRONG)).await;
    let refused = way.run(&place, "credential rotate-key alice");
    assert_eq!((refused.code, way.asked()), (Some(77), 1), "{refused:?}");
}
