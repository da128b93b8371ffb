//! What a token may ask for, and what no token may.

use crate::harness::{World, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_token_reads_and_nothing_else() {
    let w = World::new().await;
    w.get("/users.json").as_("reader").origin(json("[]")).expect_status(200).await;
    w.head("/users.json").as_("reader").expect_cache("hit").await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let step = w.ask(method, "/virtual_machines/1.json").as_("reader");
        step.expect_refusal(403, "read_only_token").await;
    }
    // Nobody knows what a read does that is not listed.
    w.get("/who_knows.json").as_("reader").expect_refusal(403, "read_only_token").await;
    w.get("/snapshots/1/restore.json").as_("reader").expect_refusal(403, "read_only_token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_within_scopes() {
    let w = World::new().await;
    w.get("/virtual_machines.json").as_("vms").origin(json("[]")).expect_status(200).await;
    w.put("/virtual_machines/1.json").as_("vms").origin(json("{}")).expect_status(200).await;
    for target in ["/users.json", "/transactions.json", "/version.json"] {
        w.get(target).as_("vms").expect_refusal(403, "out_of_scope").await;
    }
    // A refusal comes before the cache, which has the entry of the same credential.
    w.get("/users.json").as_("a").origin(json("[]")).expect_cache("miss").await;
    w.get("/users.json").as_("vms").expect_refusal(403, "out_of_scope").await;
    w.put("/virtual_machines/1/disks/2.json").as_("vms").expect_refusal(403, "out_of_scope").await;
    w.delete("/unheard/of.json").as_("vms").expect_refusal(403, "out_of_scope").await;
    w.get("/unheard/of.json").as_("vms").expect_refusal(403, "out_of_scope").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_wins() {
    let w = World::new().await;
    w.get("/users.json").as_("not-vms").origin(json("[]")).expect_status(200).await;
    w.get("/virtual_machines.json").as_("not-vms").expect_refusal(403, "out_of_scope").await;
    // A route of two families is denied by either.
    w.get("/users/1/vm_stats.json").as_("not-vms").expect_refusal(403, "out_of_scope").await;
    w.delete("/virtual_machines/1.json").as_("not-vms").expect_refusal(403, "out_of_scope").await;
    // An id of another shape gets around nothing.
    w.get("/virtual_machines/1abc.json").as_("not-vms").expect_refusal(403, "out_of_scope").await;
    w.get("/users/01/vm_stats.json").as_("not-vms").expect_refusal(403, "out_of_scope").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_handles_credentials_is_for_no_token() {
    let w = World::new().await;
    for target in [
        "/users/1/make_new_api_key.json",
        "/users/1/make_new_api_key.xml",
        "/users/1/make_new_api_key.html",
        "/users/1/make_new_api_key",
        "/users/1/make_new_api_key.html.erb",
        "/users/1/make_new_api_key%2ejs",
        "/users/1/%6dake_new_api_key.json",
        "//users//1/make_new_api_key.json/",
        "/users/1abc/make_new_api_key.json",
        "/users/1/user_api_keys.json",
        "/users/1/user_api_keys/generate.json",
        "/users/1/suspend.json",
        "/users/1/login_as",
        "/users/1/user_white_lists.json",
        "/user_white_lists/3.json",
        "/users/sign_in",
        "/users/sign_in.html",
        "/users/password/edit",
        "/users/drop_all.json",
        "/users/validate_login.json",
        "/console_remote/abcdef",
        "/yubi_keys.json",
        "/settings/saml_id_providers.json",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            w.ask(method, target).as_("a").expect_refusal(403, "guarded_route").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_may_be_read_and_not_changed() {
    let w = World::new().await;
    for target in [
        "/users/1.json",
        "/users/1",
        "/users/1.html",
        "/users/1%2ejson",
        "/users/1.json/",
        "//users/1.json",
        "/users/%31.json",
        "/users/01",
        "/users/1;x.json",
        "/users/1%3Fx.json",
        "/users/%201.json",
        "/profile.json",
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            w.ask(method, target).as_("a").expect_refusal(403, "guarded_route").await;
        }
    }
    w.post("/users.json").as_("a").expect_refusal(403, "guarded_route").await;
    w.get("/users/1.json").as_("a").origin(json("{}")).expect_status(200).await;
    // What is below a user is not all about credentials.
    let keys = w.post("/users/1/ssh_keys.json").as_("a").body("application/json", "{}");
    keys.origin(json("{}")).expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_override_gets_around_no_guard() {
    let w = World::new().await;
    let form = "application/x-www-form-urlencoded";
    let header = w.post("/users/1.json").as_("a").header("x-http-method-override", "DELETE");
    header.expect_refusal(403, "guarded_route").await;
    w.post("/profile.json")
        .as_("a")
        .body(form, "_method=put")
        .expect_refusal(403, "guarded_route")
        .await;
}
