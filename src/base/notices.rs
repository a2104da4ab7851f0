//! Being told when files in a folder change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use notify::{Config, Event, PollWatcher, RecursiveMode, Watcher};

/// How often is looked where the system tells nothing: often enough for a person who waits, and a
/// few microseconds of work each time.
const LOOK: Duration = Duration::from_millis(200);

/// Tells of changes as long as it lives.
///
/// The system tells of them by itself, but only so many at once may ask it to: Linux has 128
/// `fs.inotify.max_user_instances` for all programs of a user, editors included. Whoever comes after
/// that looks for itself, a few times a second.
pub struct Notices {
    _watcher: Box<dyn Watcher + Send + Sync>,
    is_told: bool,
}

impl Notices {
    /// Has `tell` called, on another thread, with the files of `folder` that may have changed; with
    /// none, any may have. Reading is no change.
    ///
    /// # Errors
    /// The folder cannot be looked at.
    pub fn of(folder: &Path, tell: impl Fn(&[PathBuf]) + Send + Sync + 'static) -> notify::Result<Self> {
        let tell = Arc::new(tell);
        let handler = || {
            let tell = Arc::clone(&tell);
            move |event: notify::Result<Event>| match event {
                Ok(event) if event.kind.is_access() => {}
                Ok(event) => tell(&event.paths),
                Err(_) => tell(&[]),
            }
        };
        let told = notify::recommended_watcher(handler()).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match told {
            Ok(watcher) => Ok(Self { _watcher: Box::new(watcher), is_told: true }),
            Err(why) => {
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(
                        "the system tells of no changes ({why}): they are looked for every {} ms; \
                         raise fs.inotify.max_user_instances",
                        LOOK.as_millis()
                    );
                });
                Self::looking(folder, handler())
            }
        }
    }

    fn looking(
        folder: &Path,
        handler: impl FnMut(notify::Result<Event>) + Send + 'static,
    ) -> notify::Result<Self> {
        let mut watcher = PollWatcher::new(handler, Config::default().with_poll_interval(LOOK))?;
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(Self { _watcher: Box::new(watcher), is_told: false })
    }

    /// Whether the system tells; if not, changes are found when they are looked for.
    pub fn is_told(&self) -> bool {
        self.is_told
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").field("is_told", &self.is_told).finish_non_exhaustive()
    }
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
        std::fs::write(&file, ".").unwrap();
        let (sender, changed) = channel();
        let handler = move |event: notify::Result<Event>| sender.send(event.unwrap().paths).unwrap();
        let notices = Notices::looking(folder.path(), handler).unwrap();
        assert!(!notices.is_told());
        std::fs::write(&file, ".").unwrap();
        // What was written with the same words is a change all the same.
        while !changed.recv_timeout(DEADLINE).unwrap().contains(&file) {}
    }
}
