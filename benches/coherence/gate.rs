//! The way from the gateway to the panel, which can be closed as if the panel were not there.
//!
//! Whoever knocks while it is closed is counted, and shown out before a byte was read. The panel
//! speaks TLS, so the gateway then knows that it has sent nothing.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// An address of its own, behind which the panel is.
pub(crate) struct Gate {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// When somebody knocked and found it closed.
    knocks: Vec<Instant>,
    /// Cancelled to cut all connections that go through now.
    through: CancellationToken,
}

impl Gate {
    /// An open one.
    pub(crate) async fn new(panel: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::default();
        tokio::spawn(attend(listener, panel, Arc::clone(&state)));
        Ok(Self { address, state })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections, and lets no other through.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.through.cancel();
    }

    /// Lets connections through again.
    pub(crate) fn open(&self) {
        let mut state = lock(&self.state);
        state.closed = false;
        state.through = CancellationToken::new();
    }

    /// When somebody knocked and found it closed.
    pub(crate) fn knocks(&self) -> Vec<Instant> {
        lock(&self.state).knocks.clone()
    }
}

/// Ends with its runtime.
async fn attend(listener: TcpListener, panel: SocketAddr, state: Arc<Mutex<State>>) {
    loop {
        let Ok((outside, _)) = listener.accept().await else {
            // Out of descriptors, or the peer has gone already; neither lasts.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let mut state = lock(&state);
        if state.closed {
            state.knocks.push(Instant::now());
            continue;
        }
        let through = state.through.clone();
        drop(state);
        tokio::spawn(async move { through.run_until_cancelled(relay(outside, panel)).await });
    }
}

/// It ends with an error whenever either side leaves, which both are free to do.
async fn relay(mut outside: TcpStream, panel: SocketAddr) {
    let Ok(mut inside) = TcpStream::connect(panel).await else { return };
    for stream in [&outside, &inside] {
        // Where it fails, it is only slower.
        let _ = stream.set_nodelay(true);
    }
    let _ = copy_bidirectional(&mut outside, &mut inside).await;
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic before")
}
