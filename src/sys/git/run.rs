//! Runs git on one repository: directories named, environment and configuration of our own.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::discover::Repository;
use super::exec::{Finished, Input, Limits, Watch, execute_within};
use super::program::{Program, Version};
use super::queue::Guard;
use super::read::Barriers;
use super::unchanged::Seen;
use super::worktree::{Keeper, Worktree};
use super::{DiscoverError, Oid};
use crate::base::failpoint::{Fault, Point};

/// Of how many commits the submodules and links are remembered.
const REMEMBERED: usize = 32;

/// A larger index than this, in bytes (some ten thousand files), is read anew each time.
const LARGEST_INDEX: u64 = 1 << 20;

/// Settings of every call.
const SETTINGS: [(&str, &str); 16] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.untrackedCache", "false"),
    ("core.quotePath", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("protocol.file.allow", "user"),
    ("commit.gpgSign", "false"),
    ("i18n.commitEncoding", "UTF-8"),
    ("submodule.recurse", "false"),
    ("merge.verifySignatures", "false"),
    // Patches are for programs to read.
    ("diff.noprefix", "false"),
    ("diff.mnemonicPrefix", "false"),
    // A ref must not outlive a power cut that its objects do not.
    ("core.fsync", "committed"),
    ("core.fsyncMethod", "batch"),
    // A merge may not put work into a folder that the worker never saw.
    ("merge.directoryRenames", "false"),
];

/// Further settings where the files are a worker's: what the repository says about speed, sparseness
/// and leniency must not decide what is seen.
const WORKER_SETTINGS: [(&str, &str); 7] = [
    ("core.sparseCheckout", "false"),
    ("index.sparse", "false"),
    ("core.splitIndex", "false"),
    ("core.ignoreStat", "false"),
    ("core.trustctime", "true"),
    ("core.checkStat", "default"),
    ("core.safecrlf", "false"),
];

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git on the path.
    #[error("no git program on PATH ({path}); install git {} or newer", super::program::OLDEST)]
    Absent {
        /// The path that was searched.
        path: String,
    },
    /// The git found lacks `merge-tree --write-tree`.
    #[error("{} is too old ({found}); install git {} or newer", path.display(), super::program::OLDEST)]
    TooOld {
        /// The program.
        path: PathBuf,
        /// What it said of itself.
        found: String,
    },
    /// The repository is somebody else's, so its configuration may name programs that are not ours to run.
    #[error(
        "{} belongs to another user; to trust it: git config --global --add safe.directory '{}'",
        path.display(), path.display()
    )]
    Foreign {
        /// The top folder, or the bare repository.
        path: PathBuf,
    },
    /// The program could not be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended in failure.
    #[error("git {args} failed ({status}): {stderr}")]
    Failed {
        /// The arguments, for reading.
        args: String,
        /// `exit status: N` or the signal.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// It was stopped after the deadline.
    #[error("git {args} was stopped after {after:?}")]
    TimedOut {
        /// The arguments, for reading.
        args: String,
        /// How long it ran.
        after: Duration,
    },
    /// It printed something that this code does not understand.
    #[error("git {args} printed what was not expected: {printed}")]
    Unexpected {
        /// The arguments, for reading.
        args: String,
        /// The start of what it printed.
        printed: String,
    },
    /// A file operation of our own failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `create`, `rename`, …
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A checkout has no repository behind it.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
}

impl From<Fault> for GitError {
    fn from(fault: Fault) -> Self {
        Self::Io { action: "go on at", path: PathBuf::new(), source: fault.into() }
    }
}

impl GitError {
    /// For `map_err` on a file operation.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// What git said of a filter of the repository that failed, and of the file that it was to make.
    pub fn failed_filter(&self) -> Option<&str> {
        let is_it = |line: &&str| line.contains("clean filter") || line.contains("smudge filter");
        let said = self.stderr().lines().find(is_it)?;
        Some(said.strip_prefix("fatal: ").or_else(|| said.strip_prefix("error: ")).unwrap_or(said))
    }

    /// What git said on stderr, if it was git that failed.
    pub fn stderr(&self) -> &str {
        match self {
            Self::Failed { stderr, .. } => stderr,
            _ => "",
        }
    }
}

/// A commit, and its index as a file.
type MadeIndex = (Oid, Vec<u8>);

/// The barriers of the commits asked last, the latest first.
type Remembered = VecDeque<(Oid, Arc<Barriers>)>;

/// git, bound to one repository. Cheap to clone, shared between threads.
#[derive(Debug, Clone)]
pub struct Git {
    program: Program,
    repository: Repository,
    /// The settings that switch off the filter drivers which the repository configures.
    no_filters: Arc<OnceLock<Vec<(String, String)>>>,
    barriers: Arc<Mutex<Remembered>>,
    /// The index of the commit that was asked for last, as git wrote it: nothing in it is of a tree.
    index: Arc<Mutex<Option<MadeIndex>>>,
    /// The tree that was found unchanged last.
    seen: Arc<Mutex<Option<Seen>>>,
}

impl Git {
    /// Binds the program to a repository that this user owns or trusts.
    pub fn new(program: &Program, repository: &Repository) -> Result<Self, GitError> {
        if !program.trusts(repository) {
            let path = repository.top.as_ref().unwrap_or(&repository.common_dir).clone();
            return Err(GitError::Foreign { path });
        }
        Ok(Self {
            program: program.clone(),
            repository: repository.clone(),
            no_filters: Arc::default(),
            barriers: Arc::default(),
            index: Arc::default(),
            seen: Arc::default(),
        })
    }

    /// The tree that was found unchanged last; a thread that panicked left a whole one.
    pub(super) fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The program's version.
    pub fn version(&self) -> Version {
        self.program.version()
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// A call on objects and refs, without any files.
    pub(super) fn call(&self, command: &str) -> Call<'_> {
        Call::new(self, Place::Common, command)
    }

    /// A call about this checkout's own `HEAD`, without any files.
    pub(super) fn head_call(&self, command: &str) -> Call<'_> {
        Call::new(self, Place::Head, command)
    }

    /// A call on the files of a tree.
    pub(super) fn tree_call<'a>(&'a self, tree: &'a Worktree, command: &str) -> Call<'a> {
        Call::new(self, Place::Tree(tree), command)
    }

    /// The barriers of a commit, listed by `list` unless that was done lately. Every snapshot asks.
    pub(super) fn remember_barriers(
        &self,
        commit: &Oid,
        list: impl FnOnce() -> Result<Barriers, GitError>,
    ) -> Result<Arc<Barriers>, GitError> {
        let known = |known: &Remembered| {
            known.iter().find(|(of, _)| of == commit).map(|(_, barriers)| Arc::clone(barriers))
        };
        // A thread that panicked while it held this left whole entries.
        let lock = || self.barriers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(barriers) = known(&lock()) {
            return Ok(barriers);
        }
        let barriers = Arc::new(list()?);
        let mut entries = lock();
        entries.push_front((commit.clone(), Arc::clone(&barriers)));
        entries.truncate(REMEMBERED);
        Ok(barriers)
    }

    /// Writes the index of a commit to `to`, which says nothing of any file's times. `make` has git write it
    /// there, when it is not the one that was asked for last.
    pub(super) fn remember_index(
        &self,
        commit: &Oid,
        to: &Path,
        make: impl FnOnce() -> Result<(), GitError>,
    ) -> Result<(), GitError> {
        let lock = || self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, index)) = &*lock()
            && of == commit
        {
            return fs::write(to, index).map_err(GitError::io("write", to));
        }
        make()?;
        if fs::metadata(to).is_ok_and(|metadata| metadata.len() <= LARGEST_INDEX) {
            let index = fs::read(to).map_err(GitError::io("read", to))?;
            *lock() = Some((commit.clone(), index));
        }
        Ok(())
    }

    fn no_filters(&self) -> Result<&[(String, String)], GitError> {
        if let Some(settings) = self.no_filters.get() {
            return Ok(settings);
        }
        let call = self.call("config").args(["-z", "--name-only", "--get-regexp", r"^filter\."]);
        let names = call.accept(&[0, 1]).finish()?.stdout;
        let mut settings = Vec::new();
        for name in String::from_utf8_lossy(&names).split('\0') {
            let Some((driver, _)) = name.rsplit_once('.') else { continue };
            for (key, value) in [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")] {
                settings.push((format!("{driver}.{key}"), value.to_owned()));
            }
        }
        Ok(self.no_filters.get_or_init(|| settings))
    }
}

/// Where a call runs.
enum Place<'a> {
    Common,
    Head,
    Tree(&'a Worktree),
}

/// One call of git, being put together.
pub(super) struct Call<'a> {
    git: &'a Git,
    place: Place<'a>,
    args: Vec<OsString>,
    settings: Vec<(String, String)>,
    index: Option<PathBuf>,
    attributes: Option<Oid>,
    input: Input<'a>,
    accepted: &'static [i32],
    limit: Option<usize>,
    /// Whether commits are the person's own, by their configuration.
    is_persons: bool,
    /// The objects of another repository that are seen besides.
    borrowed: Option<PathBuf>,
}

impl<'a> Call<'a> {
    fn new(git: &'a Git, place: Place<'a>, command: &str) -> Self {
        Self {
            git,
            place,
            args: vec![command.into()],
            settings: Vec::new(),
            index: None,
            attributes: None,
            input: Input::Nothing,
            accepted: &[0],
            limit: None,
            is_persons: false,
            borrowed: None,
        }
    }

    /// Makes commits in the person's own name, as they configured it, instead of Kapell's.
    pub fn by_person(mut self) -> Self {
        self.is_persons = true;
        self
    }

    /// Sees the objects of another repository besides, by its common directory.
    pub fn borrowing(mut self, common_dir: &Path) -> Self {
        self.borrowed = Some(common_dir.join("objects"));
        self
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<T: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn oid(self, oid: &Oid) -> Self {
        self.arg(oid.as_str())
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses this index file instead of the tree's.
    pub fn index(mut self, index: &Path) -> Self {
        self.index = Some(index.to_path_buf());
        self
    }

    /// Reads `.gitattributes` from this commit, where git can (2.41).
    pub fn attributes_of(mut self, commit: &Oid) -> Self {
        self.attributes = (self.git.version() >= Version { major: 2, minor: 41 }).then(|| commit.clone());
        self
    }

    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.input = Input::Bytes(bytes);
        self
    }

    pub fn holding(mut self, guard: &'a Guard) -> Self {
        self.input = Input::Lock(guard);
        self
    }

    /// Exit codes that are answers; any other is an error. Without this: 0.
    pub fn accept(mut self, codes: &'static [i32]) -> Self {
        self.accepted = codes;
        self
    }

    /// Cuts stdout after so many bytes.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = Some(bytes);
        self
    }

    /// Runs it; its stdout.
    pub fn run(self) -> Result<Vec<u8>, GitError> {
        Ok(self.finish()?.stdout)
    }

    /// Runs it; the object name that it prints.
    pub fn run_for_oid(self) -> Result<Oid, GitError> {
        let args = shown(&self.args);
        let printed = self.run()?;
        let text = String::from_utf8_lossy(&printed);
        Oid::parse(text.trim_end()).ok_or_else(|| unexpected(&args, &printed))
    }

    /// Runs it; everything that it left.
    pub fn finish(self) -> Result<Finished, GitError> {
        self.finish_within(None)
    }

    /// [`Self::finish`], asking `stalled` once, when git still runs after `patience`, whether to stop it.
    pub fn finish_watched(
        self,
        patience: Duration,
        stalled: &mut dyn FnMut() -> bool,
    ) -> Result<Finished, GitError> {
        self.finish_within(Some((patience, stalled)))
    }

    fn finish_within(self, watch: Option<Watch<'_>>) -> Result<Finished, GitError> {
        let shown_args = shown(&self.args);
        let accepted = self.accepted;
        Point::GitBefore.reach()?;
        let finished = self.execute(watch)?;
        Point::GitAfter.reach()?;
        if finished.code.is_some_and(|code| accepted.contains(&code)) || finished.is_cut {
            return Ok(finished);
        }
        let Finished { status, stderr, .. } = finished;
        Err(GitError::Failed { args: shown_args, status, stderr: stderr.trim_end().to_owned() })
    }

    fn execute(self, watch: Option<Watch<'_>>) -> Result<Finished, GitError> {
        let Self {
            git,
            place,
            args: command,
            mut settings,
            index,
            attributes,
            input,
            limit,
            is_persons,
            borrowed,
            ..
        } = self;
        let repository = &git.repository;
        let (git_dir, work_tree, keeper) = match place {
            Place::Common => (&repository.common_dir, None, Keeper::Worker),
            Place::Head => (&repository.git_dir, None, Keeper::Worker),
            Place::Tree(tree) => (&tree.admin_dir, Some(&tree.path), tree.keeper),
        };
        let mut environment = git.program.environment().to_vec();
        let mut add = |name: &str, value: &OsStr| environment.push((name.into(), value.to_owned()));
        add("GIT_DIR", git_dir.as_os_str());
        for (name, value) in [
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            // `check-ignore` refuses to be asked so, and takes none of its names for a pattern.
            (
                "GIT_LITERAL_PATHSPECS",
                if command.first().is_some_and(|it| it == "check-ignore") { "0" } else { "1" },
            ),
            // What a commit contains must not depend on a local `refs/replace`.
            ("GIT_NO_REPLACE_OBJECTS", "1"),
        ] {
            add(name, OsStr::new(value));
        }
        if !is_persons {
            for part in ["AUTHOR", "COMMITTER"] {
                add(&format!("GIT_{part}_NAME"), OsStr::new("kapell"));
                add(&format!("GIT_{part}_EMAIL"), OsStr::new("kapell@localhost"));
            }
        }
        if let Some(borrowed) = &borrowed {
            add("GIT_ALTERNATE_OBJECT_DIRECTORIES", borrowed.as_os_str());
        }
        if let Some(work_tree) = work_tree {
            add("GIT_WORK_TREE", work_tree.as_os_str());
        }
        if let Some(index) = &index {
            add("GIT_INDEX_FILE", index.as_os_str());
        }
        settings.extend(SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if keeper == Keeper::Worker {
            add("GIT_CONFIG_NOSYSTEM", OsStr::new("1"));
            add("GIT_CONFIG_GLOBAL", OsStr::new("/dev/null"));
            settings.extend(WORKER_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
            if let Some(file) = git.program.excludes_file().and_then(OsStr::to_str) {
                settings.push(("core.excludesFile".to_owned(), file.to_owned()));
            }
            if work_tree.is_some() {
                settings.extend_from_slice(git.no_filters()?);
            }
        }
        add("GIT_CONFIG_COUNT", OsStr::new(&settings.len().to_string()));
        for (i, (name, value)) in settings.iter().enumerate() {
            add(&format!("GIT_CONFIG_KEY_{i}"), OsStr::new(name));
            add(&format!("GIT_CONFIG_VALUE_{i}"), OsStr::new(value));
        }
        let mut args: Vec<OsString> = Vec::new();
        if work_tree.is_none() {
            args.push("--bare".into());
        }
        if let Some(attributes) = attributes {
            args.push(format!("--attr-source={attributes}").into());
        }
        args.extend(command);
        // Paths are relative to where git stands if that is inside the tree, so a person's is entered at its
        // top. A worker's is not entered: it can be renamed or replaced at any moment.
        let folder = match (work_tree, keeper) {
            (Some(top), Keeper::Person) => top,
            _ => git_dir,
        };
        let limits = Limits { stdout: limit, watch };
        execute_within(git.program.path(), &args, &environment, folder, input, limits)
    }
}

/// Arguments for reading, in an error.
pub(super) fn shown(args: &[OsString]) -> String {
    let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    words.join(" ")
}

/// The error for output that makes no sense.
pub(super) fn unexpected(args: &str, printed: &[u8]) -> GitError {
    let start = &printed[..printed.len().min(200)];
    GitError::Unexpected {
        args: args.to_owned(),
        printed: String::from_utf8_lossy(start).escape_debug().to_string(),
    }
}
