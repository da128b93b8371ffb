//! That a running directory follows the store, and survives what it cannot read.

use std::time::Instant;

use super::*;
use crate::{
    audit::event::{Action, Decision},
    tenants::fixture::{Fixture, NOW, keyring, surroundings},
};

fn open(fixture: &Fixture) -> Arc<Directory> {
    let config = fixture.config();
    let metrics = Arc::new(Metrics::new());
    let opened = Directory::open(&config, keyring("ab"), surroundings(), metrics);
    Arc::new(opened.expect("a directory"))
}

fn reloads(directory: &Directory, outcome: Success) -> u64 {
    directory.metrics.reloads.tried.of(Reload::Tenants, outcome).get()
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
    assert_eq!(directory.metrics.reloads.tokens.get(), 1);
    fixture.store.edit(NOW, |edit| edit.revoke_token(&id)).expect("revoked");
    seen_within_a_second(false).await;

    shutdown.cancel();
    watch.await.expect("ended");
}

/// An import may hold the turn to write for long; revocations are seen meanwhile.
#[test]
fn whoever_waits_to_write_holds_up_nobody_who_follows() {
    let mut fixture = Fixture::new();
    let directory = open(&fixture);
    let event = Event::new(Actor::unnamed(ActorKind::Server), Action::Purge, Decision::Done);
    let pen = Arc::clone(&directory);
    let held = fixture.store.edit(NOW, |_| {
        let writing = std::thread::spawn(move || pen.append_audit(&[(NOW, event)]));
        while directory.writer.try_lock().is_ok() {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        directory.poll();
        assert!(begun.elapsed() < Duration::from_secs(1), "it waited {:?}", begun.elapsed());
        Ok::<_, StoreError>(writing)
    });
    held.expect("edited").join().expect("no panic").expect("written once it could be");
    assert_eq!(fixture.store.audit_links(0).expect("read").len(), 1);
}

#[test]
fn it_is_told_when_the_store_was_followed_last() {
    let mut fixture = Fixture::new();
    let directory = open(&fixture);
    let followed = &directory.metrics.store.followed;
    for changed in [false, true] {
        if changed {
            fixture.add("acme", "one");
        }
        followed.set(0);
        directory.poll();
        assert!((unix(SystemTime::now()) - followed.get()).abs() < 60);
    }
    fixture.store.script("ALTER TABLE store RENAME TO hidden");
    followed.set(0);
    directory.poll();
    assert_eq!(followed.get(), 0);
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

#[test]
fn the_secrets_to_seek_are_known_before_they_are_in_force() {
    let mut fixture = Fixture::new();
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let place: Arc<std::sync::OnceLock<Arc<Directory>>> = Arc::default();
    let (shown, inside) = (Arc::clone(&seen), Arc::clone(&place));
    let vault = Box::new(move |next: &Snapshot| {
        let in_force = inside.get().map_or(0, |directory| directory.snapshot().vault_version());
        assert_eq!(in_force + 1, next.vault_version());
        shown.lock().expect("whole").push(next.vault_version());
    });
    let around = Surroundings { vault, ..surroundings() };
    fixture.add("acme", "one");
    let metrics = Arc::new(Metrics::new());
    let opened = Directory::open(&fixture.config(), keyring("ab"), around, metrics);
    let directory = place.get_or_init(|| Arc::new(opened.expect("a directory")));
    fixture.add("other", "two");
    directory.poll();
    let id = fixture.add("third", "three");
    directory.poll();
    // A token's end changes no secret.
    fixture.store.edit(NOW, |edit| edit.revoke_token(&id)).expect("revoked");
    directory.poll();
    assert_eq!(*seen.lock().expect("whole"), [1, 2, 3]);
}

/// The bench `scale` measures it; this notices when it gets out of hand.
#[test]
fn twenty_thousand_tokens_are_in_force_within_seconds_and_found_at_once() {
    const TOKENS: usize = 20_000;
    let mut fixture = Fixture::new();
    fixture.add("acme", "one");
    let key_id = fixture.keyring.id().as_str().to_owned();
    fixture.store.script(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {TOKENS})
         INSERT INTO tokens (id, tenant, credential, mac, key_id, access, allow, deny, addresses,
             adopted, created, ordinal)
         SELECT 'token-' || i, tenants.row, credentials.row, randomblob(32), '{key_id}',
             'read-write', '', '', '192.0.2.0/24', 0, 0, i
         FROM n, tenants, credentials"
    ));
    let begun = Instant::now();
    let directory = open(&fixture);
    let (opened, begun) = (begun.elapsed(), Instant::now());
    directory.reload().expect("reloaded");
    let reloaded = begun.elapsed();
    let macs: Vec<Mac> =
        fixture.store.records().expect("read").tokens.iter().map(|token| token.mac).collect();
    let begun = Instant::now();
    assert!(macs.iter().all(|mac| directory.find(mac).is_some()));
    let found = begun.elapsed() / u32::try_from(TOKENS).expect("few");
    println!("opened in {opened:?}, reloaded in {reloaded:?}, found in {found:?} each");
    assert_eq!((macs.len(), directory.metrics.reloads.tokens.get()), (TOKENS, 20_000));
    // An unoptimized build needs about a second; a tenth of the tokens takes a tenth of that.
    assert!(opened < Duration::from_secs(10) && reloaded < Duration::from_secs(10));
    assert!(found < Duration::from_micros(50), "{found:?}");
}
