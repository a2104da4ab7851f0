//! The SDK's transport over standard input and output. The SDK's own goes through a
//! thread hand-over for every read and write where these are no pipes (Node gives
//! sockets), forgets an unterminated last line, and starts as many calls as come in.

use std::future::{Future, ready};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rmcp::RoleServer;
use rmcp::model::{
    ClientRequest, ErrorCode, ErrorData, GetExtensions, JsonRpcError, JsonRpcMessage, RequestId,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::api::Client;
use crate::base::halves;
use crate::base::threads;
use crate::sys::stdio::{End, Input, Lines, Outlet};

/// At most so many requests are in progress; more are not read before one is answered.
const MOST_REQUESTS: usize = 1024;

/// How long calls in progress may go on after the end of input; the SDK waits 5 s for them.
const LAST_CALLS: Duration = Duration::from_secs(6);

/// The asynchronous end: messages from the reading thread in, messages out.
#[derive(Debug)]
pub struct Stdio {
    messages: UnboundedReceiver<RxJsonRpcMessage<RoleServer>>,
    outlet: Outlet<'static>,
    closing: watch::Sender<bool>,
}

/// Tells when input has ended. From then on the SDK sends answers, but no notification
/// any more, and whoever waits for one to be sent keeps the connection from its end.
#[derive(Debug, Clone)]
pub struct Closing(watch::Receiver<bool>);

impl Closing {
    /// Waits until the notification is sent or the input has ended.
    pub async fn or_sent(&self, sending: impl Future) {
        let mut closing = self.0.clone();
        tokio::select! {
            _ = sending => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    }
}

/// A request in progress, carried in its extensions until it was answered.
#[derive(Debug, Clone)]
struct InProgress {
    _one: Arc<One>,
}

#[derive(Debug)]
struct One {
    requests: Arc<AtomicUsize>,
    outlet: Outlet<'static>,
}

impl Drop for One {
    fn drop(&mut self) {
        if self.requests.fetch_sub(1, Ordering::SeqCst) == MOST_REQUESTS {
            self.outlet.wake();
        }
    }
}

/// Starts the thread that reads, and writes on. At the end of input it ends the client's
/// waits, and ends itself once `finished` and everything is written.
pub fn start(
    lines: Lines<'static>,
    outlet: Outlet<'static>,
    client: Arc<Client>,
    finished: Arc<AtomicBool>,
) -> io::Result<(Stdio, Closing, JoinHandle<()>)> {
    let (sender, messages) = unbounded_channel();
    let (closing_sender, closing) = watch::channel(false);
    let transport = Stdio { messages, outlet: outlet.clone(), closing: closing_sender };
    let serve = move || {
        let mut lines = lines;
        let end = read(&mut lines, &outlet, &sender);
        drop(sender);
        client.close();
        lines.write_until(Some(Instant::now() + LAST_CALLS), |_| finished.load(Ordering::SeqCst));
        // Whoever signals may not be reading any more.
        let patience = Duration::from_millis(if end == End::Signalled { 15 } else { 1000 });
        lines.write_until(Some(Instant::now() + patience), |written| written);
    };
    let reader = threads::start("kapell-stdio", Box::new(serve))?;
    Ok((transport, Closing(closing), reader))
}

/// Hands over messages until the end of input. Its caller then drops the sender, which tells the SDK of the end.
fn read(
    lines: &mut Lines<'static>,
    outlet: &Outlet<'static>,
    sender: &UnboundedSender<RxJsonRpcMessage<RoleServer>>,
) -> End {
    let mut intake = Intake { outlet, sender, requests: Arc::default(), has_begun: false };
    loop {
        let line = match lines.read() {
            Input::Line(line) => line,
            Input::TooLong => {
                refuse(outlet, None, ErrorCode::INVALID_REQUEST, "the message is longer than 16 MiB");
                continue;
            }
            Input::End(end) => return end,
        };
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        let is_taken = match serde_json::from_slice::<Vec<&RawValue>>(line) {
            // MCP 2025-03-26 has a server take batches; each of its messages is answered by itself.
            Ok(batch) if !batch.is_empty() => {
                batch.iter().all(|message| intake.take(lines, message.get().as_bytes()))
            }
            _ => line.is_empty() || intake.take(lines, line),
        };
        if !is_taken {
            return End::Closed;
        }
    }
}

/// Where messages go that were read.
struct Intake<'a> {
    outlet: &'a Outlet<'static>,
    sender: &'a UnboundedSender<RxJsonRpcMessage<RoleServer>>,
    requests: Arc<AtomicUsize>,
    /// Whether there was a request.
    has_begun: bool,
}

impl Intake<'_> {
    /// Hands over one message, or says why not; whether anybody takes more.
    fn take(&mut self, lines: &mut Lines<'static>, text: &[u8]) -> bool {
        let Self { outlet, sender, requests, has_begun } = self;
        // Clients are written in JavaScript, and a model's text may be cut in the middle of a character.
        let message = serde_json::from_slice::<RxJsonRpcMessage<RoleServer>>(text);
        let message =
            message.or_else(|error| match std::str::from_utf8(text).ok().and_then(halves::mended) {
                Some(mended) => serde_json::from_str(&mended),
                None => Err(error),
            });
        let mut message = match message {
            Ok(message) => message,
            Err(error) if error.classify() == Category::Data => {
                refuse(outlet, id_of(text), ErrorCode::INVALID_REQUEST, "this is no MCP message");
                return true;
            }
            Err(error) => {
                refuse(outlet, None, ErrorCode::PARSE_ERROR, &format!("this is no JSON: {error}"));
                return true;
            }
        };
        match &mut message {
            // The SDK takes one that lacks something for a method that it does not know.
            JsonRpcMessage::Request(request) if is_half(&request.request) => {
                refuse(outlet, Some(request.id.clone()), ErrorCode::INVALID_PARAMS, HALF_INITIALIZE);
                return true;
            }
            JsonRpcMessage::Request(request) => {
                *has_begun = true;
                lines.write_until(None, |_| {
                    requests.load(Ordering::SeqCst) < MOST_REQUESTS || outlet.is_over()
                });
                requests.fetch_add(1, Ordering::SeqCst);
                let one = One { requests: requests.clone(), outlet: outlet.clone() };
                request.request.extensions_mut().insert(InProgress { _one: Arc::new(one) });
            }
            // The SDK gives up on a connection that does not begin with a request.
            _ if !*has_begun => return true,
            _ => {}
        }
        sender.send(message).is_ok()
    }
}

/// What is said of an `initialize` that lacks something.
const HALF_INITIALIZE: &str = "initialize wants protocolVersion (a text), capabilities (an object) and clientInfo (an object with name and version)";

fn is_half(request: &ClientRequest) -> bool {
    matches!(request, ClientRequest::CustomRequest(request) if request.method == "initialize")
}

/// The id of a message that is none of MCP's.
fn id_of(line: &[u8]) -> Option<RequestId> {
    let message: Value = serde_json::from_slice(line).ok()?;
    serde_json::from_value(message.get("id")?.clone()).ok()
}

/// MCP leaves out an id that cannot be told.
fn refuse(outlet: &Outlet<'static>, id: Option<RequestId>, code: ErrorCode, message: &str) {
    let error = JsonRpcError::new(id, ErrorData::new(code, message.to_owned(), None));
    send(outlet, &error);
}

fn send(outlet: &Outlet<'static>, message: &impl serde::Serialize) {
    match serde_json::to_vec(message) {
        Ok(line) => outlet.send(line),
        // Our own types write JSON; should one not, its request goes unanswered.
        Err(error) => tracing::error!("bug: a message is no JSON: {error}"),
    }
}

impl Transport<RoleServer> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let mut item = item;
        // The SDK says no more than the method's name.
        if let JsonRpcMessage::Error(JsonRpcError { error, .. }) = &mut item
            && error.code == ErrorCode::METHOD_NOT_FOUND
            && !error.message.contains(' ')
        {
            error.message = format!("there is no method {:?}", error.message).into();
        }
        send(&self.outlet, &item);
        ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let message = self.messages.recv().await;
        if message.is_none() {
            self.closing.send_replace(true);
        }
        message
    }

    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        ready(Ok(()))
    }
}
