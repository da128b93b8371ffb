//! Two that work on the rotations of one store, one of which loses its lease.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tollgate::{
    audit::event::{Actor, ActorKind},
    auth::keyring::Keyring,
    config::Config,
    demo::simulator::Stage,
    metrics::Metrics,
    net::upstream::Upstream,
    rotation::{self, Panel, Parts, Rotor, Worked, now_in_millis},
    tenants::{
        course::{Facts, Step, Way},
        master_key,
        store::{Store, StoreError, rotations::Lease},
    },
};

use super::{ends, generation, installation, status_of, user};
use crate::{cli::Installation, harness::within};

const GENERATE: &str = "POST /users/1/user_api_keys/generate";
const FORGET: &str = "POST /users/1/make_new_api_key";

/// The keys of the store, as the master key that there is opens them.
pub(super) fn keyring(installation: &Installation) -> Arc<Keyring> {
    let config = Config::load(&installation.path("tollgate.toml")).expect("a configuration");
    let master = master_key::read(&installation.path("master.key")).expect("a master key");
    let mut store = Store::open(&config.tenants).expect("a store");
    Arc::new(store.unlock(master, now_in_millis() / 1000).expect("its key"))
}

/// As the program makes it.
pub(super) fn rotor(installation: &Installation) -> Arc<Rotor> {
    rotor_with(installation, |_| ())
}

/// As the program makes it, with other settings.
pub(super) fn rotor_with(
    installation: &Installation,
    set: impl FnOnce(&mut rotation::Config),
) -> Arc<Rotor> {
    let mut config = Config::load(&installation.path("tollgate.toml")).expect("a configuration");
    set(&mut config.rotation);
    let keyring = keyring(installation);
    let metrics = Arc::new(Metrics::new());
    let panels: HashMap<_, _> = config
        .upstreams
        .iter()
        .map(|(name, upstream)| {
            let (origin, settings) = (upstream.origin.clone(), upstream.config.clone());
            let pool = Upstream::new(origin, settings, Arc::clone(&metrics)).expect("a pool");
            (name.clone(), Panel { pool, only_format: None })
        })
        .collect();
    let actor = Actor::unnamed(ActorKind::Server);
    let (config, store) = (config.rotation, config.tenants);
    let parts = Parts { config, store, keyring, actor, panels, metrics };
    Arc::new(Rotor::new(parts).expect("random numbers"))
}

/// Plans a rotation that nobody works on yet.
pub(super) async fn planned(rotor: &Arc<Rotor>, name: &str) -> i64 {
    rotor.plan(name, Way::Add, Facts::default()).await.expect("planned")
}

/// Takes the lease from whoever has it, and lets go of it: as if it had ended, and another had come.
pub(super) fn rob(installation: &Installation, row: i64) {
    let config = Config::load(&installation.path("tollgate.toml")).expect("a configuration");
    let mut store = Store::open(&config.tenants).expect("a store");
    let now = now_in_millis();
    let robbed = store.edit::<_, StoreError>(now / 1000, |edit| {
        let holder = edit.rotation(row)?.expect("it is there").holder;
        edit.release_rotation(row, &holder)?;
        edit.claim_rotation(row, Lease { holder: "another", until: now }, now)
    });
    assert!(robbed.expect("written").is_some());
}

/// Works on a rotation until it has ended.
pub(super) async fn finished(rotor: &Arc<Rotor>, row: i64) {
    within("the end of a rotation", async {
        while !matches!(rotor.work(row, |_| ()).await.expect("the store is there"), Worked::Ended) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The credential has the one new key, and nobody has asked for another.
async fn one_key_was_made(installation: &Installation, old: &str) {
    assert_eq!(ends(installation), [("done".to_owned(), None)]);
    assert_eq!(generation(installation, "alice"), 2);
    assert_eq!(installation.panel.count("POST", "/users/1/user_api_keys/generate"), 1);
    assert_eq!(installation.panel.further_keys("alice").len(), 1);
    assert_eq!(status_of(installation, &user(installation, "alice").email, old).await, 401);
    installation.json("credential test alice", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_its_lease_while_the_panel_is_asked_leaves_the_rest_to_the_other() {
    for asked in [GENERATE, FORGET] {
        let installation = installation().await;
        installation.tenant("alice");
        let old = user(&installation, "alice").api_key;
        let [first, second] = [rotor(&installation), rotor(&installation)];
        let row = planned(&first, "alice").await;
        let gate = installation.panel.hold(asked, Stage::BeforeReply, 1);
        let working = tokio::spawn(async move {
            loop {
                // While the old key drains there is nothing to do.
                match first.work(row, |_| ()).await {
                    Ok(Worked::Later(_)) => sleep(Duration::from_millis(20)).await,
                    worked => return worked,
                }
            }
        });
        gate.arrived().await.expect("it asks");
        rob(&installation, row);
        finished(&second, row).await;
        // It hears of that by its lease: the panel has not answered.
        let worked = timeout(Duration::from_secs(10), working).await.expect("it looks");
        let worked = worked.expect("no panic");
        assert!(matches!(worked, Ok(Worked::Elsewhere)), "{asked}: {worked:?}");
        gate.release();
        one_key_was_made(&installation, &old).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_its_lease_before_the_switch_does_not_switch() {
    let installation = installation().await;
    installation.tenant("alice");
    let old = user(&installation, "alice").api_key;
    let [first, second] = [rotor(&installation), rotor(&installation)];
    let row = planned(&first, "alice").await;
    let rob_before_it_switches = |step| {
        if step == Step::Probed {
            rob(&installation, row);
        }
    };
    let worked = first.work(row, rob_before_it_switches).await;
    assert!(matches!(worked, Ok(Worked::Elsewhere)), "{worked:?}");
    assert_eq!(generation(&installation, "alice"), 1, "the switch was undone");
    assert_eq!(ends(&installation), [("probed".to_owned(), None)]);
    finished(&second, row).await;
    one_key_was_made(&installation, &old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_panel_keeps_its_lease() {
    let installation = installation().await;
    installation.tenant("alice");
    let old = user(&installation, "alice").api_key;
    let [first, second] = [rotor(&installation), rotor(&installation)];
    let row = planned(&first, "alice").await;
    let gate = installation.panel.hold(GENERATE, Stage::BeforeReply, 1);
    let working = tokio::spawn(async move { finished(&first, row).await });
    gate.arrived().await.expect("it asks");
    // Longer than a lease.
    for _ in 0..10 {
        let worked = second.work(row, |_| ()).await;
        assert!(matches!(worked, Ok(Worked::Elsewhere)), "{worked:?}");
        sleep(Duration::from_millis(250)).await;
    }
    gate.release();
    working.await.expect("no panic");
    one_key_was_made(&installation, &old).await;
}
