//! What is answered at which path.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use hyper::body::Body as _;
use jsonrpsee::server::{HttpBody, ws};
use serde_json::json;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};
use tower::Service as _;

use super::admission::{self, Refused};
use super::assets::{ASSETS, Asset};
use super::desk::{Desk, Ends};
use super::guests::Guest;
use super::live::{Place, Wish};
use super::{answer, metrics, query};
use crate::api::methods::reads as own;
use crate::api::reads::{self, Asked, Read};
use crate::api::{ApiError, Client, open_api};
use crate::doors::http::methods::{self, Asker};
use crate::doors::http::posted::Posted;
use crate::doors::http::speaking::LONGEST_MESSAGE;
use crate::doors::http::subscriptions::{Following, Session};
use crate::services::Caller;
use crate::services::following::Interest;

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(30);
/// How long what is not wanted is read all the same, so that whoever sends it gets the answer.
const UNWANTED: Duration = Duration::from_secs(5);

/// A connection, as its requests know it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its place among all, which each of its requests holds.
    pub place: Arc<OwnedSemaphorePermit>,
    /// Whether somebody with the token speaks over it.
    pub guest: Arc<Guest>,
    /// The address of this end.
    pub local: Option<IpAddr>,
    /// The ports of both ends, where both are on this machine.
    pub ends: Option<Ends>,
    /// Whom the other end speaks for, once that was asked: only who decides something is asked.
    pub caller: Arc<OnceCell<Caller>>,
}

/// What a path's own names are in this request.
type Parts = Vec<(String, String)>;

/// The same as axum hands it over.
type Said = Result<RawPathParams, RawPathParamsRejection>;

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
enum What {
    Readable(Readable),
    Rpc,
    Nothing,
}

/// What can be read.
#[derive(Debug, Clone, Copy)]
enum Readable {
    File(&'static Asset),
    Life,
    Read(&'static Read),
    Events,
    Figures,
    Document,
}

/// Everything that is answered. All paths have handlers of one type: axum makes a good deal of code for each.
pub fn router(desk: &Arc<Desk>) -> Router {
    let mut router: Router = Router::new().fallback(handler(desk, What::Nothing));
    let mut put = |path: &str, what| {
        router = std::mem::take(&mut router).route(path, any(handler(desk, what)));
    };
    for read in reads::all() {
        for path in [read.path].iter().chain(read.also) {
            put(path, What::Readable(Readable::Read(read)));
        }
    }
    for asset in ASSETS {
        put(asset.path, What::Readable(Readable::File(asset)));
    }
    put("/api/events", What::Readable(Readable::Events));
    put("/metrics", What::Readable(Readable::Figures));
    put("/openapi.json", What::Readable(Readable::Document));
    put("/healthz", What::Readable(Readable::Life));
    put("/rpc", What::Rpc);
    router
}

/// What answers at a path.
fn handler(desk: &Arc<Desk>, what: What) -> impl Fn(Said, Request) -> Answer + Clone + Send + Sync + use<> {
    let desk = desk.clone();
    move |parts: Said, request: Request| -> Answer {
        // Where nothing is, there are no parts.
        let parts = parts.iter().flatten().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        match what {
            What::Rpc => Box::pin(rpc(desk.clone(), request)),
            What::Nothing => Box::pin(nowhere(request)),
            What::Readable(what) => Box::pin(readable(desk.clone(), what, parts, request)),
        }
    }
}

/// Reads what is there; all but the board's own files, and whether it lives, with the token.
async fn readable(desk: Arc<Desk>, what: Readable, parts: Parts, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return only_read(request).await;
    }
    let (head, _) = request.into_parts();
    let is_open = matches!(what, Readable::File(_) | Readable::Life);
    if !is_open && let Err(refused) = admission::authorize(&head.headers, false, &desk.secret) {
        return turned_away(refused);
    }
    if let Some(connection) = head.extensions.get::<Connection>().filter(|_| !is_open) {
        connection.guest.know();
    }
    match what {
        Readable::File(asset) => asset.answer(&head.headers),
        Readable::Life => healthz(desk).await,
        Readable::Read(read) => look(desk, read, parts, head).await,
        Readable::Events => follow(desk, head).await,
        Readable::Figures => figures(desk, head).await,
        Readable::Document => answer::text(StatusCode::OK, "application/json", open_api::text()),
    }
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
    connection: Connection,
) -> Response {
    let admitted = desk.names.admit(request.uri(), request.headers(), connection.local);
    let answer = match (admitted, query::decoded(request.uri().path(), false)) {
        (Err(refused), _) => unread(request.into_body(), turned_away(refused)).await,
        (Ok(()), Err(error)) => unread(request.into_body(), answer::error(&error)).await,
        (Ok(()), Ok(_)) => {
            #[cfg(debug_assertions)]
            if let Some(file) = from_folder(&desk, &request) {
                return answer::finish(file);
            }
            request.extensions_mut().insert(connection);
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
        let client = desk.client(project(&fields), &desk.reader()).await?;
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
        let client = desk.client(project(&fields), &desk.reader()).await?;
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
        let guard =
            (Following::new(desk.context.clone()), client, head.extensions.get::<Connection>().cloned());
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
        let client = desk.client(project(&fields), &desk.reader()).await?;
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

/// Whether it lives and the database can be read. Whoever asks is told no more than that.
async fn healthz(desk: Arc<Desk>) -> Response {
    let client: Result<Arc<Client>, ApiError> = desk.client(None, &desk.reader()).await;
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
    let Some(connection) = request.extensions().get::<Connection>().cloned() else {
        return answer::error(&ApiError::bug("a request without a connection"));
    };
    connection.guest.know();
    let asked = query::fields(request.uri().query());
    let asked = asked.and_then(|fields| reads::asked(&[], &fields).map(|_| fields));
    let entered = async {
        let fields = asked?;
        let caller = connection.caller.get_or_try_init(|| desk.caller(connection.ends)).await?;
        desk.client(project(&fields), caller).await
    };
    let client = match entered.await {
        Ok(client) => client,
        Err(error) => return unread(request.into_body(), answer::error(&error)).await,
    };
    // A request by itself is not a session: what it claims outlives it.
    let session = is_websocket.then(|| Arc::new(Session::default()));
    let asker = Asker { client, session, _place: connection.place };
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
    let (posted, handed) = Posted::read(&body);
    drop(body);
    let mut given = Bytes::new();
    if let Some(handed) = handed {
        let mut request = Request::from_parts(head, Body::from(handed));
        request.headers_mut().remove(CONTENT_LENGTH);
        given = match axum::body::to_bytes(spoken(&desk, request, asker).await.into_body(), usize::MAX).await
        {
            Ok(given) => given,
            Err(error) => return answer::error(&ApiError::bug(error.to_string())),
        };
    }
    match posted.answer(&given) {
        Some(answer) => answer::text(StatusCode::OK, "application/json", answer),
        None => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        }
    }
}

async fn spoken(desk: &Desk, request: Request, asker: Asker) -> Response {
    match (desk.speak)(request.map(HttpBody::new), asker).await {
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
