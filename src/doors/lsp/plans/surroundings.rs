//! What a plan can name: workers and the like of its project's configuration, and files.

use std::path::{Path, PathBuf};

use super::super::desk::Desk;
use super::super::documents::Document;
use crate::base::ids::ProviderName;
use crate::base::sorting;
use crate::services::Session;
use crate::sys::config::resolved::TargetKind;

/// A name with what it is.
pub type Name = (String, String);

/// The names of a project.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// What a task can be given to.
    pub targets: Vec<Name>,
    /// Parts that somebody plays.
    pub roles: Vec<Name>,
    /// Kinds of agent.
    pub providers: Vec<Name>,
    /// Checkouts beside the project.
    pub environments: Vec<Name>,
    /// Stages that start one another.
    pub pipelines: Vec<Name>,
}

/// The folder of a document that exists.
pub fn folder_of(desk: &Desk, document: &Document) -> PathBuf {
    let first = desk.first_root();
    let folder = document.path.as_deref().and_then(Path::parent).unwrap_or(&first);
    // A file in a folder that is not there yet belongs to the one above.
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(&first).to_owned()
}

/// A session about a document's project.
pub fn session(desk: &Desk, document: &Document) -> Session {
    desk.session(&folder_of(desk, document))
}

/// What can be named; nothing where the configuration cannot be used.
pub fn names(session: &Session) -> Names {
    let Ok(config) = session.project().and_then(|project| session.config(&project)) else {
        return Names::default();
    };
    let mut names = Names::default();
    names.targets.push(("auto".to_owned(), "whoever fits best".to_owned()));
    for target in config.targets().into_iter().filter(|target| !target.protected) {
        let kind = match target.kind {
            TargetKind::Worker => "worker",
            TargetKind::Group => "group",
            TargetKind::Provider => "provider",
        };
        if !names.targets.iter().any(|(name, _)| *name == target.name) {
            names.targets.push((target.name, kind.to_owned()));
        }
    }
    // Also one that a worker is called after; not one all of whose workers are protected.
    let is_open = |name: &&ProviderName| {
        let mut workers = config.workers.values().filter(|worker| worker.provider == **name).peekable();
        workers.peek().is_none() || workers.any(|worker| !worker.protected)
    };
    let providers = config.providers.keys().filter(is_open);
    names.providers = providers.map(|name| (name.to_string(), "provider".to_owned())).collect();
    for role in ["planner", "judge", "oracle", "librarian"] {
        if let Some(who) = config.roles.get(role) {
            names.roles.push((role.to_owned(), format!("role, played by {who}")));
        }
    }
    names.environments =
        config.environments.names.iter().map(|name| (name.clone(), "environment".to_owned())).collect();
    names.pipelines = config.pipelines.keys().map(|name| (name.clone(), "pipeline".to_owned())).collect();
    names
}

/// What lies in the folder that a path begins with: names relative to `top`, folders with a slash.
pub fn entries(top: &Path, typed: &str) -> Vec<String> {
    /// A folder of more is not chosen from by a list.
    const MOST: usize = 500;
    let folder = typed.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_within = !folder.split('/').any(|segment| segment == "..") && !folder.starts_with('/');
    if !is_within {
        return Vec::new();
    }
    let Ok(found) = top.join(folder).read_dir() else { return Vec::new() };
    let mut names: Vec<String> = found
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| name != ".git")?;
            let slash = if entry.file_type().ok()?.is_dir() { "/" } else { "" };
            Some(if folder.is_empty() { format!("{name}{slash}") } else { format!("{folder}/{name}{slash}") })
        })
        .take(MOST)
        .collect();
    sorting::sort(&mut names);
    names
}
