//! One client of a door for as long as its connection lasts: who it is, the proof that it
//! lives, and its calls in progress.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;

use super::error::ApiError;
use super::table::Method;
use crate::base::ids::random_tail;
use crate::domain::claim::{Holder, HolderKind};
use crate::services::{Caller, Cancel, House, Session};
use crate::sys::process::life::Life;
use crate::sys::process::tree;

/// How the processes are called of agents that edit under a name of their own, by `kapell hook`.
const AGENTS: [&str; 2] = ["claude", "codex"];

/// A client: an agent session, a script, or a worker inside its wall.
#[derive(Debug)]
pub struct Client {
    house: Arc<House>,
    folder: PathBuf,
    caller: OnceLock<Caller>,
    /// Taken at the first claim: most clients never make one.
    life: Mutex<Option<(Life, String)>>,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    running: HashMap<u64, Cancel>,
    /// Whatever begins from now on does not wait.
    closed: bool,
}

/// A call in progress; it is over when this is dropped.
#[derive(Debug)]
pub struct Call {
    client: Arc<Client>,
    number: u64,
    cancel: Cancel,
    /// What it is about, where that is not the client's folder.
    folder: Option<PathBuf>,
}

impl Client {
    /// A client whose calls are about `folder`. Nothing is opened or made yet.
    pub fn new(house: Arc<House>, folder: PathBuf) -> Arc<Self> {
        let caller = OnceLock::new();
        // The shim tells its worker which attempt it is.
        if let Some(attempt) = house.environment.get("KAPELL_ATTEMPT").filter(|id| !id.is_empty()) {
            let worker = Caller::new(HolderKind::Attempt, attempt);
            // A fresh cell is empty, so this is the one value it gets.
            let _ = caller.set(Caller { attempt: Some(attempt.clone()), ..worker });
        }
        Arc::new(Self { house, folder, caller, life: Mutex::default(), calls: Mutex::default() })
    }

    /// The surroundings.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Whether it is a worker, inside its wall.
    pub fn is_worker(&self) -> bool {
        self.caller.get().is_some_and(|caller| caller.attempt.is_some())
    }

    /// Says under which name the client holds claims. The first name stays: claims must
    /// not change hands within a connection.
    pub fn introduce(&self, name: impl FnOnce() -> String) {
        self.caller.get_or_init(|| Caller::new(HolderKind::Agent, &name()));
    }

    /// The same of a person, who edits and is nobody's agent. A worker stays what it is.
    pub fn introduce_person(&self, name: &str) {
        self.caller.get_or_init(|| Caller::new(HolderKind::Person, name));
    }

    /// Says whom the client speaks for, where its door found that out. A worker stays what it is.
    pub fn introduce_as(&self, caller: Caller) {
        self.caller.get_or_init(|| caller);
    }

    /// Who holds what this client claims.
    pub fn holder(&self) -> Holder {
        self.caller().holder
    }

    /// Begins a call.
    pub fn begin(self: &Arc<Self>) -> Call {
        let cancel = Cancel::default();
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        if calls.closed {
            cancel.cancel();
        }
        calls.running.insert(number, cancel.clone());
        drop(calls);
        Call { client: self.clone(), number, cancel, folder: None }
    }

    /// Ends all waits, those of calls in progress and of calls to come.
    pub fn close(&self) {
        let mut calls = self.calls();
        calls.closed = true;
        calls.running.values().for_each(Cancel::cancel);
    }

    /// Whether no call is in progress.
    pub fn is_idle(&self) -> bool {
        self.calls().running.is_empty()
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caller(&self) -> Caller {
        self.caller
            .get_or_init(|| Caller::new(HolderKind::Agent, &format!("agent-{}", std::process::id())))
            .clone()
    }

    /// What proves the client's life: the lock of a file, and the agent that it works for. A worker's life is
    /// its shim's to prove.
    fn proof_of_life(&self) -> Option<String> {
        if self.caller().holder.kind == HolderKind::Attempt {
            return None;
        }
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if life.is_none() {
            let path = self.house.life_file(&format!("client-{}-{}", std::process::id(), random_tail(6)));
            match Life::take(&path) {
                // Else the agent's own edits, which its hook claims, would stand in its way; and what it
                // claims would outlive it.
                Ok(Some(taken)) => {
                    let agent = tree::patron(&AGENTS)
                        .filter(|(_, name)| AGENTS.iter().any(|it| name.starts_with(it)));
                    let proof = taken.proof(agent.map(|(agent, _)| agent).as_ref());
                    *life = Some((taken, proof));
                }
                Ok(None) => {}
                // The claim is then held until it runs out.
                Err(error) => tracing::warn!("cannot prove to live by {}: {error}", path.display()),
            }
        }
        life.as_ref().map(|(_, proof)| proof.clone())
    }
}

impl Call {
    /// Ends the call from another thread.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The same call about another folder: an editor has files of several projects open.
    #[must_use]
    pub fn in_folder(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    /// The session that services are asked with.
    pub fn session(&self) -> Session {
        Session {
            house: self.client.house.clone(),
            caller: self.client.caller(),
            folder: self.folder.as_ref().unwrap_or(&self.client.folder).clone(),
            cancel: self.cancel.clone(),
        }
    }

    /// Calls a method of the table. A programming fault in it is an error like another.
    pub fn run(&self, method: &Method, params: Value) -> Result<Value, ApiError> {
        guard(method.name, || {
            let mut session = self.session();
            if matches!(method.name, "claim-files" | "release-files") {
                session.caller.alive = self.client.proof_of_life();
            }
            method.call(&session, params)
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.client.calls().running.remove(&self.number);
    }
}

/// Runs `work`; a panic in it ends this call only. The panic hook has told stderr.
pub fn guard<T>(what: &str, work: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic".to_owned());
        Err(ApiError::bug(format!("{what}: {message}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::store::Check;
    use crate::sys::process::life;

    fn client(root: &Path, environment: &[(&str, &str)]) -> Arc<Client> {
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let nowhere = PathBuf::from("/nonexistent");
        let house = House::new(
            root.join("state"),
            environment,
            nowhere.clone(),
            nowhere.clone(),
            nowhere,
            Check::Header,
        );
        Client::new(Arc::new(house), root.to_owned())
    }

    #[test]
    fn a_panic_is_a_bug_of_one_call() {
        let error = guard("plan", || -> Result<(), ApiError> { panic!("no {}", "luck") }).unwrap_err();
        assert_eq!((error.code, error.kind, error.message.as_str()), (-32603, "bug", "plan: no luck"));
        assert_eq!(guard("plan", || Ok(1)).unwrap(), 1);
    }

    #[test]
    fn the_first_name_stays() {
        let folder = tempfile::tempdir().unwrap();
        let client = client(folder.path(), &[]);
        client.introduce(|| "ann".to_owned());
        client.introduce(|| "bob".to_owned());
        let holder = client.begin().session().caller.holder;
        assert_eq!((holder.kind, holder.name.as_str()), (HolderKind::Agent, "ann"));
    }

    #[test]
    fn a_worker_is_its_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let client = client(folder.path(), &[("KAPELL_ATTEMPT", "a-1")]);
        client.introduce(|| "ann".to_owned());
        let caller = client.begin().session().caller;
        assert_eq!((caller.holder.kind, caller.holder.name.as_str()), (HolderKind::Attempt, "a-1"));
        assert_eq!(caller.attempt.as_deref(), Some("a-1"));
        assert_eq!(client.proof_of_life(), None);
    }

    #[test]
    fn closing_ends_every_wait_before_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let client = client(folder.path(), &[]);
        assert!(client.is_idle());
        let before = client.begin();
        assert!(!before.cancel().is_cancelled() && !client.is_idle());
        client.close();
        let after = client.begin();
        assert!(before.cancel().is_cancelled() && after.cancel().is_cancelled());
        drop((before, after));
        assert!(client.is_idle());
    }

    #[test]
    fn nothing_is_made_before_the_first_claim() {
        let folder = tempfile::tempdir().unwrap();
        let client = client(folder.path(), &[]);
        drop(client.begin().session());
        assert!(!folder.path().join("state").exists());
        let life = client.proof_of_life().unwrap();
        let file = Path::new(life::file(&life));
        assert!(life::is_held(file));
        drop(client);
        assert!(!file.exists());
    }
}
