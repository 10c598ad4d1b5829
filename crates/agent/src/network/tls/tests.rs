use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::context::Context;
use crate::network::NetworkPolicy;
use crate::network::limit::Timeout;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn roots(pem: &str) -> TlsRoots {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), pem).unwrap();
    TlsRoots::none().and_file(file.path()).unwrap()
}

/// A server certificate.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// What is seen of a server with these certificates, the first its own.
async fn meet(
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    roots: &TlsRoots,
    name: &str,
    verify: Verify,
) -> Result<Peer, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(config)).accept(stream).await.map(drop)
    });
    let limit = Timeout::default().limit(&Context::alone());
    let connection = target.connect(&NetworkPolicy::default(), None, &limit).await.unwrap();
    let options = TlsOptions { name: Some(name), verify, alpn: &[] };
    let secured = roots.secure(connection.stream, &target, options, &limit).await;
    server.await.unwrap().unwrap();
    let port = target.port.to_string();
    secured.map(|secured| secured.peer).map_err(|error| error.to_string().replace(&port, "PORT"))
}

/// What is wrong with a certificate that a CA, which is trusted, makes of these parameters.
async fn problem(params: CertificateParams, name: &str) -> Result<Peer, String> {
    let (ca, key) = (ca("Test CA"), KeyPair::generate().unwrap());
    let certificate = params.signed_by(&key, &ca).unwrap();
    meet(vec![certificate.der().clone()], &key, &roots(&ca.pem()), name, Verify::Required).await
}

#[tokio::test]
async fn a_valid_certificate_is_seen_with_all_that_it_says() {
    let peer = problem(params("shop.example"), "shop.example").await.unwrap();
    assert_eq!((peer.chain, peer.protocol.as_str(), peer.problems.len()), (1, "TLSv1.3", 0));
    let certificate = peer.certificate.unwrap();
    assert_eq!(certificate.subject, "CN=shop.example");
    assert_eq!(certificate.issuer, "CN=Test CA");
    assert_eq!(certificate.names, ["shop.example"]);
    assert!(certificate.days_left > 365, "{certificate:?}");
    // Addresses can be names, too.
    let peer = problem(params("127.0.0.1"), "127.0.0.1").await.unwrap();
    assert_eq!(peer.certificate.unwrap().names, ["127.0.0.1"]);
    problem(params("*.shop.example"), "eu.shop.example").await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told() {
    let mut expired = params("shop.example");
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2020, 2, 1);
    let told = problem(expired.clone(), "shop.example").await.unwrap_err();
    let begin = "the certificate of 127.0.0.1:PORT is not valid: it expired on 2020-02-01T00:00:00Z (";
    assert!(told.starts_with(begin) && told.ends_with(" days ago)"), "{told}");
    // All that is wrong, not only the first.
    let told = problem(expired, "bank.example").await.unwrap_err();
    assert!(told.starts_with(begin), "{told}");
    assert!(told.ends_with(" days ago); it is for shop.example, and not for bank.example"), "{told}");
    let mut early = params("shop.example");
    early.not_before = date_time_ymd(2200, 1, 1);
    early.not_after = date_time_ymd(2201, 1, 1);
    assert_eq!(
        problem(early, "shop.example").await.unwrap_err(),
        "the certificate of 127.0.0.1:PORT is not valid: it is not valid before 2200-01-01T00:00:00Z"
    );
    assert_eq!(
        problem(CertificateParams::default(), "shop.example").await.unwrap_err(),
        "the certificate of 127.0.0.1:PORT is not valid: it names nobody whom it is for, in particular not \
         shop.example"
    );
}

#[tokio::test]
async fn who_vouches_for_a_certificate_is_told() {
    let key = KeyPair::generate().unwrap();
    let (trusted, other) = (ca("Test CA"), ca("Another CA"));
    let roots_of = |pem: &str| roots(pem);
    let of_other = params("shop.example").signed_by(&key, &other).unwrap();
    let chain = vec![of_other.der().clone()];
    let told = meet(chain.clone(), &key, &roots_of(&trusted.pem()), "shop.example", Verify::Required).await;
    assert_eq!(
        told.unwrap_err(),
        "the certificate of 127.0.0.1:PORT is not valid: its issuer (CN=Another CA) leads to no authority that \
         this agent trusts, and the server sends no certificate of an authority in between"
    );
    let peer = meet(chain, &key, &roots_of(&trusted.pem()), "shop.example", Verify::Reported).await.unwrap();
    assert_eq!(peer.problems.len(), 1);
    assert_eq!(peer.certificate.unwrap().issuer, "CN=Another CA");
    // An authority by another one, that the server sends.
    let mut between = CertificateParams::default();
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    between.distinguished_name.push(DnType::CommonName, "Between");
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &trusted).unwrap();
    let leaf = params("shop.example").signed_by(&key, &between).unwrap();
    let chain = vec![leaf.der().clone(), between.der().clone()];
    let peer = meet(chain, &key, &roots_of(&trusted.pem()), "shop.example", Verify::Required).await;
    assert_eq!(peer.unwrap().chain, 2);
    for is_ca in [false, true] {
        let mut alone = params("shop.example");
        alone.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        let alone = alone.self_signed(&key).unwrap();
        let chain = vec![alone.der().clone()];
        let told =
            meet(chain.clone(), &key, &roots_of(&trusted.pem()), "shop.example", Verify::Required).await;
        assert_eq!(
            told.unwrap_err(),
            "the certificate of 127.0.0.1:PORT is not valid: it is self-signed: no authority vouches for it"
        );
        // The operator does.
        let own = roots_of(&alone.pem());
        meet(chain, &key, &own, "shop.example", Verify::Required).await.unwrap();
    }
}

/// What is told of a server that sends this, and then nothing or the end.
async fn told_of(answer: &'static [u8], ends: bool, seconds: f64) -> String {
    use tokio::io::AsyncWriteExt;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(answer).await.unwrap();
        if ends {
            stream.shutdown().await.unwrap();
        }
        stream
    });
    let limit = Timeout::try_from(seconds).unwrap().limit(&Context::alone());
    let connection = target.connect(&NetworkPolicy::default(), None, &limit).await.unwrap();
    let options = TlsOptions { name: None, verify: Verify::Reported, alpn: &[] };
    let error = TlsRoots::none().secure(connection.stream, &target, options, &limit).await.unwrap_err();
    server.await.unwrap();
    error.to_string().replace(&target.to_string(), "TARGET")
}

#[tokio::test]
async fn a_server_that_does_no_tls_is_told() {
    assert_eq!(
        told_of(b"220 mail.example ESMTP\r\n", false, 20.0).await,
        "could not begin TLS with TARGET: the other side does not speak TLS"
    );
    assert_eq!(
        told_of(b"", true, 20.0).await,
        "could not begin TLS with TARGET: the connection ended too soon"
    );
    let told = told_of(b"", false, 0.2).await;
    assert!(told.starts_with("could not begin TLS with TARGET: no answer within 0."), "{told}");
}

#[test]
fn files_without_certificates_are_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN CERT"] {
        fs::write(file.path(), text).unwrap();
        let problem = TlsRoots::none().and_file(file.path()).unwrap_err().to_string();
        assert!(problem.starts_with(&format!("could not read certificates from {path}: ")), "{problem}");
    }
    assert!(TlsRoots::none().and_file(Path::new("/nowhere")).is_err());
}

#[tokio::test]
async fn a_certificate_may_never_end() {
    // What is written where there is no end (RFC 5280, 4.1.2.5).
    let mut endless = params("shop.example");
    endless.not_after = date_time_ymd(9999, 12, 31) + std::time::Duration::from_secs(24 * 60 * 60 - 1);
    let peer = problem(endless, "shop.example").await.unwrap();
    assert!(peer.certificate.unwrap().days_left > 365 * 7_000);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_not_valid_for_any_days() {
    let mut peer = problem(params("shop.example"), "shop.example").await.unwrap();
    let target = Target::new("shop.example", 443);
    peer.expect_days(&target, 1).unwrap();
    peer.certificate = None;
    let problem = peer.expect_days(&target, 1).unwrap_err().to_string();
    assert_eq!(problem, "the certificate of shop.example:443 cannot be read; expected 1 day at least");
}
