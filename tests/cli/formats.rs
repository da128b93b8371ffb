//! `tollgate formats`, and the routes of the admin listener that it asks.

use super::purge::Place;
use crate::{
    harness::{sum_of, within},
    panel::admin_at,
};

const JSON: &str = "/virtual_machines.json";
const XML: &str = "/virtual_machines.xml";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_has_learned_another_takes() {
    let place = Place::new().await;
    let [alice, bob] = ["alice", "bob"].map(|name| place.installation.tenant(name));
    let server = place.serve();
    assert_eq!(place.run(&["formats", "list"]).good(), "");
    let taken = async |admin, outcome: &str| {
        let series = format!("tollgate_formats_pairs_total{{outcome=\"{outcome}\"}}");
        within(outcome, async {
            while sum_of(&admin_at(admin, "/metrics").await, &series) < 1.0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    for target in [JSON, XML] {
        server.get(&alice, target).await;
    }
    taken(server.admin, "learned").await;
    let listed = place.run(&["formats", "list"]).good();
    assert!(listed.contains("main      /virtual_machines  unproven"), "{listed}");
    server.get(&bob, JSON).await;
    taken(server.admin, "proved").await;
    let listed = place.run(&["formats", "list"]).good();
    assert!(listed.contains("/virtual_machines  proven"), "{listed}");
    let tokens = place.installation.json("token list", "");
    let id = |tenant: &str| {
        let tokens = tokens.as_array().expect("a list");
        let token = tokens.iter().find(|token| token["tenant"] == tenant).expect("a token");
        token["id"].as_str().expect("an id").to_owned()
    };
    let run = ["explain", "--dry-run", "GET", XML, "--token-id", &id("bob")];
    let explained = place.run(&run).good();
    assert!(explained.contains("derived from what is kept in the other format"), "{explained}");
    assert_eq!(server.get(&bob, XML).await.cache(), "hit:derived");

    // Names and kinds, and nothing of what anybody was shown.
    let exported = place.run(&["formats", "export"]).good();
    assert!(exported.contains("ip_addresses") && !exported.contains("10.0."), "{exported}");
    server.terminate();
    place.installation.write("maps.json", &exported);
    let file = place.installation.path("maps.json").display().to_string();
    let server = place.serve();
    assert_eq!(place.run(&["formats", "import", &file]).good(), "1 maps taken\n");
    let listed = place.run(&["formats", "list"]).good();
    assert!(listed.contains("unproven"), "{listed}");
    // One pair is enough for what was learned elsewhere.
    for target in [JSON, XML] {
        server.get(&alice, target).await;
    }
    taken(server.admin, "proved").await;
    assert_eq!(place.run(&["formats", "import", &file]).good(), "0 maps taken\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_map_is_refused_and_named() {
    let place = Place::new().await;
    let _server = place.serve();
    let map = |route: &str, places: &str| {
        format!(
            r#"[{{"upstream":"main","route":"{route}","map":{{"root":{{}},"places":[{places}]}}}}]"#
        )
    };
    for (text, why) in [
        ("[", "EOF"),
        (&*map("/nowhere", "{}"), "\"/nowhere\" is no route"),
        (&map("/virtual_machines", ""), "more than 4096 places"),
        (&map("/virtual_machines", r#"{"object":[["a",0]]}"#), "refers to one"),
        (&map("/virtual_machines", r#"{"colour":1}"#), "unknown field `colour`"),
    ] {
        place.installation.write("maps.json", text);
        let file = place.installation.path("maps.json").display().to_string();
        let refused = place.run(&["formats", "import", &file]);
        assert_eq!((refused.code, &*refused.out), (Some(65), ""), "{refused:?}");
        assert!(refused.err.contains(why), "{why}: {refused:?}");
    }
    let stranger = place.run_as("another-token-of-at-least-32-characters", &["formats", "list"]);
    assert_eq!(stranger.code, Some(77), "{stranger:?}");
}
