//! JSON-RPC over HTTP and WebSocket, whoever accepted the connection: the same methods, limits and errors.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use jsonrpsee::core::BoxError;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, ConnectionGuard, ConnectionId, ConnectionState, HttpRequest, HttpResponse, Methods,
    ServerConfig, StopHandle, http,
};
use tower::util::BoxCloneService;

use super::contract::Contract;
use super::methods::Asker;
use super::talking;

/// The longest message that is read, and answer that is sent, in bytes.
pub const LONGEST_MESSAGE: u32 = 16 * 1024 * 1024;
/// A batch of more messages than this is refused as a whole.
const MOST_IN_BATCH: u32 = 10_000;
/// So many messages wait for a client that does not read; whoever has more to say waits with them.
pub const MESSAGES_AHEAD: u32 = 64;

/// An answer that is on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

/// What a client is connected by.
pub trait Stream: Read + Write + Unpin + Send {}

impl<T: Read + Write + Unpin + Send> Stream for T {}

/// What answers the requests of a connection.
pub type Answerer = BoxCloneService<HttpRequest<Incoming>, HttpResponse, io::Error>;

/// What keeps to whom over the network; a socket of this machine needs none of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// How long the head of a request may take, and a connection may rest before it.
    pub head: Option<Duration>,
    /// WebSockets are asked so often whether somebody is there.
    pub ping: Option<Duration>,
}

/// What answers requests with `methods`, one after another or at once, at most `most` at a time.
pub fn speaker(
    methods: Methods,
    stop: StopHandle,
    most: u32,
    patience: Patience,
) -> impl Fn(HttpRequest, Asker) -> Answering + Clone + Send + Sync + 'static {
    let config = ServerConfig::builder()
        .max_request_body_size(LONGEST_MESSAGE)
        .max_response_body_size(LONGEST_MESSAGE)
        .set_batch_request_config(BatchRequestConfig::Limit(MOST_IN_BATCH));
    let known = methods.clone();
    let contract = RpcServiceBuilder::new()
        .layer_fn(move |service| Contract::new(service, known.clone(), LONGEST_MESSAGE as usize));
    let (config, guard) = (config.build(), ConnectionGuard::new(most as usize));
    move |mut request: HttpRequest, asker: Asker| {
        if asker.session.is_some() {
            let answer = talking::open(request, &methods, asker, stop.clone(), patience.ping);
            return Box::pin(std::future::ready(Ok(answer)));
        }
        request.extensions_mut().insert(asker);
        // jsonrpsee's whole service has its own loop for WebSockets too, which nobody would ever enter.
        let Some(permit) = guard.try_acquire() else {
            return Box::pin(std::future::ready(Ok(http::response::too_many_requests())));
        };
        request.extensions_mut().insert(ConnectionId(0));
        let connection = ConnectionState::new(stop.clone(), 0, permit);
        let answer = http::call_with_service_builder(
            request,
            config.clone(),
            connection,
            methods.clone(),
            contract.clone(),
        );
        Box::pin(async move { Ok(answer.await) })
    }
}

/// Speaks HTTP/1.1 and WebSocket until the client is gone, or until `stopped` and what was asked is answered.
/// (jsonrpsee's own loop speaks HTTP/2 as well, which nobody needs here, and which is a third of a megabyte.)
///
/// Whatever the stream and whoever answers, it is one piece of code: hyper's for each would be 100 KB.
pub fn converse(
    stream: Box<dyn Stream>,
    service: Answerer,
    stopped: impl Future<Output = ()> + Send + 'static,
    patience: Patience,
) -> impl Future<Output = ()> + Send + 'static {
    let mut builder = http1::Builder::new();
    if let Some(head) = patience.head {
        builder.timer(TokioTimer::new()).header_read_timeout(head);
    }
    let connection = builder.serve_connection(stream, TowerToHyperService::new(service)).with_upgrades();
    async move {
        tokio::pin!(connection, stopped);
        // How a connection ended is of no interest: the next one begins anew.
        let _ = tokio::select! {
            ended = &mut connection => ended,
            () = &mut stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
    }
}
