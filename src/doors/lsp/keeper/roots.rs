//! The projects that are watched: those of the workspace's folders, and those of open files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

use serde_json::{Value, json};

use super::Keeper;
use crate::api::methods::claims;
use crate::base::notices::Notices;
use crate::base::sorting;
use crate::doors::lsp::desk::{Desk, Note};
use crate::doors::lsp::keeping::Root;
use crate::doors::lsp::outbox::Message;
use crate::doors::lsp::types::Uri;
use crate::services::editing::person;
use crate::services::following::{Interest, Reader};
use crate::services::project::Project;
use crate::services::{Error, Session};
use crate::store::watch::{Watch, Woken};

/// At most so many claims are told of one project; whoever wants more asks for pages.
const MOST_CLAIMS: usize = 500;

impl Keeper {
    /// Looks at the folders of the workspace again: watches the projects of those that came, and leaves
    /// those alone in which there is neither a folder nor an open file any more.
    pub(super) fn follow_folders(&mut self) {
        let top = |folder: &PathBuf| top_of(&self.desk.session(folder)).map(|(top, _)| top);
        let folders: Vec<_> = self.desk.folders().into_iter().map(|folder| (top(&folder), folder)).collect();
        self.folders = folders.into_iter().map(|(top, folder)| (folder, top)).collect();
        for top in self.folders.iter().filter_map(|(_, top)| top.clone()).collect::<Vec<_>>() {
            self.watch(&top);
        }
        let open: HashSet<_> =
            self.open.values().filter_map(|open| open.spot.as_ref().map(|spot| spot.top.clone())).collect();
        let is_left = |root: &Root| !self.is_folder(&root.top) && !open.contains(&root.top);
        let left: Vec<PathBuf> =
            self.roots.iter().filter(|root| is_left(root)).map(|root| root.top.clone()).collect();
        for top in left {
            self.progress.leave(&top);
            self.roots.retain(|root| root.top != top);
        }
        self.tell_projects();
    }

    /// Whether a folder of the workspace lies in that checkout.
    pub(super) fn is_folder(&self, top: &Path) -> bool {
        self.folders.iter().any(|(_, of)| of.as_deref() == Some(top))
    }

    /// Tells which projects there are, and which folders of the workspace lie in none.
    pub(super) fn tell_projects(&mut self) {
        // A folder that was none may have become a repository by now.
        for (folder, top) in self.folders.iter_mut().filter(|(_, top)| top.is_none()) {
            *top = top_of(&self.desk.session(folder)).map(|(top, _)| top);
        }
        let within = |top: Option<&Path>| -> Vec<(&PathBuf, Uri)> {
            let folders = self.folders.iter().filter(|(_, of)| of.as_deref() == top);
            folders.filter_map(|(folder, _)| Some((folder, Uri::from_file_path(folder)?))).collect()
        };
        let folders = |root: &Root| -> Vec<Value> {
            // The editor may know the folder by a link to it.
            let path = |folder: &PathBuf| {
                let real = folder.canonicalize().ok()?;
                Some(real.strip_prefix(&root.top).ok()?.to_string_lossy().into_owned())
            };
            within(Some(&root.top))
                .into_iter()
                .map(|(folder, uri)| json!({"uri": uri, "path": path(folder).unwrap_or_default()}))
                .collect()
        };
        // In the order of the folders, and those of open files alone at the end.
        let place = |root: &Root| self.folders.iter().position(|(_, of)| of.as_ref() == Some(&root.top));
        let mut roots: Vec<&Root> = self.roots.iter().collect();
        sorting::sort_by_key(&mut roots, |root| place(root).unwrap_or(usize::MAX));
        let project = |root: &&Root| {
            json!({
                "root": root.uri,
                "project": root.project.as_str(),
                "name": root.name,
                "folders": folders(root),
            })
        };
        let told = json!({
            "projects": roots.iter().map(project).collect::<Vec<_>>(),
            "outside": within(None).into_iter().map(|(_, uri)| uri).collect::<Vec<_>>(),
        });
        if self.projects.as_ref() != Some(&told) {
            self.desk.outbox.leave(Message::Projects(told.clone()));
            self.projects = Some(told);
        }
    }

    /// Watches the project of a folder, if it is in one; tells whether it was not watched before.
    pub(super) fn watch(&mut self, folder: &Path) -> bool {
        let session = self.desk.session(folder);
        let Some((top, project)) = top_of(&session) else { return false };
        // A plain folder that became a repository is another project.
        self.roots.retain(|root| root.top != top || root.project == project.id);
        self.watch_person(&session.house.person_config);
        if self.roots.iter().any(|root| root.top == top) {
            return false;
        }
        let Some(uri) = Uri::from_file_path(&top) else { return false };
        // Whatever is asked about the project is asked at its top.
        let session = self.desk.session(&top);
        let begun = || -> Result<Reader, Error> {
            self.listen()?;
            person::bury(&session.house, &self.me.holder, &project)?;
            Reader::new(&session, Interest::default(), None)
        };
        match begun() {
            Ok(events) => {
                self.rings = true;
                self.progress.begin(&session);
                let config = watch_config(&self.desk, &top.join("kapell.toml"), &top);
                self.roots.push(Root {
                    project: project.id,
                    name: top.file_name().unwrap_or(top.as_os_str()).to_string_lossy().into_owned(),
                    top,
                    uri,
                    session: session.clone(),
                    events,
                    due: true,
                    told_at: None,
                    told: None,
                    config,
                });
            }
            Err(error) => {
                self.complain(&error);
                return false;
            }
        }
        true
    }

    /// Watches the person's own configuration where it lies, or the folder in which its folder will be made.
    fn watch_person(&mut self, file: &Path) {
        let Some(folder) = file.ancestors().skip(1).find(|folder| folder.is_dir()) else { return };
        if self.person_config.as_ref().is_none_or(|(watched, _)| watched != folder) {
            let Some(watched) = watch_config(&self.desk, file, folder) else { return };
            let before = self.person_config.replace((folder.to_owned(), watched));
            if before.is_some() {
                // The file may have been written before anybody watched its folder.
                self.desk.checker.touch_all();
            }
        }
    }

    /// Listens to the bell, from the first time on.
    fn listen(&self) -> Result<(), Error> {
        let house = self.desk.client.house();
        house.store()?;
        if self.rings {
            return Ok(());
        }
        let watch = Watch::new(&house.root)?;
        let (notes, rung) = (self.desk.notes(), self.rung.clone());
        let ring = move || pass_on(&watch, &notes, &rung);
        crate::base::threads::start("kapell-bell", Box::new(ring))
            .map_err(|error| Error::system("a thread for the bell", error))?;
        Ok(())
    }
}

/// The top of the checkout that a folder lies in, with its project. A plain folder is one by its
/// `kapell.toml`, since workers can share it only where that says so; other folders are left alone.
fn top_of(session: &Session) -> Option<(PathBuf, Project)> {
    let project = session.project().ok()?;
    let top = project.top.clone()?;
    (project.repository.is_some() || top.join("kapell.toml").is_file()).then_some((top, project))
}

/// Has plans checked again when a configuration is another: not every editor watches files for its servers, and
/// those that do watch only what lies in the workspace.
fn watch_config(desk: &Arc<Desk>, file: &Path, folder: &Path) -> Option<Notices> {
    let (desk, own) = (desk.clone(), file.to_owned());
    let tell = move |paths: &[PathBuf]| {
        // Itself, or a folder in which it lies.
        if paths.is_empty() || paths.iter().any(|path| own.starts_with(path)) {
            desk.checker.touch_all();
            // A plain folder is a project by its configuration, which also says what is a plan.
            desk.note(Note::Folders);
        }
    };
    // A file that is replaced by another is seen in its folder only.
    let watched = Notices::of(folder, tell);
    watched.inspect_err(|error| tracing::debug!("{} is not watched: {error}", file.display())).ok()
}

/// Passes the bell on, one note at a time.
fn pass_on(watch: &Watch, notes: &Sender<Note>, rung: &AtomicBool) {
    loop {
        // Nobody calls this watch.
        if watch.wait(None) == Woken::Called {
            return;
        }
        if !rung.swap(true, Ordering::SeqCst) && notes.send(Note::Stored).is_err() {
            return;
        }
    }
}

/// Tells the claims of a project, if they are others than were told.
pub(super) fn tell_claims(root: &mut Root, desk: &Desk) {
    root.due = false;
    root.told_at = Some(Instant::now());
    match claims::all(&root.session, MOST_CLAIMS) {
        Ok((claims, total)) => {
            let mut params = json!({"root": root.uri, "claims": claims, "total": total});
            // `status` with scope `claims` goes on from there.
            let more = claims.last().filter(|_| (claims.len() as u64) < total);
            if let Some(last) = more {
                params["next_cursor"] = json!(last.status.claim_id.to_string());
            }
            // What changed may be among those that are not told.
            let told = (params, more.and_then(|_| claims::newest(&root.session).ok()));
            if root.told.as_ref() != Some(&told) {
                desk.outbox.leave(Message::Claims(told.0.clone()));
                root.told = Some(told);
            }
        }
        Err(error) => tracing::warn!("the claims of {}: {}", root.top.display(), error.message),
    }
}
