//! Coherence under writes: no read shows less than what was acknowledged before it began.
//!
//! A gateway, the panel behind it and its clients run in this process, over loopback sockets. The
//! load itself is the witness: it knows what its writes were told, and asks the panel alone when
//! transactions have ended. One stale read fails the bench. README.md says how to read the figures.

#[path = "coherence/act.rs"]
mod act;
#[path = "coherence/client.rs"]
mod client;
#[path = "coherence/findings.rs"]
mod findings;
#[path = "coherence/gate.rs"]
mod gate;
#[path = "coherence/house.rs"]
mod house;
#[path = "coherence/load.rs"]
mod load;
#[path = "coherence/outage.rs"]
mod outage;
#[path = "coherence/panel.rs"]
mod panel;
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

use house::{House, Plan};
use load::Load;
use outage::{BACK, Outage, SETTLING, Span};
use tally::Tally;
use tenant::Tenant;

/// Reads and writes through a gateway, and holds what is read against what was acknowledged.
#[derive(Parser)]
struct Args {
    /// How many seconds the load lasts; 20, or 2 with --test, or three times an outage.
    #[arg(long)]
    secs: Option<u64>,
    /// How many requests a second; 2000, or 200 with --test.
    #[arg(long)]
    rate: Option<u64>,
    /// For how many seconds the panel is away, in the middle of the load.
    #[arg(long)]
    outage: Option<u64>,
    /// A short and light load: does it run?
    #[arg(long)]
    test: bool,
    /// What cargo says to every bench.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

/// One for each user of the panel but its administrator.
const TENANTS: usize = 20;

/// With --test what is kept is past its lifetime within any outage.
const SHORT_LIFETIME: Duration = Duration::from_secs(1);

fn main() {
    let args = Args::parse();
    let (secs, rate) = if args.test { (2, 200) } else { (20, 2000) };
    let secs = args.secs.unwrap_or(args.outage.map_or(secs, |outage| outage * 3));
    let length = Duration::from_secs(secs);
    let rate = args.rate.unwrap_or(rate);
    let span = args.outage.map(|secs| span(length, Duration::from_secs(secs)));
    let lifetime = (args.test && span.is_some()).then_some(SHORT_LIFETIME);
    let house = House::open(Plan { tenants: TENANTS, goes_away: span.is_some(), lifetime });
    let outage = span.map(|_| Outage::new(house.lifetimes()));
    let tally = Arc::new(Tally::new(outage));
    let threads = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    threads.expect("a runtime").block_on(drive(&house, &tally, length, rate, span));
    let counts = tally.counts();
    report::print(&counts, &house.metrics().render()).expect("standard output");
    let outage = house.gate().zip(tally.outage.as_ref());
    let findings = outage.map(|(gate, outage)| outage.findings(gate).expect("it is over"));
    if let Some(findings) = &findings {
        findings.print().expect("standard output");
    }
    assert_ne!(counts.reads(), 0, "nothing was read, so nothing was tried");
    assert_eq!(counts.stale, 0, "stale reads");
    assert_eq!(findings.map_or(0, |findings| findings.faults()), 0, "faults of the outage");
}

/// The panel goes away in the middle, so that the load is warm before and goes on after.
fn span(load: Duration, length: Duration) -> Span {
    let after = load.saturating_sub(length) / 2;
    assert!(after > 2 * BACK, "the load must last longer, to go on before and after the outage");
    assert!(length > 2 * SETTLING, "the outage must be longer than {:?}", 2 * SETTLING);
    Span { after, length }
}

/// Lives through the load; returns when everything that was asked has been answered.
async fn drive(house: &House, tally: &Arc<Tally>, length: Duration, rate: u64, span: Option<Span>) {
    let mut tenants = Vec::with_capacity(TENANTS);
    // Ends with this function.
    let mut followers = JoinSet::new();
    for caller in house.callers() {
        let tenant = Arc::new(Tenant::new(house, caller).await);
        followers.spawn(settling::follow(Arc::clone(&tenant), Arc::clone(tally)));
        tenants.push(tenant);
    }
    let load = Load::new(tenants, Arc::clone(tally)).run(length, rate);
    let outage = async {
        if let (Some(gate), Some(outage), Some(span)) = (house.gate(), &tally.outage, span) {
            outage.happen(gate, span).await;
        }
    };
    tokio::join!(load, outage);
}
