//! Being told when files in a folder change.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use super::threads;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

/// How often is looked where the system tells nothing: often enough for a person who waits, and a
/// few microseconds of work each time.
const LOOK: Duration = Duration::from_millis(200);

/// Tells of changes as long as it lives.
///
/// The system tells of them by itself, but only so many at once may ask it to: Linux has 128
/// `fs.inotify.max_user_instances` for all programs of a user, editors included. Whoever comes after
/// that looks for itself, a few times a second.
#[derive(Debug)]
pub struct Notices(How);

#[derive(Debug)]
#[expect(dead_code, reason = "held for what its end does")]
enum How {
    Told(RecommendedWatcher),
    Looking(Sender<()>),
}

impl Notices {
    /// Has `tell` called, on another thread, with the files of `folder` that may have changed; with
    /// none, any may have. Reading is no change. A file in the place of the folder stands for itself.
    ///
    /// # Errors
    /// The folder cannot be looked at.
    pub fn of(folder: &Path, tell: impl Fn(&[PathBuf]) + Send + Sync + 'static) -> io::Result<Self> {
        let tell = Arc::new(tell);
        let told = Arc::clone(&tell);
        let handler = move |event: notify::Result<Event>| match event {
            Ok(event) if event.kind.is_access() => {}
            Ok(event) => told(&event.paths),
            Err(_) => told(&[]),
        };
        let told = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match told {
            Ok(watcher) => Ok(Self(How::Told(watcher))),
            Err(why) => {
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(
                        "the system tells of no changes ({why}): they are looked for every {} ms; \
                         raise fs.inotify.max_user_instances",
                        LOOK.as_millis()
                    );
                });
                Self::looking(folder, move |paths| tell(paths))
            }
        }
    }

    fn looking(folder: &Path, tell: impl Fn(&[PathBuf]) + Send + 'static) -> io::Result<Self> {
        let (end, ended) = channel::<()>();
        let folder = folder.to_owned();
        let mut before = seen(&folder)?;
        let look = move || {
            let mut changed: Vec<PathBuf> = Vec::new();
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let now = seen(&folder).unwrap_or_default();
                // Times of files are coarse: what was written right after a look may bear the time that
                // was seen then, so what changed once is told of twice.
                let again = std::mem::take(&mut changed);
                changed.extend(now.iter().filter(|(path, is)| before.get(*path) != Some(*is)).map(path_of));
                changed.extend(before.iter().filter(|(path, _)| !now.contains_key(*path)).map(path_of));
                before = now;
                if !changed.is_empty() || !again.is_empty() {
                    tell(&[again, changed.clone()].concat());
                }
            }
        };
        threads::start("kapell-look", Box::new(look))?;
        Ok(Self(How::Looking(end)))
    }

    /// Whether the system tells; if not, changes are found when they are looked for.
    pub fn is_told(&self) -> bool {
        matches!(self.0, How::Told(_))
    }
}

/// What tells one state of a file from another.
type Seen = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

fn seen(folder: &Path) -> io::Result<Seen> {
    let mut seen = Seen::new();
    if let Ok(file) = fs::metadata(folder)
        && file.is_file()
    {
        seen.insert(folder.to_owned(), (file.modified().ok(), file.len()));
        return Ok(seen);
    }
    for entry in fs::read_dir(folder)?.flatten() {
        // What is gone by now was there before, if it was.
        if let Ok(file) = entry.metadata() {
            seen.insert(entry.path(), (file.modified().ok(), file.len()));
        }
    }
    Ok(seen)
}

fn path_of((path, _): (&PathBuf, &(Option<SystemTime>, u64))) -> PathBuf {
    path.clone()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Far more than it takes; only a fault lasts as long.
    const DEADLINE: Duration = Duration::from_secs(20);

    #[test]
    fn a_change_is_found_also_where_nobody_tells() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bell");
        fs::write(&file, ".").unwrap();
        let (sender, changed) = channel();
        let tell = move |paths: &[PathBuf]| drop(sender.send(paths.to_vec()));
        let notices = Notices::looking(folder.path(), tell).unwrap();
        assert!(!notices.is_told());
        fs::write(&file, ".").unwrap();
        // What was written with the same words is a change all the same.
        while !changed.recv_timeout(DEADLINE).unwrap().contains(&file) {}
        fs::remove_file(&file).unwrap();
        while !changed.recv_timeout(DEADLINE).unwrap().contains(&file) {}
        drop(notices);
        while changed.recv_timeout(DEADLINE).is_ok() {}
    }
}
