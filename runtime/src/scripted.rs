//! An API server in process that plays a script: for tests of what is asked, in which order, and
//! what follows from each answer.
//!
//! The script is a list of exchanges. A request that is not the next one of the list is answered
//! with an error and fails the test at the end, and so does an exchange that never came.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::{Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tower::{BoxError, ServiceExt, service_fn};

use crate::throttle;

/// How long a test waits for the exchanges that are still to come. Virtual where time is.
const PATIENCE: Duration = Duration::from_secs(120);

/// A script and the client that plays it.
#[derive(Clone, Default)]
pub struct Script {
    state: Arc<Mutex<State>>,
    progress: Arc<Notify>,
}

/// What the API server answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 200 and an object.
    Object(Value),
    /// The same, this much later.
    Late(Duration, Value),
    /// A refusal: the status code and its reason.
    Refusal(u16, &'static str),
    /// 429, and the seconds to wait.
    Throttled(u64),
    /// 200 and the beginning of an object, of which no more ever comes.
    Trickle,
    /// 200 and text that is no object.
    Garbage,
    /// The events of a watch, which then ends.
    Events(Vec<Value>),
    /// The events of a watch, which then says nothing any more.
    OpenEvents(Vec<Value>),
    /// The events of a watch, which then ends in the middle of a line.
    TornEvents(Vec<Value>),
    /// The connection breaks before there is an answer.
    Broken,
    /// There is never an answer.
    Silence,
}

/// A request, as far as tests look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Verb and path without the query: `GET /api/v1/services`.
    pub line: String,
    /// The query, undecoded.
    pub query: String,
    /// `Content-Type`, or nothing.
    pub content_type: String,
    /// The body, or null.
    pub body: Value,
}

#[derive(Default)]
struct State {
    expected: VecDeque<(String, Answer)>,
    standing: BTreeMap<String, Answer>,
    asked: Vec<Asked>,
    surprises: Vec<String>,
}

type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

// === impl Script ===

impl Script {
    /// An empty script: every request is a surprise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an exchange: verb and path of the request, and the answer.
    #[must_use]
    pub fn then(self, line: &str, answer: Answer) -> Self {
        self.state.lock().expected.push_back((line.to_owned(), answer));
        self
    }

    /// Has a request answered this way whenever it comes and is not the next one of the list.
    #[must_use]
    pub fn whenever(self, line: &str, answer: Answer) -> Self {
        self.state.lock().standing.insert(line.to_owned(), answer);
        self
    }

    /// Has a request no longer answered whenever it comes: from here on it is a surprise.
    pub fn no_longer(&self, line: &str) {
        self.state.lock().standing.remove(line);
    }

    /// A client that talks to this script.
    pub fn client(&self) -> Client {
        let script = self.clone();
        let service = service_fn(move |request| {
            let script = script.clone();
            async move { script.exchange(request).await }
        });
        // As in the real client: a refusal with status 429 becomes an error of its own.
        Client::new(service.map_result(throttle::notice), "default")
    }

    /// Waits until every exchange has taken place, and gives their requests in their order.
    ///
    /// # Errors
    /// With what was asked and not expected, or expected and not asked.
    pub async fn played(&self) -> Result<Vec<Asked>, String> {
        let all = async {
            loop {
                let next = self.progress.notified();
                if self.state.lock().is_over() {
                    return;
                }
                next.await;
            }
        };
        let in_time = timeout(PATIENCE, all).await;
        let state = self.state.lock();
        match (state.surprises.as_slice(), state.expected.front()) {
            ([], None) => Ok(state.asked.clone()),
            ([], Some((line, _))) => Err(format!("{line} was expected and not asked: {in_time:?}")),
            (surprises, next) => Err(format!(
                "{surprises:?} came, and the script goes on with {next:?}"
            )),
        }
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<AnswerBody>, BoxError> {
        let asked = Asked::read(request).await?;
        let answer = self.state.lock().answer(asked);
        self.progress.notify_waiters();
        match answer {
            Answer::Object(object) => respond(200, one(&object)),
            Answer::Throttled(seconds) => {
                let text = "Too many requests, please try again later.\n".to_owned();
                let mut answer = respond(429, stream::iter([text]))?;
                answer.headers_mut().insert("retry-after", seconds.into());
                Ok(answer)
            }
            Answer::Trickle => {
                let begin = stream::iter(["{".to_owned()]);
                respond(200, begin.chain(stream::pending()))
            }
            Answer::Garbage => respond(200, stream::iter(["<html>not me</html>".to_owned()])),
            Answer::Late(late, object) => {
                sleep(late).await;
                respond(200, one(&object))
            }
            Answer::Refusal(code, reason) => respond(code, one(&refusal(code, reason))),
            Answer::Events(events) => respond(200, lines(&events)),
            Answer::OpenEvents(events) => respond(200, lines(&events).chain(stream::pending())),
            Answer::TornEvents(events) => {
                let torn = stream::iter(["{\"type\":\"ADD".to_owned()]);
                respond(200, lines(&events).chain(torn))
            }
            Answer::Broken => Err("the script breaks the connection".into()),
            Answer::Silence => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    fn is_over(&self) -> bool {
        self.expected.is_empty() || !self.surprises.is_empty()
    }

    fn answer(&mut self, asked: Asked) -> Answer {
        let line = asked.line.clone();
        if let Some((_, answer)) = self.expected.pop_front_if(|(expected, _)| *expected == line) {
            self.asked.push(asked);
            return answer;
        }
        if let Some(answer) = self.standing.get(&line) {
            return answer.clone();
        }
        self.surprises.push(line);
        Answer::Refusal(501, "NotInTheScript")
    }
}

// === impl Asked ===

impl Asked {
    async fn read(request: Request<Body>) -> Result<Self, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let content_type = parts.headers.get("content-type");
        Ok(Self {
            line: format!("{} {}", parts.method, parts.uri.path()),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_type: content_type.map_or(Ok(""), |value| value.to_str())?.to_owned(),
            body: match body.is_empty() {
                true => Value::Null,
                false => serde_json::from_slice(&body)?,
            },
        })
    }
}

/// An event of a watch.
pub fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

/// The event that ends a watch with a refusal.
pub fn error_event(code: u16, reason: &str) -> Value {
    event("ERROR", &refusal(code, reason))
}

fn refusal(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the script says {reason}"), "reason": reason, "code": code,
    })
}

fn one(object: &Value) -> impl Stream<Item = String> + Send + use<> {
    stream::iter([object.to_string()])
}

fn lines(events: &[Value]) -> impl Stream<Item = String> + Send + use<> {
    let lines: Vec<String> = events.iter().map(|event| format!("{event}\n")).collect();
    stream::iter(lines)
}

fn respond(
    code: u16,
    chunks: impl Stream<Item = String> + Send + 'static,
) -> Result<Response<AnswerBody>, BoxError> {
    let frames = chunks.map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
    let body = StreamBody::new(frames).boxed_unsync();
    let response = Response::builder().status(code);
    Ok(response.header("content-type", "application/json").body(body)?)
}
