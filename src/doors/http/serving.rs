//! Letting clients in, and letting them go.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use jsonrpsee::server::{HttpBody, HttpRequest, Methods, StopHandle, stop_channel, ws};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tower::util::BoxCloneService;

use super::methods::{self, Asker, Context};
use super::speaking::{self, Patience, speaker};
use super::subscriptions::Session;
use crate::api::Client;
use crate::base::tasks;
use crate::services::House;
use crate::services::conductor::Vitals;
use crate::sys::process::peer;

/// At most so many connections at once; others wait to be let in.
const MOST_CONNECTIONS: u32 = 100;
/// Who connects and asks nothing for so long has to connect again.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// How long clients may take to be told the last of it.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a system without a free descriptor is left alone.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Who is connected, so that all waits can be ended.
type Clients = Mutex<Vec<Weak<Client>>>;

/// Serves the socket that was opened last until `ends`, then tells everybody the last of it and returns.
pub async fn run(
    mut opened: UnboundedReceiver<std::os::unix::net::UnixListener>,
    house: Arc<House>,
    folder: PathBuf,
    vitals: Arc<Vitals>,
    mut ends: oneshot::Receiver<()>,
) {
    let context = Arc::new(Context::default());
    let methods = match methods::module(&context, Some(&vitals)) {
        Ok(methods) => methods,
        Err(error) => return tracing::error!("bug: the methods of the socket: {error}"),
    };
    let (stop, server) = stop_channel();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    let clients = Clients::default();
    let mut listener = None;
    loop {
        let stream = tokio::select! {
            stream = next(listener.as_ref(), &places) => stream,
            Some(newest) = opened.recv() => {
                // Who is connected by the one before stays so.
                match UnixListener::from_std(newest) {
                    Ok(newest) => listener = Some(newest),
                    Err(error) => tracing::warn!("a conductor's socket: {error}"),
                }
                continue;
            }
            _ = &mut ends => break,
        };
        let (stream, place) = match stream {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a conductor's socket: {error}");
                tokio::time::sleep(NO_ROOM).await;
                continue;
            }
        };
        let name = match admit(&stream, &house.root) {
            Ok(name) => name,
            Err(why) => {
                tracing::warn!("somebody was not let in to the conductor's socket: {why}");
                continue;
            }
        };
        let client = Client::new(house.clone(), folder.clone());
        client.introduce(|| name);
        let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(&client));
        drop(clients);
        connect(stream, client, Arc::new(place), methods.clone(), stop.clone());
    }
    drop(stop);
    let last_words = async {
        for client in clients.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade)
        {
            client.close();
        }
        // Followers hand over the events that led to the end; after that connections are closed.
        context.followers_ended().await;
        if server.stop().is_ok() {
            server.stopped().await;
        }
    };
    if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
        tracing::info!("a client of the conductor's socket does not read");
    }
}

/// The next connection, with its place among all; none comes where no socket is open.
async fn next(
    listener: Option<&UnixListener>,
    places: &Arc<Semaphore>,
) -> std::io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let Some(listener) = listener else { return std::future::pending().await };
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// The name of whoever connected, or why it is not served.
fn admit(stream: &UnixStream, root: &Path) -> Result<String, String> {
    let peer = stream.peer_cred().map_err(|error| format!("who it is cannot be told: {error}"))?;
    if !peer::is_trusted(peer.uid(), rustix::process::geteuid().as_raw()) {
        return Err(format!("it is user {}", peer.uid()));
    }
    // A process outside of this container has no number here.
    let Some(pid) = peer.pid().filter(|pid| *pid > 0) else { return Ok("http".to_owned()) };
    match peer::is_worker(pid, &root.join("run")) {
        Ok(false) => Ok(format!("http-{pid}")),
        Ok(true) => Err(format!("process {pid} is a worker's: it may ask its shim, and decides nothing")),
        Err(error) => Err(format!("process {pid} is gone: {error}")),
    }
}

/// Serves a connection for as long as it lasts.
fn connect(
    stream: UnixStream,
    client: Arc<Client>,
    place: Arc<OwnedSemaphorePermit>,
    methods: Methods,
    stop: StopHandle,
) {
    let speak = speaker(methods, stop.clone(), MOST_CONNECTIONS, Patience::default());
    let asks = Arc::new(Notify::new());
    let asked = asks.clone();
    let service = tower::service_fn(move |request: HttpRequest<Incoming>| {
        asks.notify_one();
        // A request by itself is not a session: what it claims outlives it.
        let session = ws::is_upgrade_request(&request).then(|| Arc::new(Session::default()));
        let asker = Asker { client: client.clone(), session, _place: place.clone() };
        let answer = speak(request.map(HttpBody::new), asker);
        async move { answer.await.map_err(std::io::Error::other) }
    });
    tasks::start(async move {
        let said = speaking::converse(
            Box::new(TokioIo::new(stream)),
            BoxCloneService::new(service),
            stop.shutdown(),
            Patience::default(),
        );
        tokio::select! {
            () = said => {}
            Err(_) = tokio::time::timeout(FIRST_REQUEST, asked.notified()) => {}
        }
    });
}
