//! The panel behind the gateway; where it is to go away for a while, over TLS and behind a gate.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use rcgen::{Certificate, CertificateParams, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tollgate::demo::simulator::{Options, Simulator};

use crate::{client::Door, gate::Gate};

/// A panel, which ends with it.
pub(crate) struct Panel {
    simulator: Simulator,
    shielded: Option<Shielded>,
}

/// What it takes to let it go away.
struct Shielded {
    gate: Gate,
    certificate: Certificate,
}

const MACHINES: usize = 50;
const JOB_DURATION: Duration = Duration::from_secs(3);

impl Panel {
    /// One with so many users, which goes away or not.
    pub(crate) async fn open(users: usize, goes_away: bool) -> Self {
        let options = |tls| Options {
            users,
            machines: Some(MACHINES),
            job_duration: JOB_DURATION,
            tls,
            ..Options::default()
        };
        if !goes_away {
            let simulator = Simulator::start(options(None)).await.expect("a free port");
            return Self { simulator, shielded: None };
        }
        let (tls, certificate) = identity();
        let simulator = Simulator::start(options(Some(tls))).await.expect("a free port");
        let gate = Gate::new(simulator.addr()).await.expect("a free port");
        Self { simulator, shielded: Some(Shielded { gate, certificate }) }
    }

    /// The panel itself.
    pub(crate) fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// What it is behind.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.shielded.as_ref().map(|shielded| &shielded.gate)
    }

    /// The way in past the gateway, and past the gate.
    pub(crate) fn door(&self) -> Door {
        let address: SocketAddr = self.simulator.addr();
        match &self.shielded {
            None => Door::plain(address),
            Some(shielded) => Door::tls(address, shielded.certificate.der().clone()),
        }
    }

    /// What the gateway's configuration says of it.
    pub(crate) fn settings(&self, folder: &Path) -> String {
        let Some(Shielded { gate, certificate }) = &self.shielded else {
            return format!("upstreams.panel.url = \"{}\"", self.simulator.url());
        };
        let file = folder.join("panel.pem");
        fs::write(&file, certificate.pem()).expect("a file");
        format!(
            "upstreams.panel.url = \"https://{}\"\nupstreams.panel.ca_file = \"{}\"",
            gate.address(),
            file.display()
        )
    }
}

/// A certificate for this machine under both its names, which is its own authority.
fn identity() -> (Arc<ServerConfig>, Certificate) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(names).expect("two names");
    let certificate = params.self_signed(&key).expect("a certificate");
    let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret);
    (Arc::new(config.expect("a usable certificate")), certificate)
}
