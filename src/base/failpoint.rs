//! Fail points: named places between two steps, where a debug build can be made to die or to fail.
//!
//! `KAPELL_FAILPOINT` arms them, as `NAME:ACTION` with commas between several:
//!
//! | action | at the point |
//! |---|---|
//! | `kill` | the process kills itself with SIGKILL |
//! | `error`, `enospc`, `eacces` | the step fails with EIO, ENOSPC or EACCES |
//! | `clock+SECONDS`, `clock-SECONDS` | the wall clock of the process jumps |
//!
//! `@N` behind the action means the Nth time that the process comes there (else the first), `@N+` every
//! time from then on. What was done is appended to the file that `KAPELL_FAILPOINT_LOG` names; without
//! `+` it is done once by all processes that have this log. `KAPELL_FAILPOINT_MEMORY` names a folder whose
//! `proc` and `sys` tell how memory is, in place of the system's. Nothing of this is in a release.

use std::io;

/// What an armed point made of its step.
#[derive(Debug, thiserror::Error)]
#[error("fail point {}: {source}", point.name())]
pub struct Fault {
    /// Where.
    pub point: Point,
    /// What the system is made to say.
    pub source: io::Error,
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(fault.source.kind(), fault)
    }
}

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $point:ident = $name:literal;)*) => {
        /// All places, in the order in which a task passes them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[doc = $doc])+ $point,)*
        }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// Those that a task passes; environments and standing sessions have others.
            pub fn of_tasks() -> Vec<Self> {
                let others = ["environment.", "backup.", "restore.", "session."];
                let is_other = |point: &Self| others.iter().any(|prefix| point.name().starts_with(prefix));
                Self::ALL.iter().copied().filter(|point| !is_other(point)).collect()
            }

            /// Its name in `KAPELL_FAILPOINT`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// The database's file is there, and empty.
    StoreMade = "store.made";
    /// A step of the migration is written, and not committed.
    MigrationWritten = "migration.written";
    /// A step of the migration is committed, and not folded into the file.
    MigrationCommitted = "migration.committed";
    /// Any change of the database is made, and not committed.
    StoreChanged = "store.changed";
    /// Any change of the database is committed, and nobody was told.
    StoreCommitted = "store.committed";
    /// Any call of git is about to be made.
    GitBefore = "git.before";
    /// Any call of git has ended, and what it said was not read.
    GitAfter = "git.after";
    /// The ref that collects a plan's work is there, and the dispatch is not recorded.
    DispatchGround = "dispatch.ground";
    /// The dispatch is recorded, and no conductor was started.
    DispatchRecorded = "dispatch.recorded";
    /// The conductor's process was started, and the door has not seen it in the registry.
    DispatchStarted = "dispatch.started";
    /// The conductor has the plan's lock, and is not in the registry.
    ConductorLocked = "conductor.locked";
    /// The conductor is in the registry, and has looked at nothing.
    ConductorRegistered = "conductor.registered";
    /// An attempt is recorded, and nothing of it is made.
    AttemptBegun = "attempt.begun";
    /// git knows the attempt's worktree, which has no files.
    WorktreeRegistered = "worktree.registered";
    /// A spare is about to become the attempt's worktree, and still where it was.
    SpareUnmarked = "spare.unmarked";
    /// A spare is in the attempt's place, and git knows it by its old name.
    SpareHandedOver = "spare.handed_over";
    /// The worktree has its files, and is not marked as whole.
    WorktreeCheckedOut = "worktree.checked_out";
    /// The worktree and the agent's files are there, and no shim was started.
    LaunchPrepared = "launch.prepared";
    /// The run has its lock, and neither job nor socket.
    LaunchLocked = "launch.locked";
    /// The job and the socket are there, and no process of the shim's.
    LaunchReady = "launch.ready";
    /// The shim's process was started; it goes on by itself.
    LaunchDone = "launch.done";
    /// The shim has taken the run, and has not started the worker.
    ShimTaken = "shim.taken";
    /// The worker runs.
    ShimBegun = "shim.begun";
    /// The worker has ended with all that it started, and its end is not written.
    ShimEnded = "shim.ended";
    /// The worker's end is written, and has not got its name.
    ShimWritten = "shim.written";
    /// The worker's end is recorded, and the shim still there.
    ShimRecorded = "shim.recorded";
    /// The conductor has seen the worker's end, and not recorded it.
    EndSeen = "end.seen";
    /// The worker's end is recorded, and its tree not saved.
    EndRecorded = "end.recorded";
    /// The tree's content is written into git, without a commit.
    SnapshotCaptured = "snapshot.captured";
    /// The commit of the tree is written, and no ref holds it.
    SnapshotCommitted = "snapshot.committed";
    /// The ref holds the tree, and that is not recorded.
    SnapshotHeld = "snapshot.held";
    /// The tree is recorded as saved, and no gate has run.
    SaveRecorded = "save.recorded";
    /// The commit that may land is built, and no gate has run.
    JudgeBuilt = "judge.built";
    /// A gate's tree and folder are ready, and its command was not started.
    GatePrepared = "gate.prepared";
    /// A gate's command runs, or has ended unseen.
    GateStarted = "gate.started";
    /// All gates have ended, and the verdict is not recorded.
    JudgeConcluded = "judge.concluded";
    /// The verdict is recorded, and nothing has come of it.
    JudgeRecorded = "judge.recorded";
    /// The task is recorded as landing, and the landing not queued.
    LandingAllowed = "landing.allowed";
    /// The landing is queued, and nothing was merged.
    LandingQueued = "landing.queued";
    /// The merged tree is written, without a commit.
    LandingMerged = "landing.merged";
    /// The commit that is to become the branch is written, and not proved.
    LandingCommitted = "landing.committed";
    /// The commit that is to become the branch is recorded, and the branch not moved.
    LandingJournaled = "landing.journaled";
    /// The turn in the git queue is taken, and the branch not moved.
    LandingTurn = "landing.turn";
    /// The branch is moved, and that is not recorded.
    LandingMoved = "landing.moved";
    /// The landing is recorded, and the target has not followed.
    LandingRecorded = "landing.recorded";
    /// The target has followed, and the task is not recorded as done.
    LandingFollowed = "landing.followed";
    /// The task is recorded as done, and its worktree is still there.
    TaskDone = "task.done";
    /// A worktree that is done with has another name, and git knows it by its old one.
    SpareMoved = "spare.moved";
    /// A worktree that is done with is out of its worker's place, and holds its work.
    SpareAside = "spare.aside";
    /// A worktree that is done with is as new, and not a spare yet.
    SpareCleaned = "spare.cleaned";
    /// The worktree is in the trash, and git still knows it.
    WorktreeTrashed = "worktree.trashed";
    /// git has forgotten the worktree, which is still in the trash.
    WorktreeForgotten = "worktree.forgotten";
    /// The plan's rest is recorded, and its conductor still there.
    ConductorRested = "conductor.rested";
    /// An environment is recorded, and nothing of it is made.
    EnvironmentRecorded = "environment.recorded";
    /// Its files are there, and not yet in their place.
    EnvironmentCloned = "environment.cloned";
    /// Its folder is in its place, with neither databases nor commands.
    EnvironmentPlaced = "environment.placed";
    /// A database of it is made, and not in its place.
    EnvironmentInitialised = "environment.initialised";
    /// All of it is made, and that is not recorded.
    EnvironmentMade = "environment.made";
    /// A launch is recorded, and nothing was started.
    EnvironmentLaunching = "environment.launching";
    /// What an environment had is kept under refs, and its folder still there.
    EnvironmentKept = "environment.kept";
    /// Its folder is out of its place, and not deleted.
    EnvironmentAside = "environment.aside";
    /// Its folder is gone, and that is not recorded.
    EnvironmentGone = "environment.gone";
    /// A worker's environment has what its plan landed; the attempt is not recorded.
    EnvironmentEntered = "environment.entered";
    /// A result is about to be put onto the branch of its environment.
    EnvironmentSettling = "environment.settling";
    /// A result is on the branch of its environment, and has not landed.
    EnvironmentSettled = "environment.settled";
    /// A part of a backup is written.
    BackupWritten = "backup.written";
    /// A backup is proved, and has not got its name.
    BackupProved = "backup.proved";
    /// What an environment had is kept, and nothing was restored.
    RestoreKept = "restore.kept";
    /// Its files are restored, and its databases not.
    RestoreTree = "restore.tree";
    /// A text is pasted into a standing session, and Enter not sent.
    SessionPasted = "session.pasted";
}

#[cfg(not(debug_assertions))]
mod armed {
    use super::{Fault, Point};

    impl Point {
        /// Nothing, in a release.
        #[inline(always)]
        pub fn reach(self) -> Result<(), Fault> {
            Ok(())
        }
    }

    /// Nothing, in a release.
    pub fn environment() -> [(&'static str, std::ffi::OsString); 0] {
        []
    }

    /// Nothing, in a release.
    #[inline(always)]
    pub fn clock_jump_ms() -> i64 {
        0
    }

    /// Nothing, in a release.
    #[inline(always)]
    pub fn memory_root() -> Option<std::path::PathBuf> {
        None
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::ffi::OsString;
    use std::fs::File;
    use std::io::{self, Read as _, Write as _};
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::{Fault, Point};

    const ARMED: &str = "KAPELL_FAILPOINT";
    const LOG: &str = "KAPELL_FAILPOINT_LOG";
    const MEMORY: &str = "KAPELL_FAILPOINT_MEMORY";

    #[derive(Clone, Copy)]
    enum Action {
        Kill,
        Fail(i32),
        Jump(i64),
    }

    struct Arm {
        point: Point,
        action: Action,
        at: u64,
        goes_on: bool,
        reached: AtomicU64,
    }

    static JUMP_MS: AtomicI64 = AtomicI64::new(0);

    /// By how much the wall clock of this process has jumped, in milliseconds.
    pub fn clock_jump_ms() -> i64 {
        JUMP_MS.load(Ordering::Relaxed)
    }

    /// Sets the wall clock of this process, for tests that live through a month.
    pub fn set_clock(millis: i64) {
        JUMP_MS.store(millis.saturating_sub(jiff::Timestamp::now().as_millisecond()), Ordering::Relaxed);
    }

    /// The folder below which the files lie that tell how memory is, where that is not the system's.
    pub fn memory_root() -> Option<PathBuf> {
        variable(MEMORY).map(PathBuf::from)
    }

    #[expect(clippy::disallowed_methods, reason = "only app reads what a person sets; this is for tests")]
    fn variable(name: &'static str) -> Option<OsString> {
        std::env::var_os(name)
    }

    /// What arms the points, for a process that is started with an environment of its own.
    pub fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
        [ARMED, LOG, MEMORY].into_iter().filter_map(|name| Some((name, variable(name)?)))
    }

    /// `NAME:ACTION`, with `@N` or `@N+` behind it; `None` for anything else.
    fn parse(text: &str) -> Option<Arm> {
        let (name, rest) = text.split_once(':')?;
        let point = Point::ALL.iter().copied().find(|point| point.name() == name)?;
        let (action, at) = rest.split_once('@').unwrap_or((rest, "1"));
        let action = match action {
            "kill" => Action::Kill,
            "error" => Action::Fail(rustix::io::Errno::IO.raw_os_error()),
            "enospc" => Action::Fail(rustix::io::Errno::NOSPC.raw_os_error()),
            "eacces" => Action::Fail(rustix::io::Errno::ACCESS.raw_os_error()),
            jump => Action::Jump(jump.strip_prefix("clock")?.parse().ok()?),
        };
        let number = at.strip_suffix('+').unwrap_or(at);
        let at_number = number.parse().ok()?;
        Some(Arm { point, action, at: at_number, goes_on: number != at, reached: AtomicU64::new(0) })
    }

    fn arms() -> &'static [Arm] {
        static ARMS: OnceLock<Vec<Arm>> = OnceLock::new();
        ARMS.get_or_init(|| {
            let text = variable(ARMED).and_then(|text| text.into_string().ok()).unwrap_or_default();
            text.split(',').filter_map(|arm| parse(arm.trim())).collect()
        })
    }

    /// Notes in the log that an arm is used; `false` if it may be used once and was.
    fn note(arm: &Arm) -> bool {
        let Some(path) = variable(LOG) else { return true };
        let Ok(mut log) = File::options().read(true).append(true).create(true).open(path) else {
            return true;
        };
        // Who writes before us is seen: the lock goes with the file.
        let _ = log.lock();
        let mut text = String::new();
        let _ = log.read_to_string(&mut text);
        let name = arm.point.name();
        if !arm.goes_on && text.lines().any(|line| line == name) {
            return false;
        }
        log.write_all(format!("{name}\n").as_bytes()).is_ok()
    }

    impl Point {
        /// Does what is armed here, if anything is.
        ///
        /// # Errors
        /// That is what was armed.
        pub fn reach(self) -> Result<(), Fault> {
            for arm in arms().iter().filter(|arm| arm.point == self) {
                let times = arm.reached.fetch_add(1, Ordering::Relaxed) + 1;
                if times != arm.at && !(arm.goes_on && times > arm.at) {
                    continue;
                }
                if !note(arm) {
                    continue;
                }
                match arm.action {
                    Action::Kill => {
                        let _ = kill_process(getpid(), Signal::KILL);
                        // The signal is on its way to every thread.
                        loop {
                            std::thread::park();
                        }
                    }
                    Action::Fail(errno) => {
                        let source = io::Error::from_raw_os_error(errno);
                        return Err(Fault { point: self, source });
                    }
                    Action::Jump(seconds) => {
                        JUMP_MS.fetch_add(seconds.saturating_mul(1000), Ordering::Relaxed);
                    }
                }
            }
            Ok(())
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_arm_is_read_whole_or_not_at_all() {
            let read = |text: &str| {
                parse(text).map(|arm| {
                    let action = match arm.action {
                        Action::Kill => "kill".to_owned(),
                        Action::Fail(errno) => errno.to_string(),
                        Action::Jump(seconds) => format!("{seconds} s"),
                    };
                    (arm.point, action, arm.at, arm.goes_on)
                })
            };
            let begun =
                |action: &str, at, goes_on| Some((Point::AttemptBegun, action.to_owned(), at, goes_on));
            for (text, expected) in [
                ("attempt.begun:kill", begun("kill", 1, false)),
                ("attempt.begun:enospc@2", begun("28", 2, false)),
                ("attempt.begun:eacces@3+", begun("13", 3, true)),
                ("attempt.begun:clock-3600", begun("-3600 s", 1, false)),
                ("attempt.begun:clock+86400@2", begun("86400 s", 2, false)),
                ("attempt.begun", None),
                ("attempt.begun:", None),
                ("attempt.begun:kill@", None),
                ("attempt.begun:kill@x", None),
                ("attempt.gone:kill", None),
                ("", None),
            ] {
                assert_eq!(read(text), expected, "{text}");
            }
        }

        #[test]
        fn no_two_points_have_one_name() {
            let mut names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), Point::ALL.len());
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::set_clock;
pub use armed::{clock_jump_ms, environment, memory_root};
