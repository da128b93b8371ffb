//! A credential that is given another key while requests with the old one are on their way.

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
