//! Making a connection: name, TCP, TLS, all under one deadline.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use hyper::client::conn::http1;
use prometheus::IntGauge;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{
    CertificateDer, ServerName,
    pem::{self, PemObject},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    BoxError, RequestBody,
    config::Config,
    link::Link,
    origin::{Host, Origin, Scheme},
    pool::LeaseError,
    wire::Stream,
};
use crate::metrics::Metrics;

/// Why TLS to an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The CA file cannot be read or is not PEM.
    #[error("cannot read certificates from {}", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A certificate cannot be an authority.
    #[error("a certificate in {} cannot be used as an authority", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// There is no authority at all, so no upstream could be trusted.
    #[error("found no certificate of an authority; set ca_file")]
    NoAuthorities,
    /// rustls refused the settings.
    #[error("cannot set up TLS")]
    Settings(#[from] rustls::Error),
}

/// A connection in the making.
pub(super) type Dialing<'a, B> =
    Pin<Box<dyn Future<Output = Result<Link<B>, LeaseError>> + Send + 'a>>;

/// Makes connections to one upstream.
pub(super) struct Dialer {
    origin: Origin,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    http: http1::Builder,
    patience: Duration,
    greatest_age: Duration,
    open: IntGauge,
}

impl Dialer {
    /// Reads the certificates, if there is to be TLS.
    pub(super) fn new(
        origin: &Origin,
        config: &Config,
        metrics: &Metrics,
    ) -> Result<Self, TlsSetupError> {
        let tls = match origin.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let tls = tls_config(config.ca_file.as_deref())?;
                Some((TlsConnector::from(Arc::new(tls)), origin.server_name()))
            }
        };
        let mut http = http1::Builder::new();
        http.max_buf_size(config.read_buffer.get()).max_header_size(config.max_reply_head.get());
        Ok(Self {
            origin: origin.clone(),
            tls,
            http,
            patience: config.connect_timeout,
            greatest_age: config.max_connection_age,
            open: metrics.upstreams.connections.clone(),
        })
    }

    /// Makes a connection within the deadline.
    ///
    /// Boxed, as it is rare and its future would be the largest part of every request's.
    pub(super) fn dial<B: RequestBody>(&self) -> Dialing<'_, B>
    where
        B::Error: Into<BoxError>,
    {
        Box::pin(self.link())
    }

    async fn link<B: RequestBody>(&self) -> Result<Link<B>, LeaseError>
    where
        B::Error: Into<BoxError>,
    {
        let deadline = Instant::now() + self.patience;
        let stream = timeout_at(deadline, self.stream(deadline))
            .await
            .map_err(|_| LeaseError::ConnectTimedOut)??;
        let age = retirement_age(self.greatest_age, RandomState::new().build_hasher().finish());
        let open = Metrics::raise(&self.open);
        Link::open(stream, &self.http, Instant::now() + age, open)
            .await
            .map_err(|e| LeaseError::ConnectFailed(io::Error::other(e)))
    }

    async fn stream(&self, deadline: Instant) -> Result<Stream, LeaseError> {
        let tcp = self.connect(deadline).await.map_err(LeaseError::ConnectFailed)?;
        let Some((connector, name)) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        let tls = connector.connect(name.clone(), tcp).await.map_err(LeaseError::TlsFailed)?;
        Ok(Stream::Tls(Box::new(tls)))
    }

    /// Tries each address of the host in turn; a dead one may not eat the time of the others.
    async fn connect(&self, deadline: Instant) -> io::Result<TcpStream> {
        let addresses = self.addresses().await?;
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for (tried, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // A request is written whole, so there is nothing to wait for.
                    tcp.set_nodelay(true)?;
                    return Ok(tcp);
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let port = self.origin.port;
        match &self.origin.host {
            Host::Ip(address) => Ok(vec![SocketAddr::new(*address, port)]),
            Host::Name(name) => Ok(lookup_host((name.as_str(), port)).await?.collect()),
        }
    }
}

/// The greatest age, less up to a tenth.
fn retirement_age(greatest: Duration, entropy: u64) -> Duration {
    let less = u32::try_from(entropy % 1000).unwrap_or(0);
    greatest - greatest / 10 * less / 1000
}

fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsSetupError> {
    let roots = match ca_file {
        Some(path) => roots_from(path)?,
        None => system_roots(),
    };
    if roots.is_empty() {
        return Err(TlsSetupError::NoAuthorities);
    }
    let mut tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn roots_from(path: &Path) -> Result<RootCertStore, TlsSetupError> {
    let unreadable = |source| TlsSetupError::CaFile { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|source| TlsSetupError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

/// What the system trusts. Systems hold odd certificates, and one of them is no reason to stop.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_retire_within_the_last_tenth_of_their_age() {
        let age = Duration::from_secs(600);
        assert_eq!(retirement_age(age, 0), age);
        assert_eq!(retirement_age(age, 500), Duration::from_secs(570));
        for entropy in [1, 999, 1000, u64::MAX] {
            let less = age - retirement_age(age, entropy);
            assert!(less <= age / 10, "{less:?}");
        }
    }

    #[test]
    fn a_ca_file_must_hold_certificates() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.pem");
        let missing = tls_config(Some(&path));
        assert!(matches!(missing, Err(TlsSetupError::CaFile { .. })), "{missing:?}");
        std::fs::write(&path, "no certificate").expect("a file");
        let empty = tls_config(Some(&path));
        assert!(matches!(empty, Err(TlsSetupError::NoAuthorities)), "{empty:?}");
    }
}
