//! apache-libcloud, the Python library, as it is on PyPI.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    panel::{
        House,
        formats::{FAST, invalidate, prove},
    },
    program,
};

const SCRIPT: &str = include_str!("libcloud.py");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libcloud_lists_creates_and_destroys() {
    let house = House::new().await;
    let report = libcloud(&house, &[]).await;
    let seeded = house.machines("alice").len();
    let count = |list: &str| report[list].as_array().expect("a list").len();
    assert_eq!((count("before"), count("again")), (seeded, seeded));
    assert_eq!(count("images"), 4);
    assert_eq!(report["created"]["name"], "from-libcloud");
    assert_eq!((count("with_it"), count("without_it")), (seeded + 1, seeded));
    assert!(report["with_it"].to_string().contains("from-libcloud"));
    assert_eq!(report["keys"], serde_json::json!([1, 2, 1]));
    assert!(house.metric(r#"tollgate_cache_lookups_total{outcome="hit"}"#).await >= 1.0);
    let identifier = report["created"]["id"].as_str().expect("an identifier");
    let destroyed = house.panel().count("DELETE", &format!("/virtual_machines/{identifier}"));
    assert_eq!(destroyed, 1, "{:?}", house.panel().seen().last());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libcloud_and_a_client_in_xml_work_on_one_cache() {
    let house = House::with(|options| options.formats = FAST.to_owned()).await;
    prove(&house).await;
    invalidate(&house, "alice").await;
    let report = libcloud(&house, &["list"]).await;
    let names = report["machines"].as_array().expect("a list");
    let before = house.panel().seen().len();
    let shown = house.get("alice", "/virtual_machines.xml").await;
    assert_eq!((shown.status, &*shown.cache()), (200, "hit:derived"));
    assert_eq!(house.panel().seen().len(), before, "the panel was asked");
    let labels =
        names.iter().map(|name| format!("<label>{}</label>", name.as_str().expect("text")));
    assert!(labels.into_iter().all(|label| shown.text().contains(&label)), "{}", shown.text());
    assert_eq!(shown.body, house.direct("alice", "/virtual_machines.xml").await.body);
}

/// What the script reports that works on a demo as alice.
async fn libcloud(house: &House, arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &house.card().ca).expect("written");
    let alice = house.tenant("alice");
    let port = house.address().port().to_string();
    let authority = authority.to_str().expect("text");
    let always = ["-c", SCRIPT, "localhost", &port, &alice.login, authority];
    let mut command = program::command(python(), always.iter().chain(arguments));
    // requests asks these first.
    command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
    command.env("NO_PROXY", "localhost");
    let ended = program::run(command, &format!("{}\n", alice.token)).await;
    serde_json::from_str(ended.good().trim()).expect("JSON")
}

/// The python that has libcloud; `./test` makes one.
fn python() -> PathBuf {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python");
    let python = std::env::var_os("TOLLGATE_TEST_PYTHON").map_or(made, PathBuf::from);
    assert!(
        python.is_file(),
        "{} is missing: run ./test once, or set TOLLGATE_TEST_PYTHON to a python that has \
         apache-libcloud 3.9.1 from PyPI",
        python.display()
    );
    python
}
