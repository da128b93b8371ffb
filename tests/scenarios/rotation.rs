//! A credential that is given another key while requests with the old one are on their way.

use super::idempotency::{begin, create, made};
use crate::harness::{World, json, status};

const VMS: &str = "/virtual_machines.json";
const KEY: &str = "upstream-secret-that-came-after-the-first";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_was_overtaken_is_asked_once_more_with_the_new_key() {
    let w = World::new().await;
    let refused = w.origin.expect(status(401).gated());
    let again = w.origin.expect(json("[]"));
    let read = w.begin("GET", VMS, "a");
    refused.arrived().await;
    w.rotate_credential("a", KEY);
    refused.release();
    assert_eq!(again.arrived().await.login(), format!("a:{KEY}"));
    let answer = read.await.expect("no panic");
    assert_eq!(answer.status, 200, "{answer:?}");
    // Once: a key that is refused as well is the credential's own trouble.
    let refused = w.origin.expect(status(401).gated());
    let read = w.begin("GET", "/profile.json", "a");
    refused.arrived().await;
    w.rotate_credential("a", "yet-another-secret");
    let twice = w.origin.expect(status(401));
    refused.release();
    twice.arrived().await;
    let answer = read.await.expect("no panic");
    assert_eq!((answer.status, answer.code()), (502, "credential_refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_with_the_key_in_force_is_not_asked_again() {
    let w = World::new().await;
    let step = w.get(VMS).as_("a").origin(status(401));
    step.expect_refusal(502, "credential_refused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_overtaken_is_sent_once() {
    let w = World::new().await;
    let refused = w.origin.expect(status(401).gated());
    let write = w.begin("PUT", "/virtual_machines/1.json", "a");
    refused.arrived().await;
    w.rotate_credential("a", KEY);
    refused.release();
    let answer = write.await.expect("no panic");
    assert_eq!((answer.status, answer.code()), (502, "credential_refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_outlives_a_key_but_not_whose_the_credential_is() {
    let w = World::new().await;
    let first = create(&w, "a", "k").origin(made()).expect_status(201).await;
    w.rotate_credential("a", KEY);
    let again = create(&w, "a", "k").no_origin().expect_status(201);
    let again = again.expect_header("idempotency-replayed", "true");
    again.expect_body(first.body.clone()).await;
    // Another login is another user.
    w.hand_over("a", "somebody-else", "the-password-of-somebody-else");
    create(&w, "a", "k").expect_refusal(409, "answer_not_kept").await;
    create(&w, "a", "k2").origin(made()).expect_status(201).await;
    create(&w, "a", "k2").no_origin().expect_status(201).await;
    // Nor does it come back with a further key of that one.
    w.hand_over("a", "somebody-else", "another-password-of-somebody-else");
    create(&w, "a", "k").expect_refusal(409, "answer_not_kept").await;
    create(&w, "a", "k2").no_origin().expect_status(201).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_after_a_change_is_that_of_the_user_who_asked() {
    let w = World::new().await;
    for (key, login, again) in [("k1", "a", 201), ("k2", "somebody-else", 409)] {
        let held = w.origin.expect(made().gated());
        let first = begin(&w, "a", key).await;
        held.arrived().await;
        w.hand_over("a", login, &format!("a-password-that-came-with-{key}"));
        held.release();
        assert_eq!(first.await.expect("no panic").status, 201, "{key}");
        create(&w, "a", key).no_origin().expect_status(again).await;
    }
}
