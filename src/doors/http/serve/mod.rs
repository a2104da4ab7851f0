//! `kapell serve`: the contract over HTTP for programs and the board, on the loopback interface, or by TLS on any.
//!
//! JSON-RPC is the conductor's socket's (`speaking`, `methods`, `subscriptions`); what can be read by its path
//! is the table of `api/reads`. Here is what a network needs beside: who is let in (`admission`, `secret`, `tls`),
//! how long is waited for whom (`stream`, `routes`), and events for whoever cannot open a WebSocket (`live`).

mod admission;
mod answer;
mod assets;
mod desk;
mod guests;
mod live;
mod metrics;
mod query;
mod routes;
mod secret;
mod stream;
mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper_util::rt::TokioIo;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, ServerHandle, StopHandle, stop_channel};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tower::util::BoxCloneService;

use self::admission::Names;
use self::desk::{Desk, Ends};
use self::guests::{Guest, Guests};
use self::routes::Connection;
use self::secret::Secret;
use self::stream::Patient;
use self::tls::Tls;
use super::methods::{self, Context};
use super::speaking::{self, Patience, speaker};
use super::{QUICK_CALLS, SLOW_CALLS};
use crate::api::ApiError;
use crate::base::tasks;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, House, walling};
use crate::sys::process::{port, signals};

/// At most so many connections at once; for others those make room who have not shown the token, then they wait.
const MOST_CONNECTIONS: u32 = 512;
/// How long the head of a request may take, and a connection may rest.
const HEAD: Duration = Duration::from_secs(15);
/// How long is waited for whoever does not read.
const READER: Duration = Duration::from_secs(20);
/// WebSockets are asked so often whether somebody is there.
const PING: Duration = Duration::from_secs(20);
/// How long clients may take to be told the last of it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a system without a free descriptor is left alone.
const NO_ROOM: Duration = Duration::from_millis(100);
/// Where the token lies in the state folder.
const TOKEN: &str = "serve.token";

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where to listen: `ADDRESS:PORT`, or a port of the loopback interface.
    pub listen: Option<String>,
    /// Where the token lies.
    pub token_file: Option<PathBuf>,
    /// Further names under which it may be asked for.
    pub names: Vec<String>,
    /// The files of a certificate and of its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Serves the project of `folder` until SIGINT or SIGTERM. `tell` is told the address once everybody can connect.
///
/// # Errors
/// It may not or cannot listen there, the token cannot be used, or the database cannot.
pub fn run(
    house: &Arc<House>,
    folder: PathBuf,
    options: Options,
    tell: &mut dyn FnMut(&Value),
) -> Result<u8, ApiError> {
    if house.shim_socket().is_some() {
        return Err(Refusal::new(
            Code::Unsupported,
            "inside a worker's wall nothing is served",
            "kapell status and kapell mcp are answered here",
        )
        .into());
    }
    let address = address(options.listen.as_deref(), options.certificate.is_some())?;
    let tls = options.certificate.as_ref().map(|(chain, key)| Tls::load(chain, key)).transpose()?;
    // What is wrong with the database is told now. It also makes the folder that the token lies in.
    house.store()?;
    let secret = secret::keep(&options.token_file.unwrap_or_else(|| house.root.join(TOKEN)))?;
    let key = options.certificate.as_ref().map(|(_, key)| key.as_path());
    for file in [Some(secret.path.as_path()), key].into_iter().flatten() {
        walling::keep_from_workers(house, file)
            .map_err(|error| Error::system(format!("keeping {} from workers", file.display()), error))?;
    }
    let failed = |error| Error::system("the server", error);
    let (ending, ends) = oneshot::channel();
    let end_it = move || {
        // Where nobody waits any more it has ended.
        let _ = ending.send(());
    };
    signals::on_first(end_it).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(SLOW_CALLS + QUICK_CALLS)
        .thread_name("kapell-call")
        .build()
        .map_err(failed)?;
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(|error| taken(address, error))?;
    let address = listener.local_addr().map_err(failed)?;
    let names = Names { address: address.ip(), told: options.names };
    let ready = ready(address, &secret, tls.is_some().then_some(&names));
    let served = runtime.block_on(async {
        let (stop, server) = stop_channel();
        let desk = desk(house.clone(), folder, secret, names, &stop)?;
        tell(&ready);
        serve(&listener, &desk, tls.as_ref(), &stop, ends).await;
        drop(listener);
        end(&desk, stop, server).await;
        Ok(0)
    });
    // A call that does not end by being told to holds nobody up.
    runtime.shutdown_background();
    served
}

/// Where to listen: anywhere for whoever speaks TLS, else on this machine.
fn address(listen: Option<&str>, has_tls: bool) -> Result<SocketAddr, ApiError> {
    let listen = listen.unwrap_or("127.0.0.1:0");
    let local = |port: &str| port.parse().ok().map(|port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    let parsed = listen
        .parse()
        .ok()
        .or_else(|| local(listen))
        .or_else(|| local(listen.strip_prefix("localhost:")?))
        .or_else(|| Some(SocketAddr::new(listen.parse::<IpAddr>().ok()?, 0)));
    let Some(address) = parsed else {
        return Err(ApiError::invalid_params(
            format!("{listen:?} is no address to listen at"),
            "give an address and a port: 127.0.0.1:7777, [::1]:7777, or a port alone",
        ));
    };
    if !has_tls && !address.ip().is_loopback() {
        return Err(Refusal::new(
            Code::NotAllowed,
            format!(
                "{address} can be reached from other machines, where the token and all answers could be read"
            ),
            format!(
                "give --cert FILE and --key FILE, and it speaks TLS; or listen on 127.0.0.1:{port}, where \
                 ssh -L {near}:127.0.0.1:{port} HOST leads to from elsewhere",
                port = address.port(),
                near = if address.port() == 0 { 7777 } else { address.port() },
            ),
        )
        .into());
    }
    Ok(address)
}

/// Why it cannot listen there.
fn taken(address: SocketAddr, error: io::Error) -> ApiError {
    if error.kind() != io::ErrorKind::AddrInUse {
        return Error::system(format!("cannot listen at {address}"), error).into();
    }
    let holder = port::holder(address.port()).ok().flatten();
    let who = holder.map_or_else(|| "somebody".to_owned(), |holder| holder.to_string());
    Refusal::new(
        Code::Conflict,
        format!("port {} is taken by {who}", address.port()),
        "choose another port; --listen 127.0.0.1:0 takes a free one",
    )
    .into()
}

/// What whoever started it is told. With TLS the address is a name that the certificate may have.
fn ready(address: SocketAddr, secret: &Secret, tls: Option<&Names>) -> Value {
    let url = match tls {
        None => format!("http://{address}"),
        Some(names) => match names.told.first() {
            Some(name) => format!("https://{name}:{}", address.port()),
            // That is no address to ask at.
            None if address.ip().is_unspecified() => format!("https://localhost:{}", address.port()),
            None => format!("https://{address}"),
        },
    };
    // Behind the # it stays in the browser: it is in no request, no log and no Referer.
    let board = format!("{url}/#token={}", secret.text);
    json!({
        "url": url,
        "board": board,
        "token_file": secret.path.to_string_lossy(),
        "pid": std::process::id(),
    })
}

fn desk(
    house: Arc<House>,
    folder: PathBuf,
    secret: Secret,
    names: Names,
    stop: &StopHandle,
) -> Result<Arc<Desk>, ApiError> {
    let context = Arc::new(Context::default());
    let methods = methods::module(&context, None).map_err(|error| ApiError::bug(error.to_string()))?;
    let patience = Patience { head: None, ping: Some(PING) };
    let speak = speaker(methods, stop.clone(), MOST_CONNECTIONS, patience);
    Ok(Arc::new(Desk::new(house, folder, secret, names, context, Box::new(speak))))
}

/// Lets clients in until it ends.
async fn serve(
    listener: &TcpListener,
    desk: &Arc<Desk>,
    tls: Option<&Tls>,
    stop: &StopHandle,
    mut ends: oneshot::Receiver<()>,
) {
    let router = routes::router(desk);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    let guests = Guests::default();
    loop {
        let accepted = tokio::select! {
            accepted = next(listener, &places, &guests) => accepted,
            _ = &mut ends => return,
        };
        match accepted {
            Ok((stream, place)) => {
                connect(stream, desk, &router, tls, stop, (Arc::new(place), guests.enter()));
            }
            Err(error) => {
                tracing::warn!("letting somebody in: {error}");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
}

/// The next connection, with its place among all.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    guests: &Guests,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let (stream, _) = listener.accept().await?;
    let place = match places.clone().try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            guests.ask_one_out();
            places.clone().acquire_owned().await.map_err(io::Error::other)?
        }
    };
    Ok((stream, place))
}

/// Serves a connection for as long as it lasts.
fn connect(
    stream: TcpStream,
    desk: &Arc<Desk>,
    router: &Router,
    tls: Option<&Tls>,
    stop: &StopHandle,
    (place, guest): (Arc<OwnedSemaphorePermit>, Arc<Guest>),
) {
    // Whoever is gone already is asked nothing.
    let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else { return };
    let is_near = remote.ip().is_loopback() || remote.ip() == local.ip();
    let connection = Connection {
        place,
        guest: guest.clone(),
        local: Some(local.ip()),
        ends: is_near.then_some(Ends { ours: local.port(), theirs: remote.port() }),
        caller: Arc::default(),
    };
    // Answers are written as wholes; one that waits for its acknowledgement costs 40 ms.
    let _ = stream.set_nodelay(true);
    let (desk, router) = (desk.clone(), router.clone());
    let connected = desk.connected();
    let service = tower::service_fn(move |request: HttpRequest<hyper::body::Incoming>| {
        let attended =
            routes::attend(desk.clone(), router.clone(), request.map(Body::new), connection.clone());
        async move { Ok::<HttpResponse, io::Error>(attended.await.map(HttpBody::new)) }
    });
    let stopped = stop.clone().shutdown();
    let patience = Patience { head: Some(HEAD), ping: None };
    let tls = tls.cloned();
    let conversation = async move {
        let stream: Box<dyn speaking::Stream> = match tls {
            None => Box::new(TokioIo::new(Patient::new(stream, READER))),
            Some(tls) => match tokio::time::timeout(HEAD, tls.accept(stream, READER)).await {
                Ok(Some(stream)) => Box::new(TokioIo::new(stream)),
                _ => return,
            },
        };
        speaking::converse(stream, BoxCloneService::new(service), stopped, patience).await;
        drop(connected);
    };
    tasks::start(async move {
        tokio::select! {
            () = conversation => {}
            () = guest.asked_out() => {}
        }
    });
}

/// Tells everybody the last of it.
async fn end(desk: &Desk, stop: StopHandle, server: ServerHandle) {
    drop(stop);
    desk.close();
    let last_words = async {
        // Followers hand over what there is; after that connections are closed.
        desk.context.followers_ended().await;
        if server.stop().is_ok() {
            server.stopped().await;
        }
    };
    if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
        tracing::info!("a client does not read");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_it_listens_on_this_machine_only() {
        let table = [
            (None, Ok("127.0.0.1:0")),
            (Some("127.0.0.1:7777"), Ok("127.0.0.1:7777")),
            (Some("7777"), Ok("127.0.0.1:7777")),
            (Some("localhost:7777"), Ok("127.0.0.1:7777")),
            (Some("[::1]:7777"), Ok("[::1]:7777")),
            (Some("::1"), Ok("[::1]:0")),
            (Some("0.0.0.0:7777"), Err("not-allowed")),
            (Some("[::]:7777"), Err("not-allowed")),
            (Some("192.168.1.5:80"), Err("not-allowed")),
            (Some("example.org:80"), Err("invalid-params")),
            (Some("127.0.0.1:99999"), Err("invalid-params")),
            (Some(""), Err("invalid-params")),
        ];
        for (listen, expected) in table {
            let found = |has_tls| {
                address(listen, has_tls).map(|address| address.to_string()).map_err(|error| error.kind)
            };
            assert_eq!(found(false), expected.map(str::to_owned), "{listen:?}");
            let anywhere = if expected == Err("not-allowed") { Ok(listen.unwrap()) } else { expected };
            assert_eq!(found(true), anywhere.map(str::to_owned), "{listen:?}");
        }
    }
}
