//! What is answered from memory, what is not, and what says so.

use crate::harness::{World, json, xml};

const LIST: &str = r#"[{"virtual_machine":{"id":1,"label":"web"}}]"#;
const XML: &str = "<virtual_machines type=\"array\"/>\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_and_then_a_hit() {
    let w = World::new().await;
    let list = "/virtual_machines.json";
    w.get(list)
        .as_("a")
        .origin(json(LIST))
        .asks("GET /virtual_machines.json")
        .expect_status(200)
        .expect_cache("miss")
        .expect_body(LIST)
        .await;
    w.get(list).as_("a").no_origin().expect_status(200).expect_cache("hit").expect_body(LIST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_format_is_fetched_by_itself() {
    let w = World::new().await;
    w.get("/virtual_machines.json").as_("a").origin(json(LIST)).expect_cache("miss").await;
    let step = w.get("/virtual_machines.xml").as_("a").origin(xml(XML));
    step.expect_cache("miss").expect_body(XML).await;
    w.get("/virtual_machines.xml").as_("a").no_origin().expect_cache("hit").expect_body(XML).await;
}
