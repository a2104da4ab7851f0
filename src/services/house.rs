//! The surroundings that services need: folders, the database, who is calling.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::Error;
use crate::base::ids::HolderName;
use crate::base::sorting::Gather as _;
use crate::domain::claim::{Holder, HolderKind};
use crate::store::{Check, Store};
use crate::sys::process::{life, tree};
use crate::sys::shim::relay::SOCKET_VARIABLE;

/// How the processes of agents are called, whose shells may run a command of ours.
const AGENTS: [&str; 3] = ["claude", "codex", "opencode"];

/// One process of Kapell: where its state lies and what it was started with.
#[derive(Debug)]
pub struct House {
    /// The state folder.
    pub root: PathBuf,
    /// The environment of whoever started this process; workers get an allowed part of it.
    pub environment: BTreeMap<String, String>,
    /// This program, for starting shims and conductors.
    pub program: PathBuf,
    /// The person's home folder.
    pub home: PathBuf,
    /// The person's configuration file.
    pub person_config: PathBuf,
    /// Whether this process is root; some agents ask for that to be said.
    pub is_root: bool,
    /// How thoroughly the database is looked at before its first use.
    pub check: Check,
    /// How long the turn to write the database is waited for at most; without end, if nothing is said.
    pub patience: Option<Duration>,
    /// The database, opened at first use: a door that only lists its tools needs none.
    pub(super) store: OnceLock<Store>,
    pub(super) opening: Mutex<()>,
}

/// Who calls, through which door.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who holds what this caller claims, unless the call says otherwise.
    pub holder: Holder,
    /// The file whose lock proves that the caller's session lives; none for a single command.
    pub alive: Option<String>,
    /// The attempt, if the caller is a worker inside its wall.
    pub attempt: Option<String>,
}

/// Ends a call that waits, from another thread.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Cancelled>);

#[derive(Debug, Default)]
struct Cancelled {
    flag: AtomicBool,
    given_up: AtomicBool,
    then: Mutex<Option<Then>>,
}

/// What ends a wait.
struct Then(Box<dyn Fn() + Send>);

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then")
    }
}

/// One call: the surroundings, the caller, the folder it is about, and how to end it.
#[derive(Debug, Clone)]
pub struct Session {
    /// The surroundings.
    pub house: Arc<House>,
    /// Who calls.
    pub caller: Caller,
    /// The folder that the call is about; its repository is the project.
    pub folder: PathBuf,
    /// Ends the call.
    pub cancel: Cancel,
}

impl House {
    /// The surroundings of a process; nothing is opened or made yet.
    pub fn new(
        root: PathBuf,
        environment: BTreeMap<String, String>,
        program: PathBuf,
        home: PathBuf,
        person_config: PathBuf,
        check: Check,
    ) -> Self {
        Self {
            root,
            environment,
            program,
            home,
            person_config,
            is_root: rustix::process::geteuid().is_root(),
            check,
            patience: None,
            store: OnceLock::new(),
            opening: Mutex::new(()),
        }
    }

    /// The database, opened at its first use.
    pub fn store(&self) -> Result<&Store, Error> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(&self.root, self.check)?;
        if let Some(limit) = self.patience {
            store.give_up_after(limit)?;
        }
        Ok(self.store.get_or_init(|| store))
    }

    /// What a Kapell has of the person's surroundings that a shim starts: nothing that belongs to a session.
    pub fn for_kapell(&self) -> BTreeMap<OsString, OsString> {
        let passes = |name: &str| {
            matches!(name, "PATH" | "HOME" | "USER" | "LOGNAME" | "LANG" | "TZ" | "TMPDIR" | "KAPELL_LOG")
                || name.starts_with("LC_")
                || name.starts_with("XDG_")
                || name.starts_with("GIT_CONFIG_")
        };
        let mut env: BTreeMap<OsString, OsString> = (self.environment.iter())
            .filter(|(name, _)| passes(name))
            .map(|(name, value)| (name.into(), value.into()))
            .gather();
        env.insert("KAPELL_HOME".into(), self.root.clone().into());
        env.insert("KAPELL_CONFIG".into(), self.person_config.clone().into());
        env
    }

    /// What a process does that ends now and that somebody waits for: see [`Store::leave`].
    pub fn leave(self) {
        if let Some(store) = self.store.into_inner() {
            store.leave();
        }
    }

    /// The name under which the person holds what they claim, at the command line and in an editor.
    pub fn person(&self) -> &str {
        let name =
            |variable| self.environment.get(variable).map(String::as_str).filter(|name| !name.is_empty());
        name("USER").or_else(|| name("LOGNAME")).unwrap_or("me")
    }

    /// The folder of an attempt's shim.
    pub fn run_dir(&self, attempt: &str) -> PathBuf {
        self.root.join("run").join(attempt)
    }

    /// The shim to speak to instead of the database, where this process is a worker's, inside its wall.
    pub fn shim_socket(&self) -> Option<&Path> {
        self.environment.get(SOCKET_VARIABLE).filter(|socket| !socket.is_empty()).map(Path::new)
    }

    /// A file whose lock proves that a session, conductor or judgement lives.
    pub fn life_file(&self, name: &str) -> PathBuf {
        self.root.join("life").join(name)
    }
}

impl Caller {
    /// A caller of that kind and name without a session that can be proved to live.
    pub fn new(kind: HolderKind, name: &str) -> Self {
        Self { holder: Holder { kind, name: HolderName::new(name) }, alive: None, attempt: None }
    }

    /// Who types a command: the person, or an agent whose shell runs it. An agent takes nothing over and lets
    /// go of nothing that is another's by way of its shell, as it does not by its server. Only a process above
    /// this one says so: variables of an agent's reach a person's windows through a tmux that it started.
    pub fn at_the_command_line(house: &House) -> Self {
        let Some((agent, name)) = tree::above(&AGENTS) else {
            return Self::new(HolderKind::Person, house.person());
        };
        let kind = AGENTS.iter().find(|it| name.starts_with(**it)).unwrap_or(&"agent");
        // As its hook calls it, where it says which session it is.
        let session = house.environment.get("CLAUDE_CODE_SESSION_ID").filter(|id| {
            *kind == "claude" && !id.is_empty() && !id.chars().any(|c| c.is_control() || c.is_whitespace())
        });
        let name = session.map_or_else(|| format!("{kind}-{}", agent.pid), |id| format!("{kind}-{id}"));
        Self { alive: Some(life::proof_of(&agent)), ..Self::new(HolderKind::Agent, &name) }
    }

    /// Whom the process `pid` speaks for over HTTP: the same. Where it cannot be seen who that is, for the person,
    /// whose token it has.
    pub fn of_process(house: &House, pid: Option<i32>) -> Self {
        match pid.and_then(|pid| tree::at_or_above(pid, &AGENTS)) {
            None => Self::new(HolderKind::Person, house.person()),
            Some((agent, name)) => {
                let kind = AGENTS.iter().find(|it| name.starts_with(**it)).unwrap_or(&"agent");
                let alive = Some(life::proof_of(&agent));
                Self { alive, ..Self::new(HolderKind::Agent, &format!("{kind}-{}", agent.pid)) }
            }
        }
    }
}

impl Cancel {
    /// Ends the call: a wait that is under way, and every later one.
    pub fn cancel(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
        if let Some(Then(then)) = self.0.then.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            then();
        }
    }

    /// Has waits wait again: what ended them was seen to.
    pub fn take_back(&self) {
        self.0.flag.store(false, Ordering::SeqCst);
    }

    /// Ends the call because nobody wants its result any more: what it has not begun is not begun.
    pub fn give_up(&self) {
        self.0.given_up.store(true, Ordering::SeqCst);
        self.cancel();
    }

    /// Whether nobody wants the result of the call any more.
    pub fn is_given_up(&self) -> bool {
        self.0.given_up.load(Ordering::SeqCst)
    }

    /// Whether the call was ended.
    pub fn is_cancelled(&self) -> bool {
        self.0.flag.load(Ordering::SeqCst)
    }

    /// Says what ends the wait that is about to begin.
    pub fn on_cancel(&self, then: impl Fn() + Send + 'static) {
        *self.0.then.lock().unwrap_or_else(PoisonError::into_inner) = Some(Then(Box::new(then)));
        if self.is_cancelled() {
            self.cancel();
        }
    }
}

impl Session {
    /// The same call about another folder.
    #[must_use]
    pub fn in_folder(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..self.clone() }
    }

    /// The database.
    pub fn store(&self) -> Result<&Store, Error> {
        self.house.store()
    }
}
