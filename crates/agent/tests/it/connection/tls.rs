//! TLS: whom the agent trusts, and the certificate that it shows.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::gate::{Gate, Rules};
use super::{Behind, tells_none_of, wait_for_problem};

/// An authority of its own.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Certificate and key.
pub(super) struct Identity {
    pub(super) certificate: rcgen::Certificate,
    pub(super) key: KeyPair,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
                .expect("it can be used"),
        )
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name or an address, which ends with this year.
    pub(super) fn identity(&self, name: &str, last_year: i32) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        Identity { certificate: params.signed_by(&key, &self.0).expect("it can be used"), key }
    }
}

impl Identity {
    /// A server that shows it, and asks for certificates of an authority.
    pub(super) fn server(&self, clients: Option<&Authority>) -> Option<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_safe_default_protocol_versions().expect("the provider has them");
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).expect("it can be used");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                config.with_client_cert_verifier(verifier.build().expect("it can be used"))
            }
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("it can be used");
        Some(Arc::new(
            config.with_single_cert(vec![self.certificate.der().clone()], key).expect("it can be used"),
        ))
    }

    /// What an agent is told to show it.
    fn options(&self, behind: &Behind) -> [String; 4] {
        let certificate = behind.file("certificate.pem", &self.certificate.pem());
        let key = behind.file("key.pem", &self.key.serialize_pem());
        ["--certificate".to_owned(), certificate, "--key".to_owned(), key]
    }
}

/// Starts an agent whose AFM is behind TLS that is wrong in some way, waits until it tells so with one of these words,
/// mends the gate, and waits for a task to be executed.
fn is_told_and_mended(
    words: &[&str],
    authority: &Authority,
    shown: Option<&Identity>,
    wrong: Option<Arc<ServerConfig>>,
    right: Option<Arc<ServerConfig>>,
) {
    let behind = Behind::start();
    let gate = Gate::before(behind.afm.address(), Rules { tls: wrong, ..Rules::default() });
    let ca_file = behind.file("ca.pem", &authority.pem());
    let shown = shown.map(|shown| shown.options(&behind));
    let mut args = vec!["--ca-file", &ca_file];
    args.extend(shown.iter().flatten().map(String::as_str));
    let agent = behind.agent(&format!("https://{}", gate.address), &args, &[]);
    let line = wait_for_problem(&agent, words);
    assert!(line.contains(&format!("https://{}", gate.address)), "{line}");
    assert_eq!(gate.seen().len(), 0);
    gate.change(|rules| rules.tls = right);
    behind.executes_a_task();
    tells_none_of(&agent, &["PRIVATE KEY"]);
}

#[test]
fn an_afm_that_wants_a_certificate_is_shown_it() {
    let behind = Behind::start();
    let (ours, theirs) = (Authority::new("servers"), Authority::new("agents"));
    let tls = ours.identity("127.0.0.1", 2100).server(Some(&theirs));
    let gate = Gate::before(behind.afm.address(), Rules { tls, ..Rules::default() });
    let ca_file = behind.file("ca.pem", &ours.pem());
    let shown = theirs.identity("first", 2100).options(&behind);
    let mut args = vec!["--ca-file", &ca_file];
    args.extend(shown.iter().map(String::as_str));
    let _agent = behind.agent(&format!("https://{}", gate.address), &args, &[]);
    behind.executes_a_task();
    gate.wait_until(|seen| seen.iter().any(|seen| seen.line.starts_with("POST /tasks/response ")));
}

#[test]
fn the_certificate_of_an_afm_may_be_the_file_of_authorities_itself() {
    let behind = Behind::start();
    let key = KeyPair::generate().unwrap();
    // As `openssl req -x509` makes it.
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let identity = Identity { certificate: params.self_signed(&key).unwrap(), key };
    let gate = Gate::before(behind.afm.address(), Rules { tls: identity.server(None), ..Rules::default() });
    let ca_file = behind.file("afm.pem", &identity.certificate.pem());
    let _agent = behind.agent(&format!("https://{}", gate.address), &["--ca-file", &ca_file], &[]);
    behind.executes_a_task();
}

#[test]
fn an_agent_without_a_certificate_says_that_one_is_wanted() {
    let ours = Authority::new("servers");
    let server = ours.identity("127.0.0.1", 2100);
    let wrong = server.server(Some(&Authority::new("agents")));
    is_told_and_mended(
        &["the other side wants a certificate of the client"],
        &ours,
        None,
        wrong,
        server.server(None),
    );
}

#[test]
fn a_certificate_of_an_agent_that_is_of_another_authority_is_told() {
    let (ours, theirs, others) =
        (Authority::new("servers"), Authority::new("agents"), Authority::new("others"));
    let server = ours.identity("127.0.0.1", 2100);
    let shown = others.identity("first", 2100);
    is_told_and_mended(
        &["the other side does not know the authority of the client's certificate"],
        &ours,
        Some(&shown),
        server.server(Some(&theirs)),
        server.server(Some(&others)),
    );
}

#[test]
fn a_certificate_of_an_agent_that_has_expired_is_told() {
    let (ours, theirs) = (Authority::new("servers"), Authority::new("agents"));
    let server = ours.identity("127.0.0.1", 2100);
    let shown = theirs.identity("first", 2020);
    is_told_and_mended(&["expired"], &ours, Some(&shown), server.server(Some(&theirs)), server.server(None));
}

#[test]
fn a_certificate_of_an_afm_that_is_of_another_authority_is_told() {
    let (ours, others) = (Authority::new("servers"), Authority::new("others"));
    let wrong = others.identity("127.0.0.1", 2100).server(None);
    let right = ours.identity("127.0.0.1", 2100).server(None);
    is_told_and_mended(
        &["its certificate is of an authority that is not trusted here"],
        &ours,
        None,
        wrong,
        right,
    );
}

#[test]
fn a_certificate_of_an_afm_that_has_expired_is_told() {
    let ours = Authority::new("servers");
    let wrong = ours.identity("127.0.0.1", 2020).server(None);
    is_told_and_mended(&["expired"], &ours, None, wrong, ours.identity("127.0.0.1", 2100).server(None));
}

#[test]
fn a_certificate_of_an_afm_for_another_name_is_told() {
    let ours = Authority::new("servers");
    let wrong = ours.identity("afm.example", 2100).server(None);
    is_told_and_mended(
        &["its certificate is for afm.example, and not for 127.0.0.1"],
        &ours,
        None,
        wrong,
        ours.identity("127.0.0.1", 2100).server(None),
    );
}

#[test]
fn an_afm_without_tls_where_it_is_expected_is_told() {
    let ours = Authority::new("servers");
    is_told_and_mended(
        &["the other side ended the connection instead of speaking TLS", "the other side does not speak TLS"],
        &ours,
        None,
        None,
        ours.identity("127.0.0.1", 2100).server(None),
    );
}
