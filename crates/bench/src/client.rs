//! One HTTP connection to the AFM.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends requests one after the other.
pub(crate) struct Client {
    address: SocketAddr,
    close: bool,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// With `close`, every request has a connection of its own.
    pub(crate) fn new(address: SocketAddr, close: bool) -> Self {
        Self { address, close, sender: None }
    }

    pub(crate) async fn post(&mut self, path: &str, body: String) -> Result<(StatusCode, Bytes)> {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes)> {
        self.send(Method::GET, path, String::new()).await
    }

    async fn send(&mut self, method: Method, path: &str, body: String) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json");
        if self.close {
            request = request.header(CONNECTION, "close");
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let mut sender = self.connection().await?;
        let answer = sender.send_request(request).await.context("request")?;
        let status = answer.status();
        let body = answer.into_body().collect().await.context("answer")?.to_bytes();
        if !self.close {
            self.sender = Some(sender);
        }
        Ok((status, body))
    }

    async fn connection(&mut self) -> Result<SendRequest<Full<Bytes>>> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = TcpStream::connect(self.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // An error shows in the request that waits for it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}
