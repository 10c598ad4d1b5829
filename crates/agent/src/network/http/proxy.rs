//! Proxies of HTTP between an agent and its targets.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::HttpError;
use crate::network::NetworkPolicy;
use crate::network::connect::{ConnectError, Target, reason};
use crate::network::limit::{Limit, TimeIsUp};

/// The head of an answer to `CONNECT` has no more bytes.
const LARGEST_HEAD: usize = 16 * 1024;

/// A proxy, which is spoken to without TLS.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) target: Target,
    /// User and password.
    pub(crate) user: Option<(String, String)>,
}

/// Without the password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(user, _)| user);
        f.debug_struct("Proxy").field("target", &self.target).field("user", &user).finish()
    }
}

impl Proxy {
    /// What the proxy is shown that the request is by.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = self.user.as_ref()?;
        basic(user.as_bytes(), password.as_bytes())
    }

    /// Whether tasks may reach a target by way of the proxy. A name that only the proxy knows is its own affair.
    pub(super) async fn may_be_asked_for(
        &self,
        target: &Target,
        policy: &NetworkPolicy,
        limit: &Limit,
    ) -> Result<(), ConnectError> {
        match target.resolve(policy, None, limit).await {
            Err(forbidden @ (ConnectError::Forbidden { .. } | ConnectError::OtherHost { .. })) => {
                Err(forbidden)
            }
            _ => Ok(()),
        }
    }

    /// Has the proxy connect to a target.
    pub(super) async fn tunnel(
        &self,
        mut stream: TcpStream,
        target: &Target,
        limit: &Limit,
    ) -> Result<TcpStream, HttpError> {
        let failed =
            |answer: String| HttpError::Tunnel { proxy: self.target.clone(), target: target.clone(), answer };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = self.authorization().as_ref().and_then(|value| value.to_str().ok()) {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        let talk = async {
            stream.write_all(request.as_bytes()).await?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && head.len() < LARGEST_HEAD {
                // Byte by byte: what follows belongs to the target.
                head.push(stream.read_u8().await?);
            }
            Ok::<_, std::io::Error>(head)
        };
        let head = match limit.hold(talk).await {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => return Err(failed(reason(&error))),
            Err(TimeIsUp) => {
                return Err(HttpError::TimeIsUp { target: self.target.clone(), after: limit.elapsed() });
            }
        };
        let head = String::from_utf8_lossy(&head);
        let status = head.lines().next().and_then(|line| line.split_once(' ')).map(|(_, status)| status);
        match status {
            Some(status) if status.starts_with('2') => Ok(stream),
            Some(status) => Err(failed(status.trim().to_owned())),
            None => Err(failed("it does not speak HTTP".to_owned())),
        }
    }
}

/// `Authorization: Basic …`
pub(crate) fn basic(user: &[u8], password: &[u8]) -> Option<HeaderValue> {
    let both = STANDARD.encode([user, b":", password].concat());
    let mut value = HeaderValue::try_from(format!("Basic {both}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
