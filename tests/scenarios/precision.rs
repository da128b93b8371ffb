//! What a write spares: other items, and what other accounts see.

use tollgate::tenants::record::Reach;

use crate::harness::{World, json, status, xml};

const VMS: &str = "/virtual_machines.json";
const ONE: &str = "/virtual_machines/1.json";
const TWO: &str = "/virtual_machines/2.json";
const BY_NAME: &str = "/virtual_machines/abcdefghijklm1.json";

fn machine(id: u64) -> String {
    format!(r#"{{"virtual_machine":{{"id":{id},"identifier":"abcdefghijklm{id}"}}}}"#)
}

fn machines() -> String {
    format!("[{},{}]", machine(1), machine(2))
}

/// A world in which `a` has read everything, and knows both machines by both names.
async fn world() -> World {
    let w = World::new().await;
    w.declare("a", Reach::Own, "ann");
    w.declare("b", Reach::Own, "bob");
    w.get(VMS).as_("a").origin(json(machines())).expect_cache("miss").await;
    w.get(ONE).as_("a").origin(json(machine(1))).expect_cache("miss").await;
    w.get(TWO).as_("a").origin(json(machine(2))).expect_cache("miss").await;
    w.get(BY_NAME).as_("a").origin(json(machine(1))).expect_cache("miss").await;
    w
}

/// Who still hits: the list, the first machine by number and by name, and the second.
async fn hits(w: &World, expected: [bool; 4]) {
    let asked = [VMS, ONE, BY_NAME, TWO];
    for (target, hit) in asked.into_iter().zip(expected) {
        if hit {
            w.get(target).as_("a").expect_cache("hit").await;
        } else {
            w.get(target).as_("a").origin(json(machine(1))).expect_cache("miss").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_one_machine_spares_the_others() {
    for by in [ONE, BY_NAME] {
        let w = world().await;
        w.put(by).as_("a").origin(status(204)).expect_status(204).await;
        hits(&w, [false, false, false, true]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_on_a_machine_is_a_write_to_it() {
    let w = world().await;
    let action = "/virtual_machines/2/startup.json";
    w.post(action).as_("a").body("application/json", "{}").origin(status(200)).await;
    hits(&w, [false, true, true, false]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_whose_other_name_nobody_knows_is_any() {
    let w = world().await;
    w.put("/virtual_machines/9.json").as_("a").origin(status(404)).expect_status(404).await;
    hits(&w, [false; 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_spares_the_others_unless_one_names_another() {
    let removed = async |w: &World| {
        w.delete(ONE).as_("a").origin(status(204)).expect_status(204).await;
        // What removes it upstream goes on, with nothing to say when it is done.
        for target in [VMS, ONE, BY_NAME] {
            let read = w.get(target).as_("a").origin(json(machine(1)));
            read.expect_cache("miss:unsettled").await;
        }
    };
    let w = world().await;
    removed(&w).await;
    w.get(TWO).as_("a").expect_cache("hit").await;

    let w = world().await;
    let three = "/virtual_machines/3.json";
    let naming = r#"{"virtual_machine":{"id":3,"identifier":"abcdefghijklm3","strict_virtual_machine_id":1}}"#;
    // The first that names another is not kept: it may have been read before a removal.
    w.get(three).as_("a").origin(json(naming)).expect_cache("miss:unsettled").await;
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    w.get(three).as_("a").origin(json(naming)).expect_cache("miss").await;
    removed(&w).await;
    w.get(TWO).as_("a").origin(json(machine(2))).expect_cache("miss").await;
    w.get(three).as_("a").origin(json(naming)).expect_cache("miss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn something_new_is_seen_in_lists() {
    let w = world().await;
    w.post(VMS).as_("a").body("application/json", "{}").origin(status(422)).await;
    hits(&w, [false, true, true, true]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_deletes_is_no_creation() {
    let w = world().await;
    w.post(VMS)
        .as_("a")
        .body("application/x-www-form-urlencoded", "_method=delete")
        .origin(status(404))
        .expect_status(404)
        .await;
    hits(&w, [false; 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_learned_from_either_format() {
    let w = World::new().await;
    let shown = || {
        xml("<virtual_machine>\n  <id type=\"integer\">1</id>\n  \
             <identifier>abcdefghijklm1</identifier>\n</virtual_machine>\n")
    };
    w.get("/virtual_machines/1.xml").as_("a").origin(shown()).expect_cache("miss").await;
    w.get(TWO).as_("a").origin(json(machine(2))).expect_cache("miss").await;
    w.put(BY_NAME).as_("a").origin(status(204)).await;
    w.get(TWO).as_("a").expect_cache("hit").await;
    w.get("/virtual_machines/1.xml").as_("a").origin(shown()).expect_cache("miss").await;
}

/// `b` writes, and this is whether what `a` has read of its machines is still a hit.
async fn after_a_write(declare: &[(&str, Reach, &str)], write: &'static str, hit: bool) {
    let w = World::new().await;
    for (credential, reach, account) in declare {
        w.declare(credential, *reach, account);
    }
    w.get(VMS).as_("a").origin(json("[]")).expect_cache("miss").await;
    w.put(write).as_("b").origin(status(204)).expect_status(204).await;
    let read = w.get(VMS).as_("a");
    if hit {
        read.expect_cache("hit").await;
    } else {
        read.origin(json("[]")).expect_cache("miss").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_spares_another_and_not_itself() {
    use Reach::{All, Own};
    after_a_write(&[("a", Own, "ann"), ("b", Own, "bob")], ONE, true).await;
    after_a_write(&[("a", Own, "ann"), ("b", Own, "ann")], ONE, false).await;
    after_a_write(&[("a", Own, "ann"), ("b", All, "root")], ONE, false).await;
    after_a_write(&[("a", All, "root"), ("b", Own, "bob")], ONE, false).await;
    // Who has not said what it reaches may reach anything.
    after_a_write(&[("a", Own, "ann")], ONE, false).await;
    after_a_write(&[("b", Own, "bob")], ONE, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_everybody_sees_changes_for_everybody() {
    let own = [("a", Reach::Own, "ann"), ("b", Reach::Own, "bob")];
    after_a_write(&own, "/virtual_machines/1/change_owner.json", false).await;
    after_a_write(&own, "/templates/1.json", false).await;
    after_a_write(&own, "/never_heard_of.json", false).await;
    let w = World::new().await;
    for (credential, reach, account) in own {
        w.declare(credential, reach, account);
    }
    let networks = "/settings/networks.json";
    w.get(networks).as_("a").origin(json("[]")).expect_cache("miss").await;
    w.put(ONE).as_("b").origin(status(204)).await;
    w.get(networks).as_("a").origin(json("[]")).expect_cache("miss").await;
}
