//! TLS to the AFM: authorities, and the certificate that a client shows.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::connection::ConnectError;

/// Makes the configuration: with the authorities that the system trusts and those of a file (PEM), and where one is
/// given with the certificate that is shown and its key, each in a file (PEM).
///
/// # Errors
/// Names the file that cannot be used, under the name of the option: `ca-file`, `certificate` or `key`.
pub fn tls_configuration(
    authorities: Option<&Path>,
    certificate: Option<(&Path, &Path)>,
) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    // Without any, only `https` URLs fail, and say so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut own = Vec::new();
    if let Some(path) = authorities {
        own = certificates("ca-file", path)?;
        for certificate in &own {
            roots.add(certificate.clone()).map_err(|error| {
                problem("ca-file", path, "has a certificate that cannot be an authority", &error)
            })?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Tls(error.to_string()))?;
    let config = match own.as_slice() {
        [] => config.with_root_certificates(roots),
        _ => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(|error| ConnectError::Tls(error.to_string()))?;
            let verifier = OrOwn { by_authorities: verifier, own };
            config.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let Some((certificate, key)) = certificate else { return Ok(config.with_no_client_auth()) };
    let chain = certificates("certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| problem("key", key, "cannot be read as a key", &error))?;
    config
        .with_client_auth_cert(chain, key)
        .map_err(|error| ConnectError::File(format!("certificate and key: do not belong together: {error}")))
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| problem(option, path, "cannot be read as certificates", &error))?;
    if found.is_empty() {
        return Err(ConnectError::File(format!("{option}: there is no certificate in {}", path.display())));
    }
    Ok(found)
}

fn problem(option: &str, path: &Path, what: &str, error: &dyn fmt::Display) -> ConnectError {
    ConnectError::File(format!("{option}: {} {what}: {error}", path.display()))
}

/// Trusts what the authorities vouch for, and a certificate that is itself one of the file's, also where it says that it is
/// an authority's: `openssl req -x509` makes such ones for servers.
#[derive(Debug)]
struct OrOwn {
    by_authorities: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for OrOwn {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = &self.by_authorities;
        match verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            // That it has expired is another error, and is found before.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.own.iter().any(|own| own == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authorities.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate as `openssl req -x509` makes it, which ends with this year.
    fn self_signed(last_year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["afm.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(last_year, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// What comes of a certificate that a server shows under a name.
    fn verified(
        shown: &CertificateDer<'_>,
        own: &CertificateDer<'static>,
        name: &str,
    ) -> Result<(), CertificateError> {
        let mut roots = RootCertStore::empty();
        roots.add(own.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let by_authorities =
            WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let verifier = OrOwn { by_authorities, own: vec![own.clone()] };
        let name = ServerName::try_from(name).unwrap();
        match verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(problem)) => Err(problem),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_certificate_of_the_file_is_trusted_for_its_names_while_it_is_valid() {
        let own = self_signed(4000);
        assert_eq!(verified(&own, &own, "afm.example"), Ok(()));
        let wrong_name = verified(&own, &own, "other.example");
        assert!(matches!(wrong_name, Err(CertificateError::NotValidForNameContext { .. })), "{wrong_name:?}");
        let old = self_signed(2001);
        let expired = verified(&old, &old, "afm.example");
        assert!(matches!(expired, Err(CertificateError::ExpiredContext { .. })), "{expired:?}");
        let other = verified(&self_signed(4000), &own, "afm.example");
        assert!(other.is_err(), "{other:?}");
    }
}
