//! TLS to the AFM: authorities, and the certificate that the agent shows.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Makes the configuration: with the authorities of the system and of a file, and with a certificate or without.
pub(super) fn configuration(
    authorities: Option<&Path>,
    certificate: Option<(&Path, &Path)>,
) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authorities {
        for certificate in certificates("ca-file", path)? {
            roots.add(certificate).with_context(|| {
                format!("ca-file: {} has a certificate that cannot be an authority", path.display())
            })?;
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((certificate, key)) = certificate else { return Ok(config.with_no_client_auth()) };
    let chain = certificates("certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("key: could not read a key from {}", key.display()))?;
    config.with_client_auth_cert(chain, key).context("certificate and key: do not belong together")
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let problem = || format!("{option}: could not read certificates from {}", path.display());
    let found = CertificateDer::pem_file_iter(path).with_context(problem)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().with_context(problem)?;
    if found.is_empty() {
        bail!("{option}: there is no certificate in {}", path.display());
    }
    Ok(found)
}
