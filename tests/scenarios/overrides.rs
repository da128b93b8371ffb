//! POSTs that Rack turns into something else are judged as what they become.

use crate::harness::{World, json};

const VM: &str = "/virtual_machines/1.json";
const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_is_taken_and_never_passed_on() {
    let w = World::new().await;
    for name in ["X-HTTP-Method-Override", "X_HTTP_METHOD_OVERRIDE"] {
        let step = w.post(VM).as_("a").header(name, "delete").origin(json("{}"));
        let step = step.sees(|seen| {
            assert_eq!(seen.line(), "DELETE /virtual_machines/1.json");
            assert!(!seen.names().iter().any(|n| n.contains("override")), "{:?}", seen.headers);
        });
        step.expect_status(200).await;
    }
    // Rack looks at the header of a POST only.
    let get = w.get(VM).as_("a").header("x-http-method-override", "DELETE").origin(json("{}"));
    // After a deletion, so what it shows is unsettled.
    get.asks("GET /virtual_machines/1.json").expect_cache("miss:unsettled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_field_goes_on_byte_for_byte() {
    let w = World::new().await;
    for body in ["a=1&_method=delete", "%5Fmethod=delete", "_%6dethod=D%45LETE&b"] {
        let step = w.post(VM).as_("a").body(FORM, body).origin(json("{}"));
        step.sees(move |seen| assert_eq!(seen.body, body.as_bytes())).expect_status(200).await;
    }
    let untyped = w.post(VM).as_("a").untyped("_method=put").origin(json("{}"));
    untyped.sees(|seen| assert_eq!(seen.header("content-type"), None)).expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_in_two_ways_is_refused() {
    let w = World::new().await;
    let refuse = async |content_type: &str, body: &str| {
        let step = w.post(VM).as_("a").body(content_type, body.to_owned());
        step.expect_refusal(400, "bad_method_override").await;
    };
    refuse(FORM, "a=1;_method=delete").await;
    refuse(FORM, "_method=put&_method=delete").await;
    refuse(FORM, "_method=get").await;
    refuse(FORM, "_method=head").await;
    let part = "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--x--";
    refuse("multipart/form-data; boundary=x", part).await;
    let step = w.post(VM).as_("a").header("x-http-method-override", "GET");
    step.expect_refusal(400, "bad_method_override").await;
    let twice = w.post(VM).as_("a").header("x-http-method-override", "PUT");
    twice.header("x_http_method_override", "PUT").expect_refusal(400, "bad_method_override").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_without_an_override_passes() {
    let w = World::new().await;
    let part = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ndata\r\n--x--";
    let step = w.post("/templates.json").as_("a").body("multipart/form-data; boundary=x", part);
    step.origin(json("{}"))
        .sees(move |seen| assert_eq!(seen.body, part.as_bytes()))
        .expect_status(200)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_is_judged_as_what_it_becomes() {
    let w = World::new().await;
    for body in ["_method=delete", "x=1&%5Fmethod=DELETE"] {
        let step = w.post("/users/2/ssh_keys/3.json").as_("reader").body(FORM, body);
        step.expect_refusal(403, "read_only_token").await;
    }
    w.get("/virtual_machines.json").as_("a").origin(json("[]")).await;
    let delete = w.post(VM).as_("a").body(FORM, "_method=delete").origin(json("{}"));
    delete.expect_cache("write").await;
    let read = w.get("/virtual_machines.json").as_("a").origin(json("[]"));
    read.expect_cache("miss:unsettled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_to_look_into_is_refused() {
    let w = World::with("gateway.max_inspected_body = \"1KiB\"").await;
    let large = "a".repeat(2000);
    w.post(VM).as_("a").body(FORM, large.clone()).expect_refusal(413, "body_too_large").await;
    // JSON hides no override, so it is not looked into.
    let json_body = w.post(VM).as_("a").body("application/json", large).origin(json("{}"));
    json_body.expect_status(200).await;
}
