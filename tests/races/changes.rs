//! What an operator changes is in force on the next request, and no connection is dropped for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tollgate::{
    limit::{Quota, Quotas},
    tenants::record::TenantSettings,
};

use crate::harness::{Speaks, World, json, within};

const VMS: &str = "/virtual_machines.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_refused_on_the_same_connection() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let mut client = w.connect(speaks).await;
        let token = format!("token-{speaks:?}");
        w.add_token(&token, "a", "a", &Default::default());
        let hit = client.send(w.request("GET", VMS, &token)).await.expect("an answer");
        assert_eq!((hit.status, &*hit.cache()), (200, "hit"));
        w.revoke(&token);
        w.reload();
        let refused = client.send(w.request("GET", VMS, &token)).await.expect("an open connection");
        assert_eq!((refused.status, refused.code()), (401, "invalid_token"));
        // The tenant's other token goes on, on the same connection.
        assert_eq!(client.send(w.request("GET", VMS, "a")).await.expect("open").status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_finds_out_by_itself() {
    let w = World::new().await;
    w.get(VMS).as_("b").origin(json("[]")).await;
    let mut client = w.connect(Speaks::Http1).await;
    w.revoke("b");
    within("the revocation", async {
        while client.send(w.request("GET", VMS, "b")).await.expect("an answer").status != 401 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(w.metric("tollgate_reloads_total{what=\"tenants\",outcome=\"ok\"}").await >= 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_limit_is_in_force_at_once_and_others_are_not_forgotten() {
    let w = World::new().await;
    w.get(VMS).as_("tight").origin(json("[]")).await;
    w.get(VMS).as_("tight").await;
    w.get(VMS).as_("tight").expect_refusal(429, "rate_limited").await;
    let mut client = w.connect(Speaks::Http1).await;
    let two = Some(Quota { per_second: 1, burst: 2 });
    let quotas = Quotas { reads: two, ..Quotas::default() };
    w.set_tenant("a", &TenantSettings { quotas, ..TenantSettings::default() });
    w.reload();
    let mut statuses = Vec::new();
    w.get(VMS).as_("c").origin(json("[]")).await;
    for _ in 0..3 {
        statuses.push(client.send(w.request("GET", VMS, "a")).await.expect("open").status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    // What was spent before stays spent where nothing was changed,
    w.get(VMS).as_("tight").expect_refusal(429, "rate_limited").await;
    // and a limit that is lifted is lifted.
    w.set_tenant("a", &TenantSettings::default());
    w.reload();
    assert_eq!(client.send(w.request("GET", VMS, "a")).await.expect("open").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_credential_starts_new_partitions() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[\"old\"]")).expect_cache("miss").await;
    w.get(VMS).as_("b").origin(json("[\"b\"]")).expect_cache("miss").await;
    w.rotate_credential("a", "another-secret-of-a");
    let step = w.get(VMS).as_("a").origin(json("[\"new\"]")).expect_cache("miss");
    step.sees(|seen| assert_eq!(seen.login(), "a:another-secret-of-a")).await;
    // What was kept for others was not searched for the new secret.
    w.get(VMS).as_("b").origin(json("[\"b\"]")).expect_cache("miss").await;
    w.get(VMS).as_("b").expect_cache("hit").await;
    // The new secret is masked like the old one was.
    let leak = w.get("/odd.json").as_("b").origin(json("[\"another-secret-of-a\"]"));
    leak.expect_body("[\"********\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_swapped_under_load() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[1]")).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for speaks in [Speaks::Http1, Speaks::Http2, Speaks::Http1] {
        let (mut client, request) = (w.connect(speaks).await, w.request("GET", VMS, "a"));
        let stop = Arc::clone(&stop);
        load.spawn(async move {
            let mut answered = 0;
            while !stop.load(Ordering::SeqCst) {
                let answer = client.send(request.clone()).await.expect("nothing is dropped");
                assert_eq!(answer.status, 200);
                answered += 1;
            }
            answered
        });
    }
    let before = w.shown_certificate().await;
    w.swap_certificate();
    let swapped = w.trusted().last().expect("two").clone();
    assert_ne!(before, swapped);
    within("the new certificate", async {
        while w.shown_certificate().await != swapped {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    assert!(load.join_all().await.iter().all(|answered| *answered > 0));
    assert_eq!(w.metric("tollgate_reloads_total{what=\"certificate\",outcome=\"ok\"}").await, 1.0);
}

/// Sends a request over and over on one connection until it is answered with the expected refusal;
/// once the change is in force, at most so many more requests may pass.
async fn until_refused(
    w: &World,
    speaks: Speaks,
    who: &str,
    refusal: (u16, &'static str),
    changed: &Arc<AtomicBool>,
    most: usize,
) -> impl Future<Output = ()> + Send + 'static {
    let (mut client, request) = (w.connect(speaks).await, w.request("GET", VMS, who));
    let changed = Arc::clone(changed);
    async move {
        let mut passed = 0;
        loop {
            let in_force = changed.load(Ordering::SeqCst);
            let answer = client.send(request.clone()).await.expect("nothing is dropped");
            if answer.status == refusal.0 {
                return assert_eq!(answer.code(), refusal.1);
            }
            assert_eq!(answer.status, 200);
            passed += usize::from(in_force);
            assert!(passed <= most, "{passed} requests passed behind the change");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_revoked_and_a_limit_changed_under_load() {
    let w = World::new().await;
    w.get(VMS).as_("a").origin(json("[]")).await;
    w.add_token("doomed", "a", "a", &Default::default());
    let [revoked, limited] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let mut load = tokio::task::JoinSet::new();
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let refused = (401, "invalid_token");
        load.spawn(until_refused(&w, speaks, "doomed", refused, &revoked, 0).await);
        // Two share a burst of one.
        let refused = (429, "rate_limited");
        load.spawn(until_refused(&w, speaks, "a", refused, &limited, 1).await);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    w.revoke("doomed");
    w.reload();
    revoked.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reads = Some(Quota { per_second: 1, burst: 1 });
    let quotas = Quotas { reads, ..Quotas::default() };
    w.set_tenant("a", &TenantSettings { quotas, ..TenantSettings::default() });
    w.reload();
    limited.store(true, Ordering::SeqCst);
    within("the refusals", load.join_all()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_no_good_is_not_taken() {
    let w = World::new().await;
    let before = w.shown_certificate().await;
    w.spoil_certificate();
    assert!(w.process.tls().reload().is_err());
    assert_eq!(w.shown_certificate().await, before);
}
