//! TLS as libpq's `sslmode` asks for it, made by rustls.

mod handshake;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use handshake::Handshake;
pub(super) use handshake::TlsFailure;

/// How far the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// It is not checked: the connection is encrypted, to whoever answers.
    Nothing,
    /// It must be signed by an authority that is trusted.
    Authority,
    /// It must be signed by such an authority, and be for the host that was asked for.
    AuthorityAndName,
}

/// The settings of a TLS connection. Files are read anew for each, so that renewed certificates are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) verify: Verify,
    /// The file of trusted certificates, in PEM; `None`: those that this machine trusts.
    pub(super) roots: Option<PathBuf>,
    /// The files of the client's certificate chain and of its key, in PEM.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
    type TlsConnect = Handshake;
    type Error = TlsFailure;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, TlsFailure> {
        let mut maker = MakeRustlsConnect::new(self.client_config()?);
        match MakeTlsConnect::<Socket>::make_tls_connect(&mut maker, host) {
            Ok(connect) => Ok(Handshake(connect)),
            Err(never) => match never {},
        }
    }
}

impl Tls {
    fn client_config(&self) -> Result<ClientConfig, TlsFailure> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(provider)?));
        match &self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable("sslkey", key, &e))?;
                builder
                    .with_client_auth_cert(read_certificates("sslcert", certificate)?, key)
                    .map_err(invalid)
            }
        }
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Verifier, TlsFailure> {
        if self.verify == Verify::Nothing {
            return Ok(Verifier { provider, verify: self.verify, trusted: Vec::new(), chain: None });
        }
        let trusted = match &self.roots {
            Some(path) => read_certificates("sslrootcert", path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|e| invalid(format!("the trusted certificates are of no use: {e}")))?;
        Ok(Verifier { provider, verify: self.verify, trusted, chain: Some(chain) })
    }
}

fn read_certificates(keyword: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFailure> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unreadable(keyword, path, &e))?;
    if certificates.is_empty() {
        return Err(invalid(format!("{keyword}: {} holds no certificate", path.display())));
    }
    Ok(certificates)
}

fn unreadable(keyword: &str, path: &Path, error: &impl std::fmt::Display) -> TlsFailure {
    invalid(format!("{keyword}: cannot read {}: {error}", path.display()))
}

fn invalid(what: impl std::fmt::Display) -> TlsFailure {
    TlsFailure::Settings(what.to_string())
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    verify: Verify,
    trusted: Vec<CertificateDer<'static>>,
    /// Checks signatures up to a root, dates and the name; `None` where nothing is verified.
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // A server's own certificate may be what is trusted, as is usual with self-signed ones. OpenSSL takes
        // that; webpki refuses to see an authority's certificate at a server.
        if self.trusted.contains(end_entity) {
            if self.verify == Verify::AuthorityAndName {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.verify == Verify::Authority => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
