//! Shims that wait for their jobs, so that a worker need not wait for its shim.
//!
//! A spare has its process, its lock, its socket, its files and the foundation of its wall in the folder of
//! a run that is yet to come. Whoever begins a run calls it by the name of a spare, writes the job into the
//! folder and says so. Killed at any point, it is as before a start without a spare: a run folder whose lock
//! was never taken (a spare that hears of its starter's end takes its files away), or one whose shim vanished.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use super::client::{self, Berth, ClientError, Line, Started, failed, write_job};
use super::job::Job;
use super::order::{Ahead, READY};
use super::{SPARE, files};
use crate::base::failpoint::Point;

/// What is made before the job is known. To make a file takes a third of a millisecond on a disk that is
/// just recording something else, ten times as long as to write to one.
#[derive(Debug, Clone, Default)]
pub struct MadeAhead {
    /// What the walls of the runs will hide; empty where they have none.
    pub hidden: Vec<PathBuf>,
    /// Folders of this user alone in the run folder, the outer first.
    pub folders: &'static [&'static str],
    /// Empty files of this user alone in the run folder, to be written over.
    pub files: &'static [&'static str],
}

/// Spare shims, at most a few.
#[derive(Debug)]
pub struct Spares {
    exe: PathBuf,
    folder: PathBuf,
    ahead: MadeAhead,
    most: usize,
    name: fn() -> String,
    waiting: Mutex<Vec<Spare>>,
    filling: Mutex<()>,
}

impl Spares {
    /// None yet. Runs have their folders in `folder`, and names that `name` makes; `exe` is the `kapell`
    /// program.
    pub fn new(exe: &Path, folder: &Path, ahead: MadeAhead, most: usize, name: fn() -> String) -> Self {
        let (waiting, filling) = (Mutex::default(), Mutex::default());
        Self { exe: exe.to_owned(), folder: folder.to_owned(), ahead, most, name, waiting, filling }
    }

    /// Starts as many as are missing. One that cannot be started is done without.
    pub fn refill(&self) {
        let Ok(_filling) = self.filling.try_lock() else { return };
        while self.waiting().iter().filter(|spare| !spare.is_reserved).count() < self.most {
            match Spare::start(self) {
                Ok(spare) => self.waiting().push(spare),
                Err(why) => {
                    tracing::info!("no spare shim: {why}");
                    return;
                }
            }
        }
    }

    /// Waits until all that were started have everything ready. One that is taken before goes on with that first.
    ///
    /// # Errors
    /// A spare ended.
    pub fn settle(&self) -> io::Result<()> {
        self.waiting().iter_mut().try_for_each(Spare::settle)
    }

    /// The name of a run that has a shim already. It is the caller's until it is taken or
    /// [given back](Self::give_back).
    pub fn reserve(&self) -> Option<String> {
        let mut waiting = self.waiting();
        // What was killed is as if it had never been. It lets go of its lock by itself.
        waiting.retain_mut(|spare| spare.is_reserved || spare.is_there());
        let spare = waiting.iter_mut().find(|spare| !spare.is_reserved)?;
        spare.is_reserved = true;
        Some(spare.folder.file_name()?.to_string_lossy().into_owned())
    }

    /// Lets somebody else have the name.
    pub fn give_back(&self, name: &str) {
        let folder = self.folder.join(name);
        for spare in self.waiting().iter_mut().filter(|spare| spare.folder == folder) {
            spare.is_reserved = false;
        }
    }

    /// Ends the spare of that name, if it still is one: its run does not come about.
    pub fn dismiss(&self, name: &str) {
        drop(self.take(Path::new(name)));
    }

    /// Whether a shim waits for the run of that name.
    pub fn has(&self, name: &str) -> bool {
        self.waiting().iter().any(|spare| spare.folder.file_name() == Some(name.as_ref()))
    }

    /// The shim that waits in `run_dir`, if one does.
    pub fn take(&self, run_dir: &Path) -> Option<Berthed> {
        let mut waiting = self.waiting();
        // By its name: a path may be written in many ways, and nobody else is called so.
        let name = run_dir.file_name()?;
        let at = waiting.iter().position(|spare| spare.folder.file_name() == Some(name))?;
        Some(Berthed { spare: waiting.swap_remove(at) })
    }

    /// Removes what spares left whose conductors were killed together with them: folders with a lock that
    /// nobody holds and a job that was never written.
    pub fn sweep(&self) {
        for left in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let folder = left.path();
            let had_no_job = fs::metadata(folder.join(files::JOB)).is_ok_and(|job| job.len() == 0);
            if had_no_job && client::was_started(&folder) && !client::is_alive(&folder) {
                let _ = fs::remove_dir_all(folder);
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Spare>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shim without a job. Dropped, it ends, and nothing is left of it.
#[derive(Debug)]
struct Spare {
    folder: PathBuf,
    waiting: Option<Waiting>,
    is_reserved: bool,
}

#[derive(Debug)]
struct Waiting {
    /// Where the order is given. Its end is told by the system, also when this process is killed.
    line: UnixStream,
    shim: Child,
    is_settled: bool,
}

impl Spare {
    fn start(spares: &Spares) -> Result<Self, ClientError> {
        let berth = Berth::make(&spares.folder.join((spares.name)()))?;
        let folder = berth.folder.clone();
        furnish(&folder, &spares.ahead).map_err(failed("furnish", &folder))?;
        let (line, theirs) = UnixStream::pair().map_err(failed("speak to a shim in", &folder))?;
        let shim = berth.spawn(&spares.exe, &[SPARE], OwnedFd::from(theirs).into())?;
        let waiting = Some(Waiting { line, shim, is_settled: false });
        let mut spare = Self { folder, waiting, is_reserved: false };
        let MadeAhead { hidden, folders, files } = &spares.ahead;
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let ahead = Ahead { hidden: hidden.clone(), folders: names(folders), files: names(files) };
        let ahead = serde_json::to_vec(&ahead);
        let told = ahead.map_err(Into::into).and_then(|ahead| spare.tell(&ahead));
        told.map_err(failed("speak to the shim in", &spare.folder))?;
        Ok(spare)
    }

    fn is_there(&mut self) -> bool {
        self.waiting.as_mut().is_some_and(|waiting| matches!(waiting.shim.try_wait(), Ok(None)))
    }

    fn settle(&mut self) -> io::Result<()> {
        match &mut self.waiting {
            Some(waiting) if !waiting.is_settled => {
                waiting.line.read_exact(&mut [0; READY.len()])?;
                waiting.is_settled = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn tell(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(waiting) = &mut self.waiting else { return Ok(()) };
        waiting.line.write_all(&[line, b"\n"].concat())
    }
}

fn furnish(folder: &Path, ahead: &MadeAhead) -> io::Result<()> {
    for name in ahead.folders {
        DirBuilder::new().mode(0o700).create(folder.join(name))?;
    }
    for name in ahead.files.iter().chain([&files::JOB]) {
        File::options().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
    }
    Ok(())
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(Waiting { line, mut shim, .. }) = self.waiting.take() {
            drop(line);
            let _ = shim.wait();
        }
    }
}

/// A shim in the folder of its run that waits for the job. Dropped, the run has not begun.
#[derive(Debug)]
pub struct Berthed {
    spare: Spare,
}

impl Berthed {
    /// Has the shim run `job`. Should it have been killed meanwhile, that is seen as with any shim.
    ///
    /// # Errors
    /// The job cannot be written.
    pub fn start(mut self, job: &Job) -> Result<Started, ClientError> {
        Point::LaunchLocked.reach()?;
        write_job(&self.spare.folder.join(files::JOB), job)?;
        Point::LaunchReady.reach()?;
        if let Err(error) = self.spare.tell(b"start") {
            tracing::info!("a spare shim is gone: {error}");
        }
        let Some(Waiting { shim, line, .. }) = self.spare.waiting.take() else {
            return Err(ClientError::NotRunning { run_dir: self.spare.folder.clone() });
        };
        Point::LaunchDone.reach()?;
        Ok(Started { shim, line: Some(Line(line)) })
    }
}
