//! The server's certificate: loaded, checked, and replaced while connections are open.
//!
//! A new `ServerConfig` for each certificate would forget the key of the tickets, and every client
//! would pay a full handshake. So there is one for the life of the process, and it asks a resolver
//! that is swapped.

mod expiry;

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use notify::{EventKind, RecursiveMode, Watcher};
use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::{
        Metrics,
        reloads::{Reload, Success},
    },
    settings::Setting,
};

crate::section! {
    /// The certificate that clients see.
    pub struct Config {
        /// PEM file with the certificate and its chain, leaf first.
        pub certificate: PathBuf = PathBuf::from("/etc/tollgate/tls.crt"),
        /// PEM file with its private key.
        pub key: PathBuf = PathBuf::from("/etc/tollgate/tls.key"),
        /// The oldest TLS version that is spoken, `"1.3"` or `"1.2"`.
        pub min_version: Version = Version::Tls13,
        /// Whether clients may resume sessions with tickets.
        pub tickets: bool = true,
        /// How long the files must be quiet before a change is read.
        pub settle: Duration = Duration::from_millis(200),
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The TLS side of the front door.
pub struct Tls {
    server: Arc<ServerConfig>,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
    source: Option<Source>,
    metrics: Arc<Metrics>,
}

/// Why a certificate is not used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates are no PEM.
    #[error("the certificate file is not valid PEM")]
    CertificatePem(#[source] pem::Error),
    /// There is no certificate in the file.
    #[error("the certificate file holds no certificate")]
    NoCertificate,
    /// The private key is no PEM, or there is none.
    #[error("the key file holds no private key in PEM")]
    KeyPem(#[source] pem::Error),
    /// The key is of a kind that cannot be used.
    #[error("the private key cannot be used")]
    Key(#[source] rustls::Error),
    /// The key is another certificate's.
    #[error("the certificate and the private key do not belong together")]
    Mismatch(#[source] rustls::Error),
    /// The certificate has no readable date of expiry.
    #[error("the certificate cannot be parsed")]
    Malformed,
    /// The certificate has expired.
    #[error("the certificate has expired")]
    Expired,
    /// The versions or the tickets cannot be set up.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    /// The directories of the files cannot be watched.
    #[error("the certificate's directory cannot be watched")]
    Watch(#[source] notify::Error),
}

/// The resolver: what rustls asks in every handshake.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

/// The files, and how to treat them.
#[derive(Debug)]
struct Source {
    certificate: PathBuf,
    key: PathBuf,
    settle: Duration,
    /// What the files were before they were read for the first time.
    at_first: Marks,
}

/// Which file stands at each path, since when it is as it is, and how long it is.
type Marks = [Option<(u64, SystemTime, u64)>; 2];

/// A certificate that passed every check.
struct Checked {
    key: CertifiedKey,
    expiry: SystemTime,
}

impl Setting for Version {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value.as_str() {
            Some("1.2") => Ok(Self::Tls12),
            Some("1.3") => Ok(Self::Tls13),
            _ => Err(format!("expected \"1.2\" or \"1.3\", found {value}")),
        }
    }
}

impl Tls {
    /// Reads the files of the configuration; they are read again by [`Tls::reload`].
    pub fn load(config: &Config, metrics: Arc<Metrics>) -> Result<Arc<Self>, TlsError> {
        let source = Source {
            certificate: config.certificate.clone(),
            key: config.key.clone(),
            settle: config.settle,
            at_first: marks(&config.certificate, &config.key),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let checked = source.read(&provider)?;
        Self::new(checked, provider, Some(source), config, metrics)
    }

    /// Takes a certificate from memory, which is never reloaded; the paths of the configuration
    /// are not looked at.
    pub fn from_pem(
        certificate: &[u8],
        key: &[u8],
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let checked = check(certificate, key, &provider, SystemTime::now())?;
        Self::new(checked, provider, None, config, metrics)
    }

    /// Reads the files again; new handshakes see the new certificate, open connections notice
    /// nothing. When something is wrong with it, the old one stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Some(source) = &self.source else { return Ok(()) };
        let reloaded = source.read(&self.provider).map(|checked| {
            self.report(checked.expiry);
            self.current.0.store(Arc::new(checked.key));
        });
        let success = if reloaded.is_ok() { Success::Ok } else { Success::Failed };
        self.metrics.reloads.tried.of(Reload::Certificate, success).inc();
        reloaded
    }

    /// Reloads whenever the files change, until `shutdown` is cancelled.
    ///
    /// The directories are watched and not the files: those are replaced, by Kubernetes through a
    /// symbolic link in the same directory.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), TlsError> {
        let Some(source) = &self.source else { return Ok(()) };
        let (changed, mut changes) = mpsc::channel(1);
        let _watcher = source.watch(changed).map_err(TlsError::Watch)?;
        let mut in_force = source.at_first;
        while let Some(Some(())) = shutdown.run_until_cancelled(changes.recv()).await {
            // Other files may stand in the same directories, and change all the time.
            let mut found = source.marks();
            if found == in_force {
                continue;
            }
            // Certificate and key are two files: whoever replaces both is given time for it.
            loop {
                let settle = tokio::time::sleep(source.settle);
                if shutdown.run_until_cancelled(settle).await.is_none() {
                    return Ok(());
                }
                let now = source.marks();
                if now == found {
                    break;
                }
                found = now;
            }
            in_force = found;
            let tls = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(())) => tracing::info!("certificate reloaded"),
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "certificate not reloaded, the old one stays in force");
                }
                // The runtime is shutting down.
                Err(_cancelled) => break,
            }
        }
        Ok(())
    }

    /// What accepts handshakes.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }

    /// What accepts handshakes of those who speak HTTP/1.1 alone.
    pub fn http1_acceptor(&self) -> TlsAcceptor {
        let mut server = ServerConfig::clone(&self.server);
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(server))
    }

    fn new(
        checked: Checked,
        provider: Arc<CryptoProvider>,
        source: Option<Source>,
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, TlsError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(checked.key)));
        let server = server_config(&provider, Arc::clone(&current), config);
        let server = Arc::new(server.map_err(TlsError::Setup)?);
        let tls = Self { server, current, provider, source, metrics };
        tls.report(checked.expiry);
        Ok(Arc::new(tls))
    }

    fn report(&self, expiry: SystemTime) {
        let seconds = expiry.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.metrics.reloads.certificate_expiry.set(seconds.as_secs_f64());
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("source", &self.source).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Source {
    fn read(&self, provider: &CryptoProvider) -> Result<Checked, TlsError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
        };
        let key = zeroize::Zeroizing::new(read(&self.key)?);
        check(&read(&self.certificate)?, &key, provider, SystemTime::now())
    }

    /// What is different once either file has changed.
    fn marks(&self) -> Marks {
        marks(&self.certificate, &self.key)
    }

    /// A watcher that says once or more that something changed, for as long as it lives.
    fn watch(&self, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<_>| {
            // Our own reading is an access too, and must not make us read again. A full channel
            // means that a change is already known; an error may hide one.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                let _ = changed.try_send(());
            }
        })?;
        let directories = [directory(&self.certificate), directory(&self.key)];
        watcher.watch(directories[0], RecursiveMode::NonRecursive)?;
        if directories[1] != directories[0] {
            watcher.watch(directories[1], RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }
}

/// The one configuration of the process.
fn server_config(
    provider: &Arc<CryptoProvider>,
    resolver: Arc<Current>,
    config: &Config,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[_] = match config.min_version {
        Version::Tls12 => &[&TLS13, &TLS12],
        Version::Tls13 => &[&TLS13],
    };
    let mut server = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Early data can be replayed, and a write must not be.
    server.max_early_data_size = 0;
    // The default store is one locked list for all connections; tickets need none.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    if config.tickets {
        server.ticketer = aws_lc_rs::Ticketer::new()?;
    } else {
        server.send_tls13_tickets = 0;
    }
    Ok(server)
}

/// Parses a certificate and its key, and refuses what clients would refuse.
fn check(
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<Checked, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsError::CertificatePem)?;
    let leaf = chain.first().ok_or(TlsError::NoCertificate)?;
    let expiry = expiry::not_after(leaf).ok_or(TlsError::Malformed)?;
    if expiry < now {
        return Err(TlsError::Expired);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::KeyPem)?;
    let key = provider.key_provider.load_private_key(key).map_err(TlsError::Key)?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        // A kind of key that cannot tell: the first handshake will.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Checked { key, expiry })
        }
        Err(error) => Err(TlsError::Mismatch(error)),
    }
}

fn marks(certificate: &Path, key: &Path) -> Marks {
    [certificate, key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
    })
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
