//! The thread that keeps claims: it claims what the person changes, shows who holds what is open, and
//! tells of events. It is woken by notes and by the store, never by a timer but for a lease that ends.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::desk::{Desk, Note};
use super::documents::{self, Document, Kind};
use super::keeping::{News, Open, Root, is_within};
use super::outbox::Message;
use super::owned::{self, Ownership};
use super::progress::Progress;
use super::server;
use super::types::{MessageType, Uri};
use crate::api::methods::{claims, events};
use crate::base::clock::Time;
use crate::base::ids::ClaimId;
use crate::base::notices::Notices;
use crate::base::threads;
use crate::domain::claim::{Held, HolderKind};
use crate::domain::plan::document::Format;
use crate::services::editing::Editor;
use crate::services::editing::person::{self, Hold, Spot, Standing};
use crate::services::{Error, planning};
use crate::sys::process::{life, tree};

mod roots;

/// At most so many processes are waited for.
const MOST_AWAITED: usize = 64;

/// Lenses are asked for anew at most so often: every question is one for each file that is open.
const LENS_GAP: Duration = Duration::from_millis(100);

/// What failed since the store was busy, or could not be written, is tried again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts the thread; a second time does nothing.
pub fn start(desk: &Arc<Desk>, progress: Progress) -> std::io::Result<()> {
    // Behind the wall there is no store to ask, and its worker is nobody who edits.
    if desk.client.is_worker() {
        return Ok(());
    }
    let Some(notes) = desk.unread() else { return Ok(()) };
    let me = Editor {
        holder: desk.client.holder(),
        alive: tree::identity(std::process::id().cast_signed()).map(|me| life::proof_of(&me)),
    };
    let mut keeper = Keeper {
        desk: desk.clone(),
        me,
        progress,
        open: HashMap::new(),
        formed: HashSet::new(),
        roots: Vec::new(),
        folders: Vec::new(),
        changed_folders: false,
        person_config: None,
        projects: None,
        touched: HashSet::new(),
        look: false,
        rung: Arc::default(),
        rings: false,
        awaited: BTreeSet::new(),
        complained: false,
        unreleased: Vec::new(),
        again_at: None,
        lenses_due: false,
        lenses_at: None,
    };
    threads::start("kapell-keeper", Box::new(move || keeper.run(&notes)))?;
    Ok(())
}

struct Keeper {
    desk: Arc<Desk>,
    me: Editor,
    progress: Progress,
    open: HashMap<Uri, Open>,
    /// The plans in JSON that the configuration calls so, of which the editor was told that they can be formed.
    formed: HashSet<String>,
    roots: Vec<Root>,
    /// The folders of the workspace, with the top of the checkout that each lies in.
    folders: Vec<(PathBuf, Option<PathBuf>)>,
    /// Folders are to be looked at again.
    changed_folders: bool,
    /// Tells of changes of the person's own configuration, by the folder that is watched for it.
    person_config: Option<(PathBuf, Notices)>,
    /// What was told of projects.
    projects: Option<Value>,
    /// What is to be looked at again.
    touched: HashSet<Uri>,
    /// The store is to be looked at again.
    look: bool,
    /// Whether a note of the bell is on its way.
    rung: Arc<AtomicBool>,
    /// Whether somebody listens to the bell.
    rings: bool,
    /// Processes whose end is waited for.
    awaited: BTreeSet<String>,
    /// The person was told that the store cannot be used.
    complained: bool,
    /// What could not be let go of when its file was closed.
    unreleased: Vec<(Spot, Vec<ClaimId>)>,
    /// When what failed is tried again.
    again_at: Option<Instant>,
    /// Plans went on, and their lenses say something else now.
    lenses_due: bool,
    /// When lenses were asked for anew.
    lenses_at: Option<Instant>,
}

impl Keeper {
    fn run(&mut self, notes: &Receiver<Note>) {
        loop {
            let first = match self.next_moment() {
                None => match notes.recv() {
                    Ok(note) => Some(note),
                    Err(_) => return,
                },
                Some(at) => match notes.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(note) => Some(note),
                    Err(RecvTimeoutError::Timeout) => {
                        // A lease ran out, or something is to be told.
                        self.touched.extend(self.open.keys().cloned());
                        None
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                },
            };
            // Many notes may mean the same thing: all are taken before anything is looked at.
            for note in first.into_iter().chain(notes.try_iter()) {
                if let Note::End(done) = note {
                    self.end();
                    let _ = done.send(());
                    return;
                }
                self.take(note);
            }
            self.settle();
        }
    }

    /// When something is to be looked at though nobody says so.
    fn next_moment(&self) -> Option<Instant> {
        let now = Time::now();
        // Also of one's own: another editor may have asked for it, and ended.
        let shown = self.open.values().filter_map(|open| open.shown.as_ref());
        let ends = shown
            .flat_map(|it| it.others.iter().chain(&it.own))
            .filter_map(|claim| Time::parse(&claim.status.expires_at))
            .map(|end| end.millis_since(now))
            .filter(|left| *left > 0)
            .map(|left| Instant::now() + Duration::from_millis(left.unsigned_abs() + 1));
        let lenses = self.lenses_at.filter(|_| self.lenses_due).map(|at| at + LENS_GAP);
        ends.chain(self.roots.iter().filter_map(Root::due_at)).chain(lenses).chain(self.again_at).min()
    }

    /// Has the editor ask for lenses again, if they are to be and were not just now.
    fn refresh_lenses(&mut self, now: Instant) {
        if self.lenses_due && self.lenses_at.is_none_or(|at| at + LENS_GAP <= now) {
            (self.lenses_due, self.lenses_at) = (false, Some(now));
            self.desk.outbox.leave(Message::RefreshLenses);
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Ready | Note::Folders => self.changed_folders = true,
            Note::Opened(uri, text) => self.opened(uri, text),
            Note::Changed(uri) => self.news(uri, News::Changed),
            Note::Unsaved(uri) => {
                if let Some(open) = self.open.get_mut(&uri) {
                    open.opened_unsaved();
                }
                self.news(uri, News::Changed);
            }
            Note::Saved(uri, text) => {
                if let Some(open) = self.open.get_mut(&uri) {
                    open.said_to_be_saved(text);
                }
                let saved = self.desk.documents.get(&uri);
                // It may name further plans now, or make a plain folder a project.
                self.changed_folders |= saved.is_some_and(|document| document.kind == Kind::Config);
                self.news(uri, News::Saved);
            }
            Note::Closed(uri) => {
                if let Some(open) = self.open.remove(&uri) {
                    let is_elsewhere = open.spot.as_ref().is_some_and(|spot| !self.is_folder(&spot.top));
                    self.changed_folders |= is_elsewhere;
                    self.put_down(open.spot, open.taken, "its file was closed");
                }
            }
            Note::Gone(path) => {
                let gone: Vec<Uri> = self
                    .open
                    .iter()
                    .filter(|(_, open)| is_within(&open.path, &path))
                    .map(|(uri, _)| uri.clone())
                    .collect();
                for uri in gone {
                    let Some(mut open) = self.open.remove(&uri) else { continue };
                    self.put_down(open.spot.clone(), std::mem::take(&mut open.taken), "its file is gone");
                    (open.gone, open.dirty) = (true, false);
                    self.desk.board.show_held(&uri, Vec::new());
                    self.open.insert(uri, open);
                }
            }
            Note::Stored => {
                self.rung.store(false, Ordering::SeqCst);
                self.look = true;
            }
            Note::Ended(proof) => {
                self.awaited.remove(&proof);
                self.touched.extend(self.open.keys().cloned());
                self.roots.iter_mut().for_each(|root| root.due = true);
            }
            Note::End(_) => {}
        }
    }

    fn opened(&mut self, uri: Uri, text: u64) {
        let Some(document) = self.desk.documents.get(&uri) else { return };
        let Some(path) = document.path.clone() else { return };
        let spot = person::spot(&path);
        if let Some(spot) = &spot {
            let top = spot.top.clone();
            if self.watch(&top) {
                self.tell_projects();
            }
            self.recognise(&document, &top);
        }
        let mut open = Open::new(path, spot, text);
        // An editor that opens it a second time did not close it.
        if let Some(before) = self.open.remove(&uri) {
            if before.spot.as_ref().map(|spot| &spot.project.id)
                == open.spot.as_ref().map(|spot| &spot.project.id)
            {
                open.follow(before);
            } else {
                self.put_down(before.spot, before.taken, "its file was opened again");
            }
        }
        self.open.insert(uri.clone(), open);
        self.touched.insert(uri);
    }

    /// Finds the projects of open files that were in none: their folder may be a repository by now.
    fn find_spots(&mut self) {
        let lost = self.open.iter().filter(|(_, open)| open.spot.is_none());
        let found: Vec<(Uri, Spot)> =
            lost.filter_map(|(uri, open)| Some((uri.clone(), person::spot(&open.path)?))).collect();
        for (uri, spot) in found {
            self.watch(&spot.top);
            if let Some(open) = self.open.get_mut(&uri) {
                open.spot = Some(spot);
            }
            self.touched.insert(uri);
        }
    }

    /// Looks for plans among the open files again, since the configuration may call others so.
    fn recognise_all(&mut self) {
        let tops = self
            .open
            .iter()
            .filter_map(|(uri, open)| Some((self.desk.documents.get(uri)?, open.spot.as_ref()?.top.clone())));
        for (document, top) in tops.collect::<Vec<_>>() {
            self.recognise(&document, &top);
        }
    }

    /// Whether the configuration calls the file a plan.
    fn recognise(&mut self, document: &Document, top: &Path) {
        let Some(path) = document.path.as_ref().and_then(|path| path.to_str()) else { return };
        let by_name = documents::kind_of(Path::new(path));
        if by_name != Kind::Other || ![".json", ".yaml", ".yml"].iter().any(|end| path.ends_with(end)) {
            return;
        }
        let session = self.desk.session(top);
        let is_plan = planning::is_named_plan(&session, Path::new(path));
        if is_plan == (document.kind != Kind::Other) {
            return;
        }
        if !is_plan {
            self.desk.documents.set_kind(&document.uri, Kind::Other);
            self.desk.board.show_problems(&document.uri, document.version, Vec::new());
        } else {
            let format = planning::format_of(path);
            self.desk.documents.set_kind(&document.uri, Kind::Plan(format));
            let is_news = format == Format::Json && self.formed.insert(path.to_owned());
            if is_news && self.desk.settings().registers_formatting {
                self.desk.outbox.leave(Message::Register(server::formatting_of_file(path)));
            }
            self.desk.checker.touch(&document.uri);
        }
    }

    fn news(&mut self, uri: Uri, news: News) {
        if let Some(open) = self.open.get_mut(&uri) {
            open.news = open.news.max(news);
            // A save that is followed by a change leaves changes.
            if news == News::Changed {
                open.news = News::Changed;
                open.gone = false;
            }
            self.touched.insert(uri);
        }
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.changed_folders) {
            self.find_spots();
            self.follow_folders();
            self.recognise_all();
        }
        if std::mem::take(&mut self.look) {
            self.look();
        }
        let mut error = None;
        for (spot, taken) in std::mem::take(&mut self.unreleased) {
            error = self.put_down(Some(spot), taken, "its file was closed").or(error);
        }
        for uri in std::mem::take(&mut self.touched) {
            error = self.refresh(&uri).err().or(error);
        }
        match error {
            Some(error) => self.complain(&error),
            // What fails then is told again.
            None if self.unreleased.is_empty() => (self.complained, self.again_at) = (false, None),
            None => {}
        }
        let now = Instant::now();
        for at in 0..self.roots.len() {
            if self.roots[at].is_due(now) {
                roots::tell_claims(&mut self.roots[at], &self.desk);
            }
        }
        self.refresh_lenses(now);
    }

    /// Tells what happened, and finds out what that touches.
    fn look(&mut self) {
        let mut went_on = false;
        for root in &mut self.roots {
            let mut claims = false;
            let mut plans = BTreeSet::new();
            loop {
                let rows = match root.events.look() {
                    Ok(rows) => rows,
                    Err(error) => {
                        tracing::warn!("cannot follow the events of {}: {error}", root.top.display());
                        break;
                    }
                };
                if rows.is_empty() {
                    break;
                }
                for row in rows {
                    claims |= row.kind.starts_with("claim.");
                    plans.extend(row.plan.clone());
                    if let Ok(mut event) = serde_json::to_value(events::event(&row)) {
                        event["root"] = json!(root.uri);
                        self.desk.outbox.leave(Message::Event(event));
                    }
                }
            }
            went_on |= !plans.is_empty();
            for plan in plans {
                self.progress.update(&root.session, &plan);
            }
            if claims {
                root.due = true;
                let touched = self.open.iter().filter(|(_, open)| {
                    open.spot.as_ref().is_some_and(|spot| spot.project.id == root.project)
                });
                self.touched.extend(touched.map(|(uri, _)| uri.clone()));
            }
        }
        let is_shown = || self.desk.documents.list().iter().any(|open| matches!(open.kind, Kind::Plan(_)));
        self.lenses_due |= went_on && self.desk.settings().lens_refresh && is_shown();
    }

    /// Looks at an open file: claims it or lets go of it, and shows who holds it.
    fn refresh(&mut self, uri: &Uri) -> Result<(), Error> {
        let Some(document) = self.desk.documents.get(uri) else { return Ok(()) };
        let Some(mut open) = self.open.remove(uri) else { return Ok(()) };
        let refreshed = self.refresh_open(&document, &mut open);
        self.open.insert(uri.clone(), open);
        refreshed
    }

    fn refresh_open(&mut self, document: &Document, open: &mut Open) -> Result<(), Error> {
        if open.wants_memory()
            && let Some(spot) = &open.spot
        {
            // A file that was deleted while no server looked, and is still open.
            match person::committed(self.desk.client.house(), spot) {
                Ok(Some(text)) => open.remember(&text),
                Ok(None) => {}
                Err(error) => tracing::warn!("the last commit of {}: {error}", open.path.display()),
            }
        }
        open.compare(&document.text, self.desk.settings().opens_clean);
        let Some(spot) = open.spot.clone().filter(|_| !open.gone) else { return Ok(()) };
        let house = self.desk.client.house();
        if !open.dirty && !open.taken.is_empty() {
            self.let_go(&spot, &open.taken, "its changes are saved or undone")?;
            open.taken.clear();
        }
        let mut standing = person::standing(house, &self.me.holder, &spot)?;
        let is_held = standing.own.iter().any(|claim| person::lasts(claim) || open.taken.contains(&claim.id));
        if open.dirty && !is_held {
            // Who let go of what we took, with nobody else at it, was the person.
            open.let_alone |= !open.taken.is_empty() && standing.others.is_empty() && standing.own.is_empty();
            open.taken.clear();
            if standing.others.is_empty() && !open.let_alone {
                if let Hold::Taken(ids) = person::hold(house, &self.me, &spot)? {
                    open.taken = ids;
                }
                standing = person::standing(house, &self.me.holder, &spot)?;
            }
        }
        self.await_ends(&standing.others);
        // Another editor of the same person may hold it for both.
        self.await_ends(&standing.own);
        self.show(document, open, &spot, &standing);
        Ok(())
    }

    fn show(&mut self, document: &Document, open: &mut Open, spot: &Spot, standing: &Standing) {
        let session = self.desk.session(&spot.top);
        let ownership = ownership(&session, spot, standing);
        let meets = open.dirty && ownership.own.is_empty() && !ownership.others.is_empty();
        self.desk.board.show_held(&document.uri, owned::diagnostics(document, &ownership, meets));
        if meets {
            let mut is_new = false;
            for claim in &ownership.others {
                is_new |= open.warned.insert((claim.status.holder_kind.clone(), claim.status.holder.clone()));
            }
            if let Some(sentence) = owned::meeting(&ownership).filter(|_| is_new) {
                let claims = &ownership.others;
                self.desk.outbox.leave(Message::Meeting(
                    json!({"uri": document.uri, "path": ownership.path, "claims": claims, "message": sentence}),
                ));
                if self.desk.settings().show_meetings {
                    self.desk.outbox.leave(Message::Show(MessageType::WARNING, sentence));
                }
            }
        }
        // Of a file that was just opened the editor may have asked before somebody took it.
        let is_news = match &open.shown {
            Some(shown) => *shown != ownership,
            None => !(ownership.others.is_empty() && ownership.own.is_empty()),
        };
        if is_news {
            self.lenses_due |= self.desk.settings().lens_refresh;
            if self.desk.settings().hint_refresh {
                self.desk.outbox.leave(Message::RefreshHints);
            }
        }
        open.shown = Some(ownership);
    }

    /// Whoever ends without a word writes nothing, and what they held is free. An attempt's claims are not:
    /// its conductor saves its work first, and says so.
    fn await_ends(&mut self, held: &[Held]) {
        let others = held.iter().filter(|claim| claim.holder.kind != HolderKind::Attempt);
        let me = self.me.alive.clone();
        for proof in others.filter_map(|claim| claim.alive.as_ref()).filter(|it| Some(*it) != me.as_ref()) {
            if self.awaited.len() >= MOST_AWAITED || self.awaited.contains(proof) || !life::holds(proof) {
                continue;
            }
            self.awaited.insert(proof.clone());
            let (proof, notes) = (proof.clone(), self.desk.notes());
            let wait = move || {
                if life::wait_for_end(&proof) {
                    let _ = notes.send(Note::Ended(proof));
                }
            };
            if let Err(error) = threads::start("kapell-awaits", Box::new(wait)) {
                tracing::warn!("no thread to wait for the end of a holder: {error}");
            }
        }
    }

    fn let_go(&self, spot: &Spot, taken: &[ClaimId], why: &str) -> Result<(), Error> {
        person::let_go(self.desk.client.house(), &self.me, &spot.project, taken, why)
    }

    /// Lets go of what was held for a file that is not open any more; what fails is tried again.
    fn put_down(&mut self, spot: Option<Spot>, taken: Vec<ClaimId>, why: &str) -> Option<Error> {
        let spot = spot.filter(|_| !taken.is_empty())?;
        let error = self.let_go(&spot, &taken, why).err()?;
        self.unreleased.push((spot, taken));
        self.again_at = Some(Instant::now() + AGAIN);
        Some(error)
    }

    fn end(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            if let Some(error) = self.put_down(open.spot, open.taken, "its editor was closed") {
                tracing::warn!("cannot let go of {}: {error}", open.path.display());
            }
        }
    }

    /// What keeps claims from being kept is told once.
    fn complain(&mut self, error: &Error) {
        tracing::warn!("{error}");
        self.again_at = Some(Instant::now() + AGAIN);
        if !std::mem::replace(&mut self.complained, true) {
            self.desk.outbox.leave(Message::Show(MessageType::ERROR, format!("kapell: {error}")));
        }
    }
}

/// Who holds a file, as it is shown.
pub fn ownership(session: &crate::services::Session, spot: &Spot, standing: &Standing) -> Ownership {
    let view = |held: &Held| claims::view(session, held, held.alive.as_deref().map(life::holds));
    Ownership {
        path: spot.paths.first().cloned(),
        pattern: spot.pattern().map(|pattern| pattern.as_str().to_owned()),
        others: standing.others.iter().map(view).collect(),
        own: standing.own.iter().map(view).collect(),
        asked: standing.asked,
    }
}
