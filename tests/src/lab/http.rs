//! Just enough HTTP to ask a server inside a namespace one question.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::netns::Netns;

/// How long to wait for a connection, and for each part of an answer: what a patient person would.
const PATIENCE: Duration = Duration::from_secs(2);

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Sends one request on a connection of its own.
pub async fn request(netns: &Netns, method: &str, server: SocketAddr, path: &str) -> Result<Answer> {
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    send(netns, server, path, request).await
}

/// Sends an object on a connection of its own.
pub async fn post(netns: &Netns, server: SocketAddr, path: &str, object: &Value) -> Result<Answer> {
    let body = object.to_string();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {server}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    send(netns, server, path, request).await
}

async fn send(netns: &Netns, server: SocketAddr, path: &str, request: String) -> Result<Answer> {
    let netns = netns.clone();
    let exchange = move || {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&String::from_utf8_lossy(&answer)).context("the answer is no HTTP")
    };
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || netns.run(exchange))
        .await?
        .with_context(|| format!("no answer from http://{server}{path}"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}
