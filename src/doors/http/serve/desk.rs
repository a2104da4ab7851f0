//! What all requests share: whom they are for, and how they are carried out.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::response::Response;
use jsonrpsee::server::HttpRequest;
use tokio::sync::watch;

use super::admission::Names;
use super::live::Logs;
use super::metrics::Own;
use super::secret::Secret;
use crate::api::client::Call;
use crate::api::{ApiError, Client};
use crate::base::tasks;
use crate::domain::refusal::{Code, Refusal};
use crate::doors::http::methods::{self, Asker, Context};
use crate::doors::http::speaking::Answering;
use crate::services::{Caller, Error, House};
use crate::sys::memory;
use crate::sys::process::{peer, port};

/// What answers JSON-RPC.
pub type Speaker = Box<dyn Fn(HttpRequest, Asker) -> Answering + Send + Sync>;

/// The ports of the two ends of a connection within this machine.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// Of this one.
    pub ours: u16,
    /// Of the other.
    pub theirs: u16,
}

/// What all requests share.
pub struct Desk {
    house: Arc<House>,
    /// Where it was started: what requests are about that name no project.
    folder: PathBuf,
    /// The token.
    pub secret: Secret,
    /// The names under which it is asked for.
    pub names: Names,
    /// What all calls share.
    pub context: Arc<Context>,
    /// Answers JSON-RPC.
    pub speak: Speaker,
    /// Events that are followed.
    pub logs: Logs,
    /// Whether it ends.
    pub stopping: watch::Sender<bool>,
    clients: Mutex<Vec<Weak<Client>>>,
    answered: [AtomicU64; 5],
    connections: AtomicU64,
}

impl Desk {
    /// Of a folder, for whoever has the token.
    pub fn new(
        house: Arc<House>,
        folder: PathBuf,
        secret: Secret,
        names: Names,
        context: Arc<Context>,
        speak: Speaker,
    ) -> Self {
        Self {
            house,
            folder,
            secret,
            names,
            context,
            speak,
            logs: Logs::default(),
            stopping: watch::Sender::new(false),
            clients: Mutex::default(),
            answered: Default::default(),
            connections: AtomicU64::new(0),
        }
    }

    /// The surroundings.
    #[cfg(debug_assertions)]
    pub fn house(&self) -> &House {
        &self.house
    }

    /// A client for one request, or for one WebSocket, about the project that it names. Nothing of it is
    /// another's.
    pub async fn client(&self, project: Option<&str>, caller: &Caller) -> Result<Arc<Client>, ApiError> {
        let here = self.enter(self.folder.clone(), caller);
        let Some(project) = project.map(str::to_owned) else { return Ok(here) };
        let fallback = self.folder.clone();
        let folder = methods::carry_out(&here, None, move |call| folder_of(call, &project, fallback)).await?;
        Ok(self.enter(folder, caller))
    }

    /// Who reads, and decides nothing.
    pub fn reader(&self) -> Caller {
        Caller::of_process(&self.house, None)
    }

    /// Whom the other end of a connection speaks for, which is on another machine where there are no `ends`;
    /// nobody whom a conductor started is served.
    pub async fn caller(&self, ends: Option<Ends>) -> Result<Caller, ApiError> {
        let house = self.house.clone();
        let found = tasks::block(move || {
            let pid = ends.and_then(|ends| port::peer(ends.ours, ends.theirs));
            let runs = house.root.join("run");
            if let Some(pid) = pid.filter(|pid| peer::is_worker(*pid, &runs).unwrap_or(false)) {
                let message = format!("process {pid} is a worker's");
                let hint =
                    "it may ask its shim (kapell rpc in its own surroundings), and decides nothing here";
                return Err(ApiError::from(Refusal::new(Code::NotAllowed, message, hint)));
            }
            Ok(Caller::of_process(&house, pid))
        });
        found.await.map_err(|error| ApiError::bug(error.to_string()))?
    }

    fn enter(&self, folder: PathBuf, caller: &Caller) -> Arc<Client> {
        let client = Client::new(self.house.clone(), folder);
        client.introduce_as(caller.clone());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() == clients.capacity() {
            clients.retain(|client| client.strong_count() > 0);
        }
        clients.push(Arc::downgrade(&client));
        drop(clients);
        if *self.stopping.borrow() {
            client.close();
        }
        client
    }

    /// Ends all waits, and whatever follows the events.
    pub fn close(&self) {
        self.stopping.send_replace(true);
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().filter_map(Weak::upgrade).for_each(|client| client.close());
    }

    /// Counts an answer.
    pub fn count(&self, answer: &Response) {
        let class = usize::from(answer.status().as_u16() / 100);
        if let Some(count) = class.checked_sub(1).and_then(|class| self.answered.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection until what is given is dropped.
    pub fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(self.clone())
    }

    /// What this process knows of itself.
    pub fn own(&self) -> Own {
        Own {
            answered: self.answered.each_ref().map(|count| count.load(Ordering::Relaxed)),
            connections: self.connections.load(Ordering::Relaxed),
            followers: *self.context.followers.borrow() as u64,
            resident: memory::resident(),
        }
    }
}

/// A connection that is counted.
pub struct Connected(Arc<Desk>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The folder of a project that is known already: no path of the asker's is looked at.
fn folder_of(call: &Call, project: &str, here: PathBuf) -> Result<PathBuf, ApiError> {
    let session = call.session();
    if session.project().is_ok_and(|own| own.id.as_str() == project) || here.to_str() == Some(project) {
        return Ok(here);
    }
    let known = session.store()?.read(|tx| tx.projects()).map_err(Error::from)?;
    let meant = known.into_iter().find(|(id, place, top)| {
        id.as_str() == project || place == project || top.as_deref() == Some(project)
    });
    let hint = "/api/projects lists the ids and folders of those that Kapell knows";
    let (_, place, top) = meant.ok_or_else(|| {
        ApiError::from(Refusal::new(Code::NotFound, format!("there is no project {project:?}"), hint))
    })?;
    let folder = PathBuf::from(top.unwrap_or(place));
    match folder.is_dir() {
        true => Ok(folder),
        false => {
            let message = format!("the folder of project {project:?} is gone: {}", folder.display());
            Err(Refusal::new(Code::NotFound, message, hint).into())
        }
    }
}
