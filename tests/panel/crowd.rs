//! Many readers at once: one fetch, whoever stays.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tollgate::net::file_limit;

use super::House;
use crate::harness::{Answer, Client, Speaks, until, within};

const LIST: &str = "/virtual_machines.json";
const READERS: usize = 500;
const DELAY: Duration = Duration::from_millis(200);

/// What an unoptimized build on two busy cores may need to read and write a thousand messages.
const ALLOWANCE: Duration = Duration::from_millis(1200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_cold_readers_are_one_fetch() {
    crowd(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_when_the_first_one_leaves() {
    crowd(true).await;
}

async fn crowd(first_leaves: bool) {
    // Both ends of every connection are in this process.
    file_limit::raise().expect("the limit on open files");
    let house = House::new().await;
    let expected = house.direct("alice", LIST).await.body;
    house.panel().clear_seen();
    house.panel().delay(LIST, DELAY);
    let mut clients = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        clients.push(house.connect(Speaks::Http1).await);
    }
    let begun = Instant::now();
    if first_leaves {
        let mut first = clients.pop().expect("five hundred");
        let request = house.request("alice", &format!("GET {LIST}"), "");
        let leaving = tokio::spawn(async move { first.send(request).await });
        until("the fetch", || house.panel().count("GET", LIST) == 1).await;
        leaving.abort();
    }
    let mut readers: JoinSet<(Client, Answer)> = JoinSet::new();
    for mut client in clients {
        let request = house.request("alice", &format!("GET {LIST}"), "");
        readers.spawn(async move {
            let answer = client.send(request).await.expect("an answer");
            (client, answer)
        });
    }
    let answers = within("all answers", readers.join_all()).await;
    let took = begun.elapsed();
    assert_eq!(house.panel().count("GET", LIST), 1, "equal misses were fetched more than once");
    for (_, answer) in &answers {
        assert_eq!((answer.status, &answer.body), (200, &expected), "{}", answer.cache());
    }
    let most = DELAY.mul_f64(1.5) + ALLOWANCE;
    assert!(took < most, "the last of {} was answered after {took:?}", answers.len());
}
