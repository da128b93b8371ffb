//! That a running directory follows the store, and survives what it cannot read.

use std::time::Instant;

use super::*;
use crate::tenants::fixture::{Fixture, NOW, keyring, surroundings};

fn open(fixture: &Fixture) -> Arc<Directory> {
    let config = fixture.config();
    let metrics = Arc::new(Metrics::new());
    let opened = Directory::open(&config, keyring("ab"), surroundings(), metrics);
    Arc::new(opened.expect("a directory"))
}

fn reloads(directory: &Directory, outcome: Success) -> u64 {
    directory.metrics.reloads.of(Reload::Tenants, outcome).get()
}

#[tokio::test]
async fn an_edit_by_another_connection_is_seen_within_a_second() {
    let mut fixture = Fixture::new();
    let directory = open(&fixture);
    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(Arc::clone(&directory).watch(shutdown.clone()));
    let mac = directory.keyring().mac(b"one");
    assert!(directory.find(&mac).is_none());

    let id = fixture.add("acme", "one");
    let seen_within_a_second = async |there: bool| {
        let begun = Instant::now();
        while directory.find(&mac).is_some() != there {
            assert!(begun.elapsed() < Duration::from_secs(1), "seen too late");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    seen_within_a_second(true).await;
    assert_eq!(directory.metrics.tokens.get(), 1);
    fixture.store.edit(NOW, |edit| edit.revoke_token(&id)).expect("revoked");
    seen_within_a_second(false).await;

    shutdown.cancel();
    watch.await.expect("ended");
}

#[test]
fn a_store_that_did_not_change_is_not_read_again() {
    let mut fixture = Fixture::new();
    let directory = open(&fixture);
    directory.poll();
    assert_eq!(reloads(&directory, Success::Ok), 1);
    fixture.add("acme", "one");
    directory.poll();
    assert_eq!(reloads(&directory, Success::Ok), 2);
    directory.reload().expect("reloaded");
    assert_eq!(reloads(&directory, Success::Ok), 3);
}

#[test]
fn what_was_in_force_stays_when_the_store_cannot_be_read() {
    let mut fixture = Fixture::new();
    fixture.add("acme", "one");
    let directory = open(&fixture);
    let revise = "UPDATE store SET revision = revision + 1;";
    fixture.store.script(&format!("{revise} ALTER TABLE tokens RENAME TO hidden"));
    directory.poll();
    directory.poll();
    assert_eq!(reloads(&directory, Success::Failed), 2);
    assert!(directory.find(&directory.keyring().mac(b"one")).is_some());
    assert!(directory.reload().is_err());
    fixture.store.script(&format!("{revise} ALTER TABLE hidden RENAME TO tokens"));
    directory.poll();
    assert_eq!(reloads(&directory, Success::Ok), 2);
}
