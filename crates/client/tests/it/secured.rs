//! AFMs behind TLS, proxies and passwords.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion as Version};
use serde_json::json;
use slamon_client::{Client, ClientError, ConnectError, ConnectOptions, NewTask, tls_configuration};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::afm::start;

/// Certificates of an authority and of another one, in files of a folder.
struct Certificates {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// What a certificate for a name says.
fn params(name: &str, purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("it is a name");
    params.extended_key_usages = vec![purpose];
    params
}

fn for_server(name: &str) -> CertificateParams {
    params(name, ExtendedKeyUsagePurpose::ServerAuth)
}

impl Certificates {
    fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().expect("a folder"), authority: authority("ours") };
        this.write("authority.pem", &this.authority.pem());
        let stranger = authority("a stranger's");
        // Its name does not make it the same.
        this.write("namesake.pem", &authority("ours").pem());
        this.write("stranger.pem", &stranger.pem());
        let for_client = || params("engine", ExtendedKeyUsagePurpose::ClientAuth);
        let mut old = for_client();
        old.not_after = date_time_ymd(2001, 12, 31);
        for (name, params, issuer) in [
            ("client", for_client(), &this.authority),
            ("old", old, &this.authority),
            ("strange", for_client(), &stranger),
        ] {
            let key = KeyPair::generate().expect("a key");
            this.write(&format!("{name}.pem"), &params.signed_by(&key, issuer).expect("a certificate").pem());
            this.write(&format!("{name}.key"), &key.serialize_pem());
        }
        this
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server whose certificate says this, and that wants one of clients, and then speaks only this version, or wants none.
    fn server(
        &self,
        params: &CertificateParams,
        wants_certificate: Option<&'static Version>,
    ) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let chain = vec![params.signed_by(&key, &self.authority).expect("a certificate").der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let versions = wants_certificate.map_or_else(|| ALL_VERSIONS.to_vec(), |version| vec![version]);
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions);
        let builder = builder.expect("it knows TLS");
        let builder = match wants_certificate {
            Some(_) => builder.with_client_cert_verifier(verifier.build().expect("a verifier")),
            None => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        builder.with_single_cert(chain, key).expect("they fit")
    }

    /// Options to trust an authority, and to show a certificate.
    fn options(&self, authority: Option<&str>, certificate: Option<&str>) -> ConnectOptions {
        let authority = authority.map(|name| self.path(&format!("{name}.pem")));
        let files =
            certificate.map(|name| (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key"))));
        let files = files.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let tls = tls_configuration(authority.as_deref(), files).expect("they can be used");
        ConnectOptions { tls: Some(tls), ..ConnectOptions::default() }
    }
}

/// Speaks TLS before a server; its address.
async fn with_tls(server: SocketAddr, config: ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor.accept(client).into_fallible().await {
                    Ok(mut client) => {
                        let mut server = TcpStream::connect(server).await?;
                        copy_bidirectional(&mut client, &mut server).await?;
                    }
                    // A connection with unread data in it would be reset, and the alert lost.
                    Err((_, mut client)) => {
                        client.shutdown().await?;
                        tokio::io::copy(&mut client, &mut sink()).await?;
                    }
                }
                std::io::Result::Ok(())
            });
        }
    });
    address
}

/// A proxy that makes connections for those who show this `Proxy-Authorization`; its address.
async fn proxy(wanted: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let text = String::from_utf8_lossy(&head).into_owned();
                let is_let_in = text.lines().any(|line| {
                    line.split_once(": ").is_some_and(|(name, value)| {
                        name.eq_ignore_ascii_case("proxy-authorization") && value == wanted
                    })
                });
                if !is_let_in {
                    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
                    return client.write_all(refusal).await;
                }
                let mut words = text.split(' ');
                let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let host = target.trim_start_matches("http://").split('/').next().unwrap_or_default();
                let mut server = TcpStream::connect(host).await?;
                match method {
                    "CONNECT" => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?,
                    _ => server.write_all(&head).await?,
                }
                copy_bidirectional(&mut client, &mut server).await?;
                Ok(())
            });
        }
    });
    address
}

/// A server that lets those in who show this `Authorization`; its address.
async fn guarded(wanted: &'static str) -> SocketAddr {
    async fn answer(State(wanted): State<&'static str>, headers: HeaderMap) -> StatusCode {
        match headers.get("authorization").is_some_and(|shown| shown == wanted) {
            true => StatusCode::OK,
            false => StatusCode::UNAUTHORIZED,
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer).with_state(wanted)).into_future());
    address
}

async fn post(url: &str, options: &ConnectOptions) -> Result<(), ClientError> {
    let client = Client::with_options(url, options)?.retry_for(Duration::ZERO);
    client.post_task(&NewTask::new("add", 1).data(&json!({}))?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_to_an_afm_that_wants_one() {
    let (afm, client) = start();
    let certificates = Certificates::new();
    for version in [&TLS12, &TLS13] {
        let server = certificates.server(&for_server("localhost"), Some(version));
        let url = format!("https://localhost:{}", with_tls(afm.address(), server).await.port());
        post(&url, &certificates.options(Some("authority"), Some("client"))).await.unwrap();
        for (certificate, told) in [
            (None, "the other side wants a certificate of the client"),
            (Some("old"), "the client's certificate has expired"),
            (Some("strange"), "the other side does not know the authority of the client's certificate"),
        ] {
            let options = certificates.options(Some("authority"), certificate);
            match post(&url, &options).await.unwrap_err() {
                ClientError::Untrusted(problem) => assert_eq!(problem, format!("{url}: {told}")),
                // The server lets the client begin before it has looked at the certificate, and what it says then may be lost.
                ClientError::Unreachable(problem) if *version == TLS13 => {
                    let told = "the other side ended the connection at once; if it wants a certificate of the \
                                client, that may be missing or wrong";
                    assert_eq!(problem, format!("{url}: {told}"));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(client.status().await.unwrap().tasks_waiting, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_afm_whose_certificate_is_not_to_be_trusted_is_told_nothing() {
    let (afm, client) = start();
    let certificates = Certificates::new();
    let mut old = for_server("localhost");
    old.not_after = date_time_ymd(2001, 12, 31);
    let mut early = for_server("localhost");
    (early.not_before, early.not_after) = (date_time_ymd(3000, 1, 1), date_time_ymd(3001, 1, 1));
    let mut of_authority = for_server("localhost");
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let for_client = params("localhost", ExtendedKeyUsagePurpose::ClientAuth);
    for (params, authority, told) in [
        (
            for_server("localhost"),
            Some("stranger"),
            "its certificate is of an authority that is not trusted here",
        ),
        (
            for_server("localhost"),
            Some("namesake"),
            "its certificate is not signed by the authority of that name that is trusted here",
        ),
        (for_server("localhost"), None, "its certificate is of an authority that is not trusted here"),
        (
            old,
            Some("authority"),
            "its certificate, or that of its authority, expired on 2001-12-31T00:00:00Z",
        ),
        (
            early,
            Some("authority"),
            "its certificate, or that of its authority, is not valid before 3000-01-01T00:00:00Z",
        ),
        (
            for_server("afm.example"),
            Some("authority"),
            "its certificate is for afm.example, and not for localhost",
        ),
        (for_server("10.0.0.1"), Some("authority"), "its certificate is for 10.0.0.1, and not for localhost"),
        (for_client, Some("authority"), "its certificate is not one for a server"),
        (
            of_authority,
            Some("authority"),
            "its certificate is made for an authority (as openssl makes self-signed ones), and is not itself \
             one that is trusted here",
        ),
    ] {
        let front = with_tls(afm.address(), certificates.server(&params, None)).await;
        let url = format!("https://localhost:{}", front.port());
        let problem = post(&url, &certificates.options(authority, None)).await.unwrap_err();
        assert!(matches!(problem, ClientError::Untrusted(_)) && !problem.is_passing(), "{problem:?}");
        assert_eq!(problem.to_string(), format!("could not begin TLS with {url}: {told}"));
    }
    assert_eq!(client.status().await.unwrap().tasks_waiting, 0);

    // What speaks no TLS may be another server tomorrow, and is tried again.
    let url = format!("https://{}", afm.address());
    let client = Client::with_options(&url, &certificates.options(None, None)).unwrap();
    let problem = client.retry_for(Duration::ZERO).status().await.unwrap_err();
    let told = format!("the AFM could not be reached: {url}: the other side does not speak TLS");
    assert_eq!(problem.to_string(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_told_the_user_and_the_password_of_its_url() {
    let (afm, client) = start();
    let certificates = Certificates::new();
    let front = with_tls(afm.address(), certificates.server(&for_server("localhost"), None)).await;
    // The password is `p@ss`.
    let proxy = proxy("Basic dXNlcjpwQHNz").await;
    let by_way_of = |user: &str| ConnectOptions {
        proxy: Some(format!("http://{user}{proxy}")),
        ..certificates.options(Some("authority"), None)
    };
    for url in [afm.url(), format!("https://localhost:{}", front.port())] {
        post(&url, &by_way_of("user:p%40ss@")).await.unwrap();
        for user in ["", "user:wrong@"] {
            let problem = post(&url, &by_way_of(user)).await.unwrap_err();
            assert!(matches!(problem, ClientError::Refused { status: 407, .. }), "{problem:?}");
            let told = format!(
                "{url} by way of http://{proxy}: the proxy wants a user and a password, or others than these"
            );
            assert_eq!(problem.to_string(), told);
        }
    }
    assert_eq!(client.status().await.unwrap().tasks_waiting, 2);
}

#[tokio::test]
async fn a_token_or_a_user_and_a_password_are_shown() {
    let token = |token: &str| ConnectOptions { token: Some(token.to_owned()), ..ConnectOptions::default() };
    let guard = guarded("Bearer s3cret").await;
    post(&format!("http://{guard}"), &token("s3cret")).await.unwrap();
    let of_url = guarded("Basic dXNlcjpwQHNz").await;
    post(&format!("http://user:p%40ss@{of_url}/"), &ConnectOptions::default()).await.unwrap();
    for (url, options) in [
        (format!("http://{guard}"), token("other")),
        (format!("http://{guard}"), ConnectOptions::default()),
        (format!("http://user:wrong@{of_url}"), ConnectOptions::default()),
    ] {
        let problem = post(&url, &options).await.unwrap_err();
        assert!(matches!(problem, ClientError::Refused { status: 401, .. }), "{problem:?}");
        assert!(problem.to_string().contains("the token, or the user and the password"), "{problem}");
    }
    let both = post(&format!("http://user:p%40ss@{of_url}"), &token("s3cret")).await.unwrap_err();
    assert!(matches!(both, ClientError::Connect(ConnectError::TokenAndUser)), "{both:?}");
}
