//! The order of changes. The library runs handlers beside each other, so a change could overtake another
//! one. Here every message about a document is taken in the order in which it was read, before anything
//! that came after it can begin.

use std::collections::HashSet;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::Service;

use super::desk::{Desk, Note};
use super::disk::digest_of;
use super::documents::path_of;
use super::outbox::Message;
use super::stream::{LONGEST, UNREADABLE};
use super::types::{
    DeleteFilesParams, DidChangeTextDocumentParams, DidChangeWorkspaceFoldersParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams, ExitedError,
    LspService, MessageType, RenameFilesParams, Request, Response, RpcError, RpcId, Uri,
    WorkDoneProgressCancelParams, WorkspaceFolder,
};
use super::{progress, server};

/// The service with the messages about documents taken out.
pub struct Ordered {
    inner: LspService<server::Server>,
    desk: Arc<Desk>,
    /// The documents of which messages were too long.
    passed: HashSet<String>,
    /// The editor has begun: what it notes before `initialize` is left unread.
    is_greeted: bool,
}

impl Ordered {
    /// Puts the order in front of a service.
    pub fn new(inner: LspService<server::Server>, desk: Arc<Desk>) -> Self {
        Self { inner, desk, passed: HashSet::new(), is_greeted: false }
    }

    /// Tells the person, once for each file, that a message was too long to be read; and gives that sentence.
    fn passed_over(&mut self, passed: &Value) -> Option<String> {
        let length = passed.get("length")?.as_u64()?;
        let uri = passed.get("uri").and_then(Value::as_str).unwrap_or_default();
        let path = uri.parse().ok().and_then(|uri: Uri| path_of(&uri));
        // What is a little too long is not said to be as long as may be.
        let (size, most) = (length.div_ceil(1 << 20), LONGEST >> 20);
        let file = path.map_or_else(|| "a file".to_owned(), |path| path.display().to_string());
        let sentence = format!(
            "kapell: what the editor sent about {file} has {size} MiB and was not read: {most} MiB are the most. Nobody is told that you edit it; to keep others from it, run kapell claim-files --as me PATH"
        );
        if self.passed.insert(uri.to_owned()) {
            self.desk.outbox.leave(Message::Show(MessageType::WARNING, sentence.clone()));
        }
        Some(sentence)
    }
}

impl Service<Request> for Ordered {
    type Response = Option<Response>;
    type Error = ExitedError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.method() == UNREADABLE {
            let mut error = RpcError::parse_error();
            if let Some(sentence) = request.params().and_then(|passed| self.passed_over(passed)) {
                error.message = sentence.into();
            }
            return Box::pin(ready(Ok(Some(Response::from_error(RpcId::Null, error)))));
        }
        if request.method() == "initialize" {
            self.is_greeted = true;
        }
        if !self.is_greeted && request.id().is_none() && request.method() != "exit" {
            // Of an editor that did not say what it can do nothing is known, not even how it counts.
            return Box::pin(ready(Ok(None)));
        }
        if request.id().is_none() && take(&self.desk, request.method(), request.params()) {
            return Box::pin(ready(Ok(None)));
        }
        if let Some(id) = request.id()
            && request.method().starts_with("$/")
        {
            // There is no such request, and the library answers none of that kind.
            let error = RpcError::method_not_found();
            return Box::pin(ready(Ok(Some(Response::from_error(id.clone(), error)))));
        }
        if request.method() == "shutdown" {
            self.desk.goodbye.store(true, Ordering::SeqCst);
        }
        if request.method() == "exit" {
            self.desk.left.store(true, Ordering::SeqCst);
            // What waits would keep the end from coming.
            self.desk.client.close();
        }
        self.inner.call(request)
    }
}

/// Takes a notification about documents; tells whether it is one.
fn take(desk: &Arc<Desk>, method: &str, params: Option<&Value>) -> bool {
    match method {
        "textDocument/didOpen" => {
            if let Some(DidOpenTextDocumentParams { text_document: opened }) = read(method, params) {
                let encoding = desk.settings().encoding;
                desk.board.open(&opened.uri, opened.version);
                let digest = digest_of(&opened.text);
                desk.documents.open(opened.uri.clone(), opened.version, opened.text, encoding);
                desk.checker.touch(&opened.uri);
                desk.note(Note::Opened(opened.uri, digest));
            }
        }
        "textDocument/didChange" => {
            if let Some(changed) = read::<DidChangeTextDocumentParams>(method, params) {
                let document = changed.text_document;
                // One without any change says that what was opened has unsaved changes.
                let says_unsaved = changed.content_changes.is_empty();
                desk.board.change(&document.uri, document.version);
                if desk.documents.change(&document.uri, document.version, changed.content_changes) {
                    desk.checker.touch(&document.uri);
                    let note = if says_unsaved { Note::Unsaved } else { Note::Changed };
                    desk.note(note(document.uri));
                }
            }
        }
        "textDocument/didSave" => {
            if let Some(saved) = read::<DidSaveTextDocumentParams>(method, params) {
                let uri = saved.text_document.uri;
                if let Some(document) = desk.documents.get(&uri) {
                    desk.note(Note::Saved(uri, digest_of(&document.text)));
                }
                // What plans are held against may be another now: the configuration, a spec.
                desk.checker.touch_all();
            }
        }
        "textDocument/didClose" => {
            if let Some(closed) = read::<DidCloseTextDocumentParams>(method, params) {
                close(desk, closed.text_document.uri);
            }
        }
        "workspace/didRenameFiles" => {
            let renamed: Option<RenameFilesParams> = read(method, params);
            gone(desk, renamed.into_iter().flat_map(|renamed| renamed.files).map(|file| file.old_uri));
        }
        "workspace/didDeleteFiles" => {
            let deleted: Option<DeleteFilesParams> = read(method, params);
            gone(desk, deleted.into_iter().flat_map(|deleted| deleted.files).map(|file| file.uri));
        }
        "workspace/didChangeWorkspaceFolders" => {
            if let Some(changed) = read::<DidChangeWorkspaceFoldersParams>(method, params) {
                let paths = |folders: &[WorkspaceFolder]| {
                    folders.iter().filter_map(|folder| path_of(&folder.uri)).collect::<Vec<_>>()
                };
                desk.change_folders(paths(&changed.event.added), &paths(&changed.event.removed));
            }
        }
        "window/workDoneProgress/cancel" => {
            if let Some(WorkDoneProgressCancelParams { token }) = read(method, params) {
                progress::cancel(desk, &token);
            }
        }
        // The configuration, or a file that a plan names.
        "workspace/didChangeWatchedFiles" => {
            desk.checker.touch_all();
            // A plain folder is a project by its configuration.
            desk.note(Note::Folders);
        }
        // Known, and nothing to us.
        "$/setTrace" | "workspace/didChangeConfiguration" => {}
        _ => return false,
    }
    true
}

fn close(desk: &Desk, uri: Uri) {
    desk.documents.close(&uri);
    desk.board.close(&uri);
    desk.note(Note::Closed(uri));
}

fn gone(desk: &Desk, uris: impl Iterator<Item = String>) {
    for path in uris.filter_map(|uri| path_of(&uri.parse().ok()?)) {
        desk.note(Note::Gone(path));
    }
}

/// A notification cannot be answered, so one that cannot be read is told to whoever reads the log.
fn read<P: DeserializeOwned>(method: &str, params: Option<&Value>) -> Option<P> {
    let params = params.cloned().unwrap_or_default();
    P::deserialize(&params).inspect_err(|error| tracing::warn!("{method}: {error}")).ok()
}
