//! TLS to what tasks name. The certificates of the other side are seen also where they are not valid, and why.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use slamon_client::reason::tls_reason;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::{Certificate, CertificateProblem, days, problems};
use super::connect::{Target, reason};
use super::limit::{Limit, TimeIsUp, seconds};
use crate::failure::Failure;

/// The authorities whose certificates targets may have. Read when they are first needed.
#[derive(Debug, Clone)]
pub struct TlsRoots {
    system: bool,
    /// Beside the system's; a certificate that is one of these itself is trusted, too.
    own: Vec<CertificateDer<'static>>,
    read: Arc<OnceLock<Arc<RootCertStore>>>,
}

/// Why a file has no authorities.
#[derive(Debug, thiserror::Error)]
#[error("could not read certificates from {}: {problem}", path.display())]
pub struct TlsRootsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// What to do with a certificate that is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    /// It is an error: [`TlsError::Untrusted`].
    Required,
    /// [`Peer::problems`] has what is wrong with it, and there is a connection.
    Reported,
}

/// How TLS is begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsOptions<'a> {
    /// The name that is asked for, and that the certificate has to have; `None`: the target's host.
    pub(crate) name: Option<&'a str>,
    pub(crate) verify: Verify,
    /// The protocols that are offered within TLS, such as `http/1.1`.
    pub(crate) alpn: &'a [&'a str],
}

/// A connection with TLS.
#[derive(Debug)]
pub(crate) struct Secured<S> {
    pub(crate) stream: TlsStream<S>,
    pub(crate) peer: Peer,
    /// How long the handshake took.
    pub(crate) took: Duration,
}

/// What the other side has shown.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its own certificate; `None` if that cannot be read.
    pub(crate) certificate: Option<Certificate>,
    /// What is wrong with its certificates; empty if they are valid.
    pub(crate) problems: Vec<CertificateProblem>,
    /// How many certificates it has sent.
    pub(crate) chain: usize,
    /// `TLSv1.3`
    pub(crate) protocol: String,
    pub(crate) cipher: String,
}

impl Peer {
    /// Whether the certificate is valid for so many days; one that cannot be read is not.
    pub(crate) fn expect_days(&self, target: &Target, expected: i64) -> Result<(), Failure> {
        let unreadable = || {
            let expected = days(expected);
            Failure::new(format!("the certificate of {target} cannot be read; expected {expected} at least"))
        };
        self.certificate.as_ref().ok_or_else(unreadable)?.expect_days(target, expected)
    }
}

/// Why there is no TLS; as a text it is a sentence that names the target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{0:?} cannot be the name of a TLS server")]
    Name(String),
    #[error("could not begin TLS with {target}: {problem}")]
    Handshake { target: Target, problem: String },
    #[error("could not begin TLS with {target}: no answer within {}", seconds(*after))]
    TimeIsUp { target: Target, after: Duration },
    #[error("the certificate of {target} is not valid: {}", sentence(problems))]
    Untrusted { target: Target, problems: Vec<CertificateProblem> },
}

impl TlsRoots {
    /// The authorities that the system trusts.
    #[must_use]
    pub fn system() -> Self {
        Self { system: true, ..Self::none() }
    }

    /// No authorities, to add some to.
    #[must_use]
    pub fn none() -> Self {
        Self { system: false, own: Vec::new(), read: Arc::default() }
    }

    /// Adds those of a file, in PEM.
    ///
    /// # Errors
    /// When the file cannot be read, or has no certificate that can be.
    pub fn and_file(mut self, path: &Path) -> Result<Self, TlsRootsError> {
        let error = |problem: String| TlsRootsError { path: path.to_owned(), problem };
        let text = fs::read(path).map_err(|cause| error(reason(&cause)))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let certificates = certificates.map_err(|cause| error(cause.to_string()))?;
        if certificates.is_empty() {
            return Err(error("it has none in PEM".to_owned()));
        }
        for certificate in &certificates {
            RootCertStore::empty().add(certificate.clone()).map_err(|cause| error(cause.to_string()))?;
        }
        self.own.extend(certificates);
        self.read = Arc::default();
        Ok(self)
    }

    /// The authorities; reads them if nobody has before.
    async fn store(&self) -> Arc<RootCertStore> {
        if let Some(store) = self.read.get() {
            return Arc::clone(store);
        }
        let roots = self.clone();
        let store = tokio::task::spawn_blocking(move || roots.read()).await;
        // It panics only where the process is about to end.
        store.unwrap_or_else(|_| Arc::new(RootCertStore::empty()))
    }

    fn read(&self) -> Arc<RootCertStore> {
        let store = self.read.get_or_init(|| {
            let mut store = RootCertStore::empty();
            if self.system {
                let found = rustls_native_certs::load_native_certs();
                for problem in &found.errors {
                    tracing::warn!(%problem, "could not read some of the authorities that the system trusts");
                }
                store.add_parsable_certificates(found.certs);
            }
            store.add_parsable_certificates(self.own.iter().cloned());
            Arc::new(store)
        });
        Arc::clone(store)
    }

    /// Begins TLS on a connection.
    pub(crate) async fn secure<S>(
        &self,
        stream: S,
        target: &Target,
        options: TlsOptions<'_>,
        limit: &Limit,
    ) -> Result<Secured<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = options.name.map_or_else(|| target.clone(), |name| Target::new(name, target.port)).host;
        let name = ServerName::try_from(name.trim_end_matches('.'))
            .map_err(|_| TlsError::Name(name.clone()))?
            .to_owned();
        let failed = |problem| TlsError::Handshake { target: target.clone(), problem };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let witness = Arc::new(Witness {
            roots: self.store().await,
            own: self.own.clone(),
            provider: Arc::clone(&provider),
            seen: Mutex::default(),
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.alpn_protocols = options.alpn.iter().map(|name| name.as_bytes().to_owned()).collect();
        // Each connection is measured as the first one.
        config.resumption = rustls::client::Resumption::disabled();
        let began = Instant::now();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = match limit.hold(connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed(reason_of_handshake(&error))),
            Err(TimeIsUp) => {
                return Err(TlsError::TimeIsUp { target: target.clone(), after: began.elapsed() });
            }
        };
        let took = began.elapsed();
        let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        if options.verify == Verify::Required && !seen.problems.is_empty() {
            return Err(TlsError::Untrusted { target: target.clone(), problems: seen.problems });
        }
        let (_, session) = stream.get_ref();
        let peer = Peer {
            certificate: seen.certificate,
            problems: seen.problems,
            chain: seen.chain,
            protocol: session.protocol_version().map_or_else(String::new, protocol_name),
            cipher: session
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or_default()
                .to_owned(),
        };
        Ok(Secured { stream, peer, took })
    }
}

impl Default for TlsRoots {
    fn default() -> Self {
        Self::system()
    }
}

fn protocol_name(version: rustls::ProtocolVersion) -> String {
    match version {
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Judges certificates, and lets the handshake go on whatever it finds: who began it decides.
#[derive(Debug)]
struct Witness {
    roots: Arc<RootCertStore>,
    own: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    certificate: Option<Certificate>,
    problems: Vec<CertificateProblem>,
    chain: usize,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = Certificate::parse(end_entity, now);
        let is_own = self.own.iter().any(|own| own == end_entity);
        let algorithms = self.provider.signature_verification_algorithms.all;
        let chain = (end_entity, intermediates);
        let problems = problems(chain, certificate.as_ref(), name, &self.roots, is_own, now, algorithms);
        let seen = Seen { certificate, problems, chain: 1 + intermediates.len() };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What went wrong with TLS on a connection, in words.
pub(super) fn reason_of_handshake(error: &io::Error) -> String {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(tls) => tls_reason(tls),
        None => reason(error),
    }
}

fn sentence(problems: &[CertificateProblem]) -> String {
    problems.iter().map(CertificateProblem::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
