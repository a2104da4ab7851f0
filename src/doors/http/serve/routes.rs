//! What is answered at which path.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use hyper::body::Body as _;
use jsonrpsee::server::ws;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tower::Service as _;

use super::admission::{self, Refused};
use super::assets::ASSETS;
use super::desk::Desk;
use super::live::{Place, Wish};
use super::{answer, metrics, query};
use crate::api::methods::reads as own;
use crate::api::reads::{self, Asked, Read};
use crate::api::{ApiError, Client, open_api};
use crate::doors::http::methods::{self, Asker};
use crate::doors::http::speaking::LONGEST_MESSAGE;
use crate::doors::http::subscriptions::{Following, Session};
use crate::services::following::Interest;

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(30);
/// How long what is not wanted is read all the same, so that whoever sends it gets the answer.
const UNWANTED: Duration = Duration::from_secs(5);

/// The place of a connection among all, which each of its requests holds.
#[derive(Debug, Clone)]
struct Placed(Arc<OwnedSemaphorePermit>);

/// What a path's own names are in this request.
type Parts = Vec<(String, String)>;

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Everything that is answered.
pub fn router(desk: &Arc<Desk>) -> Router {
    let mut router = Router::new();
    for read in reads::all() {
        for path in [read.path].iter().chain(read.also) {
            router = router
                .route(path, known(desk, move |desk, parts, head| Box::pin(look(desk, read, parts, head))));
        }
    }
    for asset in ASSETS {
        let file = move |headers: HeaderMap| async move { asset.answer(&headers) };
        router = router.route(asset.path, get(file).fallback(only_read));
    }
    let (rpc_desk, healthz_desk) = (desk.clone(), desk.clone());
    router
        .route("/api/events", known(desk, |desk, _, head| Box::pin(follow(desk, head))))
        .route("/metrics", known(desk, |desk, _, head| Box::pin(figures(desk, head))))
        .route("/openapi.json", known(desk, |_, _, _| Box::pin(document())))
        .route("/healthz", get(move || healthz(healthz_desk.clone())).fallback(only_read))
        .route("/rpc", axum::routing::any(move |request: Request| rpc(rpc_desk.clone(), request)))
        .fallback(nowhere)
}

/// A path that is read with the token.
fn known<F>(desk: &Arc<Desk>, read: F) -> axum::routing::MethodRouter
where
    F: Fn(Arc<Desk>, Parts, Head) -> Answer + Clone + Send + Sync + 'static,
{
    let desk = desk.clone();
    let handler = move |parts: RawPathParams, request: Request| {
        let (desk, read) = (desk.clone(), read.clone());
        let parts = parts.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (head, _) = request.into_parts();
        async move {
            match admission::authorize(&head.headers, false, &desk.secret) {
                Ok(()) => read(desk, parts, head).await,
                Err(refused) => turned_away(refused),
            }
        }
    };
    get(handler).fallback(only_read)
}

async fn only_read(request: Request) -> Response {
    let answer = answer::no_such_method(request.method().as_str(), "GET, HEAD", "it can be read with GET");
    unread(request.into_body(), answer).await
}

async fn nowhere(request: Request) -> Response {
    let message = format!("nothing is at {}", request.uri().path());
    let answer = answer::refused(StatusCode::NOT_FOUND, "not-found", &message, "/openapi.json lists what is");
    unread(request.into_body(), answer).await
}

/// Answers a request, whatever it is.
pub async fn attend(
    desk: Arc<Desk>,
    mut router: Router,
    mut request: Request,
    local: Option<IpAddr>,
    place: Arc<OwnedSemaphorePermit>,
) -> Response {
    let admitted = desk.names.admit(request.uri(), request.headers(), local);
    let answer = match (admitted, query::decoded(request.uri().path(), false)) {
        (Err(refused), _) => unread(request.into_body(), turned_away(refused)).await,
        (Ok(()), Err(error)) => unread(request.into_body(), answer::error(&error)).await,
        (Ok(()), Ok(_)) => {
            #[cfg(debug_assertions)]
            if let Some(file) = from_folder(&desk, &request) {
                return answer::finish(file);
            }
            request.extensions_mut().insert(Placed(place));
            match router.call(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        }
    };
    desk.count(&answer);
    answer::finish(answer)
}

/// A file of the board as it lies on the disk now, for whoever works on it.
#[cfg(debug_assertions)]
fn from_folder(desk: &Desk, request: &Request) -> Option<Response> {
    let folder = desk.house().environment.get("KAPELL_WEB")?;
    super::assets::from_folder(folder.as_ref(), request.uri().path(), request.headers())
}

/// Why somebody is not let in, as an answer.
fn turned_away(refused: Refused) -> Response {
    let refuse = |status, code, message, hint| answer::refused(status, code, message, hint);
    match refused {
        Refused::NoHost => refuse(
            StatusCode::BAD_REQUEST,
            "bad-host",
            "the request does not say once for which host it is",
            "send one Host header",
        ),
        Refused::ForeignHost => refuse(
            StatusCode::FORBIDDEN,
            "foreign-host",
            "the request is for another host",
            "ask for the address that kapell serve printed; --name NAME allows a name of a proxy's",
        ),
        Refused::ForeignOrigin => refuse(
            StatusCode::FORBIDDEN,
            "foreign-origin",
            "the request comes from a page of another server",
            "only the board that kapell serve itself serves may ask; programs send no Origin",
        ),
        Refused::NoToken => answer::unknown("the token is missing"),
        Refused::WrongToken => answer::unknown("that is not the token"),
    }
}

/// Reads what it was asked for.
async fn look(desk: Arc<Desk>, read: &'static Read, parts: Parts, head: Head) -> Response {
    let looked = async {
        let fields = query::fields(head.uri.query())?;
        let asked = read.asked(parts, &fields)?;
        let client = desk.client(project(&fields)).await?;
        let turn = match read.is_slow(&asked) {
            true => Some(desk.context.turn(read.path).await?),
            false => None,
        };
        methods::carry_out(&client, turn, move |call| read.read(call, &asked)).await
    };
    match looked.await {
        Ok(value) => answer::json(StatusCode::OK, &value),
        Err(error) => answer::error(&error),
    }
}

fn project(fields: &[(String, String)]) -> Option<&str> {
    fields.iter().find(|(name, _)| name == reads::PROJECT.name).map(|(_, value)| value.as_str())
}

/// Follows the events.
async fn follow(desk: Arc<Desk>, head: Head) -> Response {
    let found = async {
        let fields = query::fields(head.uri.query())?;
        let known = [reads::SINCE_SEQ, reads::PLAN, reads::KIND, reads::ALL_PROJECTS];
        let asked = reads::asked(&known, &fields)?;
        let since = match last_event(&head.headers)? {
            Some(seq) => Some(seq),
            None => asked.seq(reads::SINCE_SEQ.name),
        };
        let client = desk.client(project(&fields)).await?;
        let wish = Wish { interest: interest(&asked), since };
        let finder = desk.clone();
        let place =
            methods::carry_out(&client, None, move |call| Place::find(&finder.logs, &call.session(), wish));
        Ok::<_, ApiError>((place.await?, client))
    };
    let (place, client) = match found.await {
        Ok(found) => found,
        Err(error) => return answer::error(&error),
    };
    let mut answer = answer::text(StatusCode::OK, "text/event-stream", String::new());
    // One who only asks for the head is not counted.
    if head.method != Method::HEAD {
        let guard = (Following::new(desk.context.clone()), client, head.extensions.get::<Placed>().cloned());
        *answer.body_mut() = place.into_body(desk.stopping.subscribe(), guard);
    }
    answer
}

fn interest(asked: &Asked) -> Interest {
    Interest {
        all_projects: asked.is(reads::ALL_PROJECTS.name),
        plan: asked.said(reads::PLAN.name),
        kind: asked.said(reads::KIND.name),
        ..Interest::default()
    }
}

/// The number of the last event that a browser has, which it says by itself when it comes back.
fn last_event(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(said) = headers.get("last-event-id") else { return Ok(None) };
    let text = said.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<i64>().ok().filter(|seq| *seq >= 0 && text.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(seq) => Ok(Some(seq)),
        None => Err(ApiError::invalid_params(
            format!("Last-Event-ID is {text:?}"),
            "it is the id of the last event that came; leave it out to begin with what comes next",
        )),
    }
}

/// The figures.
async fn figures(desk: Arc<Desk>, head: Head) -> Response {
    let read = async {
        let fields = query::fields(head.uri.query())?;
        reads::asked(&[], &fields)?;
        let client = desk.client(project(&fields)).await?;
        methods::carry_out(&client, None, |call| own::figures(&call.session())).await
    };
    match read.await {
        Ok(figures) => {
            let page = metrics::page(&figures, &desk.own());
            answer::text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page)
        }
        Err(error) => answer::error(&error),
    }
}

async fn document() -> Response {
    answer::json(StatusCode::OK, &open_api::document())
}

/// Whether it lives and the database can be read. Whoever asks is told no more than that.
async fn healthz(desk: Arc<Desk>) -> Response {
    let client: Result<Arc<Client>, ApiError> = desk.client(None).await;
    let is_well = match client {
        Ok(client) => methods::carry_out(&client, None, |call| {
            let newest = call.session().store()?.read(|tx| tx.newest_event());
            Ok(newest.map_err(crate::services::Error::from)?)
        })
        .await
        .is_ok(),
        Err(_) => false,
    };
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &json!({"ok": is_well}))
}

/// JSON-RPC: a request by itself, or a WebSocket.
async fn rpc(desk: Arc<Desk>, request: Request) -> Response {
    let is_websocket = request.method() == Method::GET && ws::is_upgrade_request(&request);
    if !is_websocket && request.method() != Method::POST {
        let hint = "send JSON-RPC with POST, or open it as a WebSocket";
        let answer = answer::no_such_method(request.method().as_str(), "POST", hint);
        return unread(request.into_body(), answer).await;
    }
    if let Err(refused) = admission::authorize(request.headers(), is_websocket, &desk.secret) {
        return unread(request.into_body(), turned_away(refused)).await;
    }
    let asked = query::fields(request.uri().query());
    let asked = asked.and_then(|fields| reads::asked(&[], &fields).map(|_| fields));
    let client = match asked {
        Ok(fields) => desk.client(project(&fields)).await,
        Err(error) => Err(error),
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => return unread(request.into_body(), answer::error(&error)).await,
    };
    let Some(Placed(place)) = request.extensions().get::<Placed>().cloned() else {
        return answer::error(&ApiError::bug("a request without a connection"));
    };
    // A request by itself is not a session: what it claims outlives it.
    let session = is_websocket.then(|| Arc::new(Session::default()));
    let asker = Asker { client, session, _place: place };
    if is_websocket {
        let protocol = admission::spoken(request.headers()).and_then(|it| HeaderValue::from_str(it).ok());
        let mut answer = spoken(&desk, request, asker).await;
        if let Some(protocol) = protocol.filter(|_| answer.status() == StatusCode::SWITCHING_PROTOCOLS) {
            answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        return answer;
    }
    if !is_json(request.headers()) {
        let answer = answer::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "the body is not said to be JSON",
            "send Content-Type: application/json",
        );
        return unread(request.into_body(), answer).await;
    }
    let (head, body) = request.into_parts();
    let body = match whole(&head.headers, body).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&body) {
        return answer::json(StatusCode::OK, &no_json(&error));
    }
    let mut request = Request::from_parts(head, Body::from(body));
    request.headers_mut().remove(CONTENT_LENGTH);
    let mut answer = spoken(&desk, request, asker).await;
    // Notifications alone are not answered; jsonrpsee then says nothing, or `null`.
    if answer.status() == StatusCode::OK && matches!(answer.body().size_hint().exact(), Some(0 | 4)) {
        answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
    }
    answer
}

/// What is said to a body that is no JSON, as JSON-RPC says it.
fn no_json(error: &serde_json::Error) -> Value {
    let data = json!({"kind": "parse-error", "hint": "send one JSON-RPC request, or an array of them", "retryable": false});
    json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": {"code": -32700, "message": format!("the body is no JSON: {error}"), "data": data},
    })
}

async fn spoken(desk: &Desk, request: Request, asker: Asker) -> Response {
    match (desk.speak)(request, asker).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => answer::error(&ApiError::bug(error.to_string())),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// A whole body, or why it is not taken. Nothing of one that is too long is kept.
async fn whole(headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Response> {
    let too_long = || {
        let message = format!("the body is longer than {LONGEST_MESSAGE} bytes");
        answer::refused(StatusCode::PAYLOAD_TOO_LARGE, "too-long", &message, "send less at once")
    };
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|length| length > u64::from(LONGEST_MESSAGE)) {
        return Err(unread(body, too_long()).await);
    }
    let mut bytes = Vec::new();
    let read = async {
        while let Some(part) = next(&mut body).await? {
            if bytes.len() + part.len() > LONGEST_MESSAGE as usize {
                return Ok(false);
            }
            bytes.extend_from_slice(&part);
        }
        Ok::<_, axum::Error>(true)
    };
    match tokio::time::timeout(BODY, read).await {
        Ok(Ok(true)) => Ok(bytes),
        Ok(Ok(false)) => {
            drop(bytes);
            Err(unread(body, too_long()).await)
        }
        Ok(Err(_)) => Err(last(answer::refused(
            StatusCode::BAD_REQUEST,
            "bad-body",
            "the body cannot be read to its end",
            "send as much as Content-Length says, or whole chunks",
        ))),
        Err(_) => Err(last(answer::refused(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            &format!("the body did not end within {} s", BODY.as_secs()),
            "send it at once",
        ))),
    }
}

/// The next part of a body.
async fn next(body: &mut Body) -> Result<Option<Bytes>, axum::Error> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(error),
            // Trailers say nothing here.
            Some(Ok(frame)) => {
                if let Ok(part) = frame.into_data() {
                    return Ok(Some(part));
                }
            }
        }
    }
}

/// An answer to a request whose body is not wanted. It is read for a while and thrown away, since a client that
/// still sends when the connection ends may never see the answer.
async fn unread(mut body: Body, answer: Response) -> Response {
    if body.is_end_stream() {
        return answer;
    }
    let all = async { while let Ok(Some(_)) = next(&mut body).await {} };
    match tokio::time::timeout(UNWANTED, all).await {
        Ok(()) => answer,
        Err(_) => last(answer),
    }
}

/// The last answer of its connection.
fn last(mut answer: Response) -> Response {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
