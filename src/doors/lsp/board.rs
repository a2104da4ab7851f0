//! What is shown of each open document: whose it is, and what is wrong with it. The protocol replaces
//! all diagnostics of a document at once, so both are put together here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::outbox::{Message, Outbox};
use super::types::{Diagnostic, Uri};

/// The boards of all open documents.
#[derive(Debug)]
pub struct Board {
    sheets: Mutex<HashMap<Uri, Sheet>>,
    outbox: Outbox,
}

#[derive(Debug, Default)]
struct Sheet {
    version: i32,
    held: Vec<Diagnostic>,
    problems: Vec<Diagnostic>,
}

impl Board {
    /// A board with nothing on it.
    pub fn new(outbox: Outbox) -> Self {
        Self { sheets: Mutex::default(), outbox }
    }

    /// A document was opened: from now on things may be shown of it.
    pub fn open(&self, uri: &Uri, version: i32) {
        self.sheets().insert(uri.clone(), Sheet { version, ..Sheet::default() });
    }

    /// Its text is another one now.
    pub fn change(&self, uri: &Uri, version: i32) {
        if let Some(sheet) = self.sheets().get_mut(uri) {
            sheet.version = version;
        }
    }

    /// It was closed: nothing is shown of it any more.
    pub fn close(&self, uri: &Uri) {
        let mut sheets = self.sheets();
        if sheets.remove(uri).is_some_and(|sheet| !sheet.held.is_empty() || !sheet.problems.is_empty()) {
            self.outbox.leave(Message::Diagnostics(uri.clone(), Vec::new(), None));
        }
    }

    /// Shows whose it is; tells whether that is news.
    pub fn show_held(&self, uri: &Uri, held: Vec<Diagnostic>) -> bool {
        let mut sheets = self.sheets();
        let Some(sheet) = sheets.get_mut(uri).filter(|sheet| sheet.held != held) else { return false };
        sheet.held = held;
        self.publish(uri, sheet);
        true
    }

    /// Shows what is wrong with the text of that version, unless there is another text by now.
    pub fn show_problems(&self, uri: &Uri, version: i32, problems: Vec<Diagnostic>) {
        let mut sheets = self.sheets();
        let is_current = |sheet: &&mut Sheet| sheet.version == version;
        let Some(sheet) = sheets.get_mut(uri).filter(is_current) else { return };
        // Told again even where nothing changed: whoever waits for this version hears of it.
        sheet.problems = problems;
        self.publish(uri, sheet);
    }

    /// Under the lock, so that no older state overtakes a newer one.
    fn publish(&self, uri: &Uri, sheet: &Sheet) {
        let all = sheet.held.iter().chain(&sheet.problems).cloned().collect();
        self.outbox.leave(Message::Diagnostics(uri.clone(), all, Some(sheet.version)));
    }

    fn sheets(&self) -> MutexGuard<'_, HashMap<Uri, Sheet>> {
        self.sheets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
