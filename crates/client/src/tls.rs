//! TLS to the AFM: authorities, and the certificate that a client shows.

use std::fmt;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

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
    if let Some(path) = authorities {
        for certificate in certificates("ca-file", path)? {
            roots.add(certificate).map_err(|error| {
                problem("ca-file", path, "has a certificate that cannot be an authority", &error)
            })?;
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Tls(error.to_string()))?
        .with_root_certificates(roots);
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
