//! By what a server is trusted: its very certificate where the configuration is at hand, and else an
//! authority.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
};
use rustls_pki_types::{
    CertificateDer, InvalidDnsNameError, ServerName, UnixTime,
    pem::{self, PemObject as _},
};

/// How a server is known.
pub(super) struct Trust {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// Why it cannot be said how.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There are no certificates where they should be.
    #[error("{} holds no certificates", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// There is none at all.
    #[error("there is no certificate authority to trust; name one with --ca")]
    NoAuthorities,
    /// The host is none.
    #[error("the host is no name that a certificate could have")]
    Name(#[from] InvalidDnsNameError),
    /// rustls refuses.
    #[error("TLS cannot be set up")]
    Setup(#[from] Error),
}

/// Takes one certificate, whatever it says of itself: whoever has its key may say so.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// By the certificate in a file, leaf first.
    pub(super) fn pinned(path: &Path) -> Result<Self, TrustError> {
        let certificate = CertificateDer::from_pem_file(path).map_err(unreadable(path))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { certificate, algorithms }))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost")?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// By the authorities in a file, or those of the system, and the name of the host.
    pub(super) fn authorities(path: Option<&Path>, host: &str) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        match path {
            Some(path) => {
                for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable(path))? {
                    roots.add(certificate.map_err(unreadable(path))?)?;
                }
            }
            None => {
                let native = rustls_native_certs::load_native_certs().certs;
                roots.add_parsable_certificates(native);
            }
        }
        if roots.is_empty() {
            return Err(TrustError::NoAuthorities);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        Ok(Self { config: Arc::new(config), name })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *presented == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn unreadable(path: &Path) -> impl Fn(pem::Error) -> TrustError {
    let path = path.to_owned();
    move |source| TrustError::File { path: path.clone(), source }
}
