//! The admin server: is it alive, is it ready and if not why, its counts, its state.
//!
//! It binds to loopback unless told otherwise; nothing here can be changed through it.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::http::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use crate::readiness::Readiness;

/// Connections at a time: a probe, a scraper and an operator, several times over. More must wait,
/// so that a flood from the network (if someone bound it there) costs a bounded amount of memory.
const CONNECTIONS: usize = 32;

/// A client must have sent its request, and taken the answer, within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the state may take to be collected; later, the answer says that the owner is busy.
const STATE_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the owner of the state for a copy.
pub type StateSource = Arc<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>;

/// What the server answers with. Clones share it.
#[derive(Clone)]
pub struct Pages {
    /// For `/livez` and `/readyz`; without it neither exists.
    pub readiness: Option<Readiness>,
    /// For `/metrics`.
    pub registry: Arc<Registry>,
    /// For `/debug/state`; without it the page does not exist.
    pub state: Option<StateSource>,
}

/// The port is not to be had.
#[derive(Debug, Error)]
#[error(
    "cannot listen on {address}: {source}; stop what holds the port, or choose another address with {flag}"
)]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// The flag that says where.
    pub flag: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// Opens the port, before anything else starts: at all addresses of both families when the address is
/// `[::]`, of IPv4 where the kernel has no IPv6.
///
/// # Errors
/// When the port is not to be had; the sentence names port and flag.
pub async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    bind_by(TcpListener::bind, address, flag).await
}

async fn bind_by<F>(
    open: impl Fn(SocketAddr) -> F,
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, BindError>
where
    F: Future<Output = io::Result<TcpListener>>,
{
    let opened = match open(address).await {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != io::ErrorKind::AddrInUse => {
            open((Ipv4Addr::UNSPECIFIED, address.port()).into()).await
        }
        opened => opened,
    };
    opened.map_err(|source| BindError {
        address,
        flag,
        source,
    })
}

/// Answers until dropped. Cancel safe; connections under way are cut off with it.
///
/// # Errors
/// Never; the type fits a vital task.
pub async fn serve(listener: TcpListener, pages: Pages) -> anyhow::Result<()> {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of file descriptors, or the client is gone already: the next accept may work.
            Err(error) => {
                debug!(error = %error, "Admin connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        let pages = pages.clone();
        tasks.spawn(async move {
            let service = service_fn(move |request| answer(pages.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // A client that leaves early is its own affair.
            let _left_early = timeout(PATIENCE * 2, connection).await;
            drop(permit);
        });
    }
}

async fn answer(pages: Pages, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let readiness = pages.readiness.as_ref();
    let page = match request.uri().path() {
        "/livez" => readiness.map(|_| text(StatusCode::OK, "ok\n".to_owned())),
        "/readyz" => readiness.map(ready),
        "/metrics" => Some(metrics(&pages.registry)),
        "/debug/state" => match &pages.state {
            Some(source) => Some(state(source).await),
            None => None,
        },
        _ => None,
    };
    Ok(page.unwrap_or_else(|| nowhere(&pages)))
}

fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    text(status, readiness.report())
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut body = String::new();
    if prometheus_client::encoding::text::encode(&mut body, registry).is_err() {
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be encoded\n".to_owned(),
        );
    }
    with_type(
        StatusCode::OK,
        body,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )
}

async fn state(source: &StateSource) -> Response<Full<Bytes>> {
    match timeout(STATE_TIMEOUT, source()).await {
        Ok(value) => with_type(StatusCode::OK, format!("{value:#}\n"), "application/json"),
        Err(_) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the owner of the state is busy\n".to_owned(),
        ),
    }
}

fn nowhere(pages: &Pages) -> Response<Full<Bytes>> {
    let probes = if pages.readiness.is_some() {
        "/livez /readyz "
    } else {
        ""
    };
    let state = if pages.state.is_some() {
        " /debug/state"
    } else {
        ""
    };
    text(StatusCode::NOT_FOUND, format!("pages: {probes}/metrics{state}\n"))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    with_type(status, body, "text/plain; charset=utf-8")
}

fn with_type(status: StatusCode, body: String, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn mk_server(pages: Pages) -> SocketAddr {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into(), "--admin-bind")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        tokio::spawn(serve(listener, pages));
        address
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a sent request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
    }

    fn mk_pages() -> (Pages, Readiness) {
        let readiness = Readiness::new();
        let mut registry = Registry::with_prefix("ferrolb");
        let counter: prometheus_client::metrics::counter::Counter = Default::default();
        registry.register("things", "Things", counter.clone());
        counter.inc();
        let pages = Pages {
            readiness: Some(readiness.clone()),
            registry: Arc::new(registry),
            state: Some(Arc::new(|| Box::pin(async { json!({"pools": 1}) }))),
        };
        (pages, readiness)
    }

    #[tokio::test]
    async fn readiness_is_a_status_and_a_list_of_what_is_missing() {
        let (pages, readiness) = mk_pages();
        let guard = readiness.guard("list of Services");
        let address = mk_server(pages).await;
        let answer = get(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\nmissing: list of Services\n"),
            "{answer}"
        );
        guard.ready();
        let answer = get(address, "/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn metrics_and_state_are_served() {
        let (pages, _) = mk_pages();
        let address = mk_server(pages).await;
        let answer = get(address, "/metrics").await;
        assert!(
            answer.contains("content-type: application/openmetrics-text"),
            "{answer}"
        );
        assert!(answer.contains("ferrolb_things_total 1\n"), "{answer}");
        let answer = get(address, "/debug/state").await;
        assert!(answer.ends_with("\r\n\r\n{\n  \"pools\": 1\n}\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_server_for_metrics_alone_has_nothing_else() {
        let (mut pages, _) = mk_pages();
        pages.readiness = None;
        pages.state = None;
        let address = mk_server(pages).await;
        for path in ["/livez", "/readyz", "/debug/state", "/"] {
            let answer = get(address, path).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
            assert!(answer.ends_with("\r\n\r\npages: /metrics\n"), "{path}: {answer}");
        }
        assert!(get(address, "/metrics").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn nothing_can_be_written() {
        let (pages, _) = mk_pages();
        let address = mk_server(pages).await;
        let answer = ask(
            address,
            "POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }

    /// A kernel that was started with `ipv6.disable=1`.
    async fn open_without_ipv6(address: SocketAddr) -> io::Result<TcpListener> {
        match address {
            SocketAddr::V4(_) => TcpListener::bind(address).await,
            SocketAddr::V6(_) => Err(nix::errno::Errno::EAFNOSUPPORT.into()),
        }
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_ipv4_where_the_kernel_has_no_ipv6() {
        let all = (Ipv6Addr::UNSPECIFIED, 0).into();
        let listener = bind_by(open_without_ipv6, all, "--admin-bind")
            .await
            .expect("IPv4 is left");
        let address = listener.local_addr().expect("a bound address");
        assert_eq!(address.ip(), Ipv4Addr::UNSPECIFIED);

        let one = (Ipv6Addr::LOCALHOST, 0).into();
        let error = bind_by(open_without_ipv6, one, "--admin-bind").await;
        let error = error.expect_err("one address was asked for, and it is not there");
        assert!(
            error.to_string().starts_with("cannot listen on [::1]:0: "),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_a_sentence_with_port_and_flag() {
        let taken = bind((Ipv4Addr::LOCALHOST, 0).into(), "--admin-bind")
            .await
            .expect("a free port");
        let address = taken.local_addr().expect("a bound address");
        let error = bind(address, "--admin-bind")
            .await
            .expect_err("the port is taken");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {address}: Address already in use")),
            "{text}"
        );
        assert!(
            text.ends_with("choose another address with --admin-bind"),
            "{text}"
        );
    }
}
