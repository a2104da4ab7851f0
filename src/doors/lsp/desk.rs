//! What all parts of the server share: the open documents, the client of the contract, and the ways to
//! the threads and to the editor.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::board::Board;
use super::checker::Checker;
use super::documents::Documents;
use super::outbox::Outbox;
use super::progress::Shown;
use super::settings::Settings;
use super::types::Uri;
use crate::api::Client;
use crate::services::Session;

/// News for the thread that keeps claims.
#[derive(Debug)]
pub enum Note {
    /// The editor is ready to be told things.
    Ready,
    /// A document was opened, with a text of this digest.
    Opened(Uri, u64),
    /// Its text changed.
    Changed(Uri),
    /// The editor says that it opened it with unsaved changes.
    Unsaved(Uri),
    /// A text of this digest was saved, perhaps under another name.
    Saved(Uri, u64),
    /// It was closed.
    Closed(Uri),
    /// A file or folder is not there any more.
    Gone(PathBuf),
    /// Folders of the workspace came or went.
    Folders,
    /// The store may have changed.
    Stored,
    /// Somebody who held something has ended; this proved that they lived.
    Ended(String),
    /// All that is held is to be let go of; whoever waits is told when that is done.
    End(Sender<()>),
}

/// The shared part of the server.
#[derive(Debug)]
pub struct Desk {
    /// The editor as a client of the contract.
    pub client: Arc<Client>,
    /// The folder that the server was started in.
    pub folder: PathBuf,
    /// What is open.
    pub documents: Documents,
    /// What the editor wants and can do, once it said so.
    settings: OnceLock<Settings>,
    /// The folders of the workspace now, in the editor's order.
    folders: Mutex<Vec<PathBuf>>,
    /// What is shown of each document.
    pub board: Board,
    /// The thread that checks plans.
    pub checker: Checker,
    /// The plans whose progress is shown.
    pub shown: Shown,
    /// The way to the editor.
    pub outbox: Outbox,
    /// The editor asked to shut down.
    pub goodbye: AtomicBool,
    /// It told the server to exit.
    pub left: AtomicBool,
    /// Held while a plan file is stored and begun, so that a second wish finds what came of the first.
    pub beginning: Mutex<()>,
    /// Turns of what may wait, so that it leaves threads to what does not.
    turns: Arc<Semaphore>,
    /// The files that were asked for and are waited for.
    asked: Mutex<HashSet<PathBuf>>,
    notes: Sender<Note>,
    unread: Mutex<Option<Receiver<Note>>>,
}

impl Desk {
    /// A desk with nothing on it.
    pub fn new(client: Arc<Client>, folder: PathBuf, outbox: Outbox) -> Arc<Self> {
        let (notes, unread) = channel();
        Arc::new(Self {
            client,
            folder,
            documents: Documents::default(),
            settings: OnceLock::new(),
            folders: Mutex::default(),
            board: Board::new(outbox.clone()),
            checker: Checker::default(),
            shown: Shown::default(),
            outbox,
            goodbye: AtomicBool::new(false),
            left: AtomicBool::new(false),
            beginning: Mutex::default(),
            turns: Arc::new(Semaphore::new(super::SLOW_CALLS)),
            asked: Mutex::default(),
            notes,
            unread: Mutex::new(Some(unread)),
        })
    }

    /// What was agreed on with the editor; defaults before that.
    pub fn settings(&self) -> &Settings {
        static NONE: OnceLock<Settings> = OnceLock::new();
        self.settings.get().unwrap_or_else(|| NONE.get_or_init(Settings::default))
    }

    /// Agrees with the editor, once.
    pub fn agree(&self, settings: Settings) {
        self.all_folders().clone_from(&settings.roots);
        // A second `initialize` never comes this far.
        let _ = self.settings.set(settings);
    }

    /// The turn of a call that may wait; held until that is over. Nothing once the server ends.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.ok()
    }

    /// Notes that a file is waited for; tells whether it was not before.
    pub fn ask_for(&self, file: &Path) -> bool {
        self.all_asked().insert(file.to_owned())
    }

    /// Nobody waits for the file any more.
    pub fn asked_for(&self, file: &Path) {
        self.all_asked().remove(file);
    }

    fn all_asked(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the keeper.
    pub fn note(&self, note: Note) {
        // The keeper ends with the process.
        let _ = self.notes.send(note);
    }

    /// A way to tell the keeper from another thread.
    pub fn notes(&self) -> Sender<Note> {
        self.notes.clone()
    }

    /// What the keeper reads; it is there once.
    pub fn unread(&self) -> Option<Receiver<Note>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A session about a folder.
    pub fn session(&self, folder: &Path) -> Session {
        self.client.begin().in_folder(folder.to_owned()).session()
    }

    /// The folder that commands are about unless they say otherwise: the first of the workspace.
    pub fn first_root(&self) -> PathBuf {
        self.all_folders().first().unwrap_or(&self.folder).clone()
    }

    /// The folders of the workspace; the one that the server was started in if the editor names none.
    pub fn folders(&self) -> Vec<PathBuf> {
        let folders = self.all_folders().clone();
        // Whoever took the last folder away wants to see nothing of it.
        if folders.is_empty() && self.settings().roots.is_empty() {
            vec![self.folder.clone()]
        } else {
            folders
        }
    }

    /// Folders came and went.
    pub fn change_folders(&self, added: Vec<PathBuf>, removed: &[PathBuf]) {
        let mut folders = self.all_folders();
        folders.retain(|folder| !removed.contains(folder) && !added.contains(folder));
        folders.extend(added);
        drop(folders);
        self.note(Note::Folders);
    }

    fn all_folders(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
