//! Shims that wait for their jobs, so that a worker need not wait for its shim.
//!
//! A spare has its process, its lock, its socket, its files and the foundation of its wall in a folder
//! beside the runs'. To start a run is to rename that folder, to write the job into it and to say so.
//! Killed at any point, it is as before a start without a spare: a run folder whose lock was never taken
//! (a spare that hears of its starter's end takes its files away), or one whose shim vanished.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use super::client::{self, Berth, ClientError, Started, failed, write_job};
use super::job::Job;
use super::order::{Ahead, READY};
use super::{SPARE, files};
use crate::base::failpoint::Point;
use crate::base::ids::random_tail;

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
    waiting: Mutex<Vec<Spare>>,
    filling: Mutex<()>,
}

impl Spares {
    /// None yet. Folders of theirs are made in `folder`, which is on the disk of the runs; `exe` is the
    /// `kapell` program.
    pub fn new(exe: &Path, folder: &Path, ahead: MadeAhead, most: usize) -> Self {
        let (waiting, filling) = (Mutex::default(), Mutex::default());
        Self { exe: exe.to_owned(), folder: folder.to_owned(), ahead, most, waiting, filling }
    }

    /// Starts as many as are missing. One that cannot be started is done without.
    pub fn refill(&self) {
        let Ok(_filling) = self.filling.try_lock() else { return };
        while self.waiting().len() < self.most {
            match Spare::start(self) {
                Ok(spare) => self.waiting().push(spare),
                Err(why) => {
                    tracing::debug!("no spare shim: {why}");
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

    /// Gives a spare to the run in `run_dir`, which must not exist yet, with the spare's files in it.
    pub fn take(&self, run_dir: &Path) -> Option<Berthed> {
        loop {
            let mut spare = self.waiting().pop()?;
            if !spare.is_there() {
                continue;
            }
            let renamed = fs::rename(&spare.folder, run_dir).or_else(|error| {
                // The first run of all makes the folder of the runs.
                let folder = run_dir.parent().filter(|folder| !folder.exists()).ok_or(error)?;
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                fs::rename(&spare.folder, run_dir)
            });
            return match renamed {
                Ok(()) => Some(Berthed { spare, run_dir: run_dir.to_owned() }),
                Err(_) => {
                    self.waiting().push(spare);
                    None
                }
            };
        }
    }

    /// Removes what spares left whose conductors were killed together with them.
    pub fn sweep(&self) {
        for left in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !client::is_alive(&left.path()) {
                // One that is just being made finds another name.
                let _ = fs::remove_dir_all(left.path());
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
        let berth = Berth::make(&spares.folder.join(random_tail(10)))?;
        let folder = berth.folder.clone();
        make(&folder, &spares.ahead).map_err(failed("furnish", &folder))?;
        let (line, theirs) = UnixStream::pair().map_err(failed("speak to a shim in", &folder))?;
        let shim = berth.spawn(&spares.exe, &[SPARE], OwnedFd::from(theirs).into())?;
        let mut spare = Self { folder, waiting: Some(Waiting { line, shim, is_settled: false }) };
        let ahead = serde_json::to_vec(&Ahead { hidden: spares.ahead.hidden.clone() });
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

fn make(folder: &Path, ahead: &MadeAhead) -> io::Result<()> {
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
    run_dir: PathBuf,
}

impl Berthed {
    /// Has the shim run `job`. Should it have been killed meanwhile, that is seen as with any shim.
    ///
    /// # Errors
    /// The job cannot be written.
    pub fn start(mut self, job: &Job) -> Result<Started, ClientError> {
        Point::LaunchLocked.reach()?;
        write_job(&self.run_dir.join(files::JOB), job)?;
        Point::LaunchReady.reach()?;
        if let Err(error) = self.spare.tell(b"start") {
            tracing::debug!("a spare shim is gone: {error}");
        }
        let Some(Waiting { shim, .. }) = self.spare.waiting.take() else {
            return Err(ClientError::NotRunning { run_dir: self.run_dir });
        };
        Point::LaunchDone.reach()?;
        Ok(Started { shim })
    }
}
