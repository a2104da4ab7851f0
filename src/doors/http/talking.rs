//! A WebSocket: each message is read as a line of `kapell rpc` is, and answered under its own id. (jsonrpsee's own
//! loop takes what has an id that it does not know, such as -1 or 1.5, for a notification, and never answers it.)

use std::borrow::Cow;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use jsonrpsee::core::middleware::Request;
use jsonrpsee::server::{
    BoundedSubscriptions, ConnectionId, Extensions, HttpBody, HttpRequest, HttpResponse, MethodCallback,
    MethodResponse, MethodSink, Methods, RandomIntegerIdProvider, StopHandle, SubscriptionState,
};
use jsonrpsee::types::{ErrorObjectOwned, Id, Params, TwoPointZero};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use soketto::connection::Error;
use soketto::data::ByteSlice125;
use soketto::handshake::http::Server as Handshake;
use soketto::{Incoming, Receiver, Sender};
use tokio::io::BufStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::contract::{self, Came};
use super::methods::Asker;
use super::posted::Given;
use super::speaking::{LONGEST_MESSAGE, MESSAGES_AHEAD};
use crate::api::ApiError;
use crate::api::message::{self, Line, Message};
use crate::base::tasks;

type Stream = Compat<BufStream<TokioIo<Upgraded>>>;

/// Answers a request for a WebSocket, and talks through it from then on until its client goes, or the server stops
/// and what was asked is answered. `ping`: so often it is asked whether somebody is there.
pub fn open(
    mut request: HttpRequest,
    methods: &Methods,
    asker: Asker,
    stop: StopHandle,
    ping: Option<Duration>,
) -> HttpResponse {
    let mut handshake = Handshake::new();
    let answer = match handshake.receive_request(&request) {
        Ok(answer) => answer,
        Err(error) => {
            let mut answer = HttpResponse::new(HttpBody::from(format!("this opens no WebSocket: {error}")));
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            return answer;
        }
    };
    let (sender, messages) = mpsc::channel(MESSAGES_AHEAD as usize);
    let sink = MethodSink::new_with_limit(sender, LONGEST_MESSAGE);
    let talker = Talker { methods: methods.clone(), asker, sink };
    tasks::start(async move {
        // Whoever is gone before it began has nothing to say.
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else { return };
        let mut builder = handshake.into_builder(BufStream::new(TokioIo::new(upgraded)).compat());
        builder.set_max_message_size(LONGEST_MESSAGE as usize);
        let (sender, receiver) = builder.finish();
        talk(talker, (sender, receiver), messages, stop, ping).await;
    });
    answer.map(|()| HttpBody::default())
}

/// Reads messages, and has them answered, several at once.
async fn talk(
    talker: Talker,
    (sender, mut receiver): (Sender<Stream>, Receiver<Stream>),
    messages: mpsc::Receiver<Box<RawValue>>,
    stop: StopHandle,
    ping: Option<Duration>,
) {
    let (ending, ends) = oneshot::channel();
    let writing = tasks::start(write(sender, messages, ping, ends));
    // The server waits for all who have its handle, and the wait for its end lets go of its own.
    let stopped = stop.clone().shutdown();
    tokio::pin!(stopped);
    // Dropped by the last call that is under way.
    let (under_way, mut calls) = mpsc::channel::<()>(1);
    let is_stopped = loop {
        let mut data = Vec::new();
        let read = tokio::select! {
            read = next(&mut receiver, &mut data, ping) => read,
            () = talker.sink.closed() => break false,
            () = &mut stopped => break true,
        };
        let answering = match read {
            Next::Message => talker.clone(),
            Next::TooLong => {
                let (id, error) = message::too_long();
                let _ = talker.send(message::response(&id, &Err(error))).await;
                continue;
            }
            Next::Gone => break false,
        };
        let under_way = under_way.clone();
        tasks::start(async move {
            // What nobody waits for any more is not gone on with.
            tokio::select! {
                () = answering.answer(&data) => {}
                () = answering.sink.closed() => {}
            }
            drop(under_way);
        });
    };
    drop(under_way);
    if is_stopped {
        tokio::select! {
            _ = calls.recv() => {}
            () = talker.sink.closed() => {}
        }
    }
    // It has ended by itself where that fails.
    let _ = ending.send(());
    let _ = writing.await;
    drop(stop);
}

/// What came.
enum Next {
    Message,
    TooLong,
    Gone,
}

/// The next message, into `data`. A client that is silent, and does not answer the pings either, is gone.
async fn next(receiver: &mut Receiver<Stream>, data: &mut Vec<u8>, ping: Option<Duration>) -> Next {
    let mut seen = Instant::now();
    loop {
        let received = receiver.receive(data);
        let received = match ping {
            None => received.await,
            Some(often) => {
                let left = (often * 2).saturating_sub(seen.elapsed());
                match tokio::time::timeout(left, received).await {
                    Ok(received) => received,
                    Err(_) => return Next::Gone,
                }
            }
        };
        match received {
            Ok(Incoming::Data(_)) => return Next::Message,
            Ok(Incoming::Pong(_)) => seen = Instant::now(),
            Ok(Incoming::Closed(_)) => return Next::Gone,
            Err(Error::MessageTooLarge { .. }) => return Next::TooLong,
            Err(error) => {
                tracing::debug!("a WebSocket ends: {error}");
                return Next::Gone;
            }
        }
    }
}

/// Writes what is to be said, until it ends and all of that is written.
async fn write(
    mut sender: Sender<Stream>,
    mut messages: mpsc::Receiver<Box<RawValue>>,
    ping: Option<Duration>,
    mut ends: oneshot::Receiver<()>,
) {
    let mut pings = ping.map(tokio::time::interval);
    loop {
        let is_due = async {
            match &mut pings {
                Some(pings) => drop(pings.tick().await),
                None => std::future::pending().await,
            }
        };
        let said = tokio::select! {
            biased;
            message = messages.recv() => match message {
                Some(message) => sender.send_text_owned(String::from(Box::<str>::from(message))).await,
                None => break,
            },
            () = is_due => match ByteSlice125::try_from(&[][..]) {
                Ok(nothing) => sender.send_ping(nothing).await,
                Err(_) => break,
            },
            _ = &mut ends => break,
        };
        if said.is_err() || sender.flush().await.is_err() {
            break;
        }
    }
    // The client may be gone.
    let _ = sender.close().await;
}

/// Whoever answers the messages of a WebSocket.
#[derive(Clone)]
struct Talker {
    methods: Methods,
    asker: Asker,
    sink: MethodSink,
}

impl Talker {
    async fn send(&self, text: String) -> bool {
        match RawValue::from_string(text) {
            Ok(text) => self.sink.send(text).await.is_ok(),
            Err(error) => {
                tracing::error!("bug: an answer is no JSON: {error}");
                false
            }
        }
    }

    /// Answers a message, if it wants to be.
    async fn answer(&self, data: &[u8]) {
        let messages = match message::read(data) {
            None => {
                let (id, error) = message::empty();
                self.send(message::response(&id, &Err(error))).await;
                return;
            }
            Some(Line::One(message)) => {
                if let Some((text, done)) = self.one(message, Came::Alone).await {
                    let is_sent = self.send(text).await;
                    if let Some(done) = done.filter(|_| is_sent) {
                        done.notify(true);
                    }
                }
                return;
            }
            Some(Line::Batch(messages)) => messages,
        };
        let (mut answers, mut length) = (Vec::new(), 0);
        for message in messages {
            let Some((text, _)) = self.one(message, Came::InBatch).await else { continue };
            length += text.len() + 1;
            if length > LONGEST_MESSAGE as usize {
                let too_long = message::answer_too_long(LONGEST_MESSAGE);
                self.send(message::response(&message::Id::null(), &Err(too_long))).await;
                return;
            }
            answers.push(text);
        }
        if !answers.is_empty() {
            self.send(format!("[{}]", answers.join(","))).await;
        }
    }

    /// The answer to one message, and what is told once that is on its way.
    async fn one(
        &self,
        message: Message,
        came: Came,
    ) -> Option<(String, Option<jsonrpsee::server::MethodResponseNotifyTx>)> {
        let request = match message {
            Ok(request) => request,
            Err((id, error)) => return Some((message::response(&id, &Err(error)), None)),
        };
        let (params, id) = match (request.params, request.id) {
            (Ok(params), id) => (params, id),
            (Err(_), None) => return None,
            (Err(error), Some(id)) => return Some((message::response(&id, &Err(error)), None)),
        };
        let came = if id.is_none() { Came::Unanswered } else { came };
        let response = self.call(request.method, &params, came).await;
        let id = id?;
        let is_success = response.is_success();
        let (json, done, _) = response.into_parts();
        // What failed opened nothing that could begin.
        Some((Given::one(&json, &id), done.filter(|_| is_success)))
    }

    /// Calls a method, as jsonrpsee's own service would.
    async fn call(&self, method: String, params: &Value, came: Came) -> MethodResponse {
        let mut extensions = Extensions::new();
        extensions.insert(self.asker.clone());
        let params = match to_raw_value(params) {
            Ok(params) => params,
            Err(error) => {
                let error = ApiError::bug(error.to_string());
                return MethodResponse::error(Id::Number(0), ErrorObjectOwned::from(error));
            }
        };
        let request = Request {
            jsonrpc: TwoPointZero,
            id: Id::Number(0),
            method: method.into(),
            params: Some(Cow::Owned(params)),
            extensions,
        };
        let Request { id, method, params, extensions, .. } =
            match contract::accept(&self.methods, request, came) {
                Ok(request) => request,
                Err(refused) => return refused,
            };
        let params = Params::new(params.as_ref().map(|params| params.get()));
        let (most, here) = (LONGEST_MESSAGE as usize, ConnectionId(0));
        match self.methods.method(&method) {
            None => MethodResponse::error(id, ErrorObjectOwned::from(ApiError::unknown_method(&method))),
            Some(MethodCallback::Async(method)) => {
                method(id.into_owned(), params.into_owned(), here, most, extensions).await
            }
            Some(MethodCallback::Sync(method)) => method(id, params, most, extensions),
            Some(MethodCallback::Unsubscription(method)) => method(id, params, here, most, extensions),
            Some(MethodCallback::Subscription(method)) => {
                // How many there may be is the subscriptions' own affair.
                let Some(permit) = BoundedSubscriptions::new(1).acquire() else {
                    return MethodResponse::error(id, ErrorObjectOwned::from(ApiError::bug("no permit")));
                };
                let state = SubscriptionState {
                    conn_id: here,
                    id_provider: &RandomIntegerIdProvider,
                    subscription_permit: permit,
                };
                method(id.into_owned(), params.into_owned(), self.sink.clone(), state, extensions).await
            }
        }
    }
}
