//! Coherence under writes: no read shows less than what was acknowledged before it began.
//!
//! A gateway, the panel behind it and its clients run in this process, over loopback sockets. The
//! load itself is the witness: it knows what its writes were told, and asks the panel alone when
//! transactions have ended. One stale read fails the bench. README.md says how to read the figures.

#[path = "coherence/act.rs"]
mod act;
#[path = "coherence/client.rs"]
mod client;
#[path = "coherence/house.rs"]
mod house;
#[path = "coherence/load.rs"]
mod load;
#[path = "coherence/report.rs"]
mod report;
#[path = "coherence/settling.rs"]
mod settling;
#[path = "coherence/shown.rs"]
mod shown;
#[path = "coherence/tally.rs"]
mod tally;
#[path = "coherence/tenant.rs"]
mod tenant;
#[path = "coherence/truth.rs"]
mod truth;

use std::{sync::Arc, time::Duration};

use clap::Parser;
use tokio::{runtime::Builder, task::JoinSet};

use house::House;
use load::Load;
use tally::Tally;
use tenant::Tenant;

/// Reads and writes through a gateway, and holds what is read against what was acknowledged.
#[derive(Parser)]
struct Args {
    /// How many seconds the load lasts; 20, or 2 with --test.
    #[arg(long)]
    secs: Option<u64>,
    /// How many requests a second; 2000, or 200 with --test.
    #[arg(long)]
    rate: Option<u64>,
    /// A short and light load: does it run?
    #[arg(long)]
    test: bool,
    /// What cargo says to every bench.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

/// One for each user of the panel but its administrator.
const TENANTS: usize = 20;

fn main() {
    let args = Args::parse();
    let (secs, rate) = if args.test { (2, 200) } else { (20, 2000) };
    let length = Duration::from_secs(args.secs.unwrap_or(secs));
    let rate = args.rate.unwrap_or(rate);
    let house = House::open(TENANTS);
    let tally = Arc::new(Tally::default());
    let threads = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    threads.expect("a runtime").block_on(drive(&house, &tally, length, rate));
    let counts = tally.counts();
    report::print(&counts, &house.metrics().render()).expect("standard output");
    assert_ne!(counts.reads(), 0, "nothing was read, so nothing was tried");
    assert_eq!(counts.stale, 0, "stale reads");
}

/// Lives through the load; returns when everything that was asked has been answered.
async fn drive(house: &House, tally: &Arc<Tally>, length: Duration, rate: u64) {
    let mut tenants = Vec::with_capacity(TENANTS);
    // Ends with this function.
    let mut followers = JoinSet::new();
    for caller in house.callers() {
        let tenant = Arc::new(Tenant::new(house, caller).await);
        followers.spawn(settling::follow(Arc::clone(&tenant), Arc::clone(tally)));
        tenants.push(tenant);
    }
    Load::new(tenants, Arc::clone(tally)).run(length, rate).await;
}
