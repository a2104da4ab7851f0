//! Landlock: a ruleset of the rights to write and to read files, granted beneath folders and on files.
//!
//! A grant on a folder is recursive and cannot be narrowed again; one on a file is for its inode.
//! So secrets are hidden by granting everything around them (`reading.rs`). The right to list
//! folders is not handled: programs look into every folder above their own, and take a refusal ill.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ::landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, RestrictSelf, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};
use rustix::fs::{CWD, FileType, Mode as FileMode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::reading::{self, Granted, Surroundings};
use super::{Mode, Wall, WallError};

/// Devices that programs write to and read as a matter of course.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx"];

/// Terminals, and memory shared between the processes of one program.
const DEVICE_FOLDERS: [&str; 2] = ["/dev/pts", "/dev/shm"];

/// Devices that are only read. Others, such as disks, cannot be opened at all where secrets are hidden.
const READ_DEVICES: [&str; 2] = ["/dev/random", "/dev/urandom"];

/// What lets root go around the wall. With either of the first two the environment of a foreign process was
/// read through `/proc`, which Landlock alone forbids (Linux 6.18); the others reach the kernel and the disks.
const AROUND: CapabilitySet = CapabilitySet::PERFMON
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_BOOT);

/// Without this level a foreign file cannot be written, yet can be emptied.
const SOUND: ABI = ABI::V3;

/// Without this level foreign processes can be signalled, and spoken to by abstract sockets.
const SCOPED: ABI = ABI::V6;

/// The part of a ruleset that depends on nothing but what is hidden, which is also most of the work: it can
/// be made before it is known what is to be written.
pub(super) struct Foundation {
    ruleset: RulesetCreated,
    handled: BitFlags<AccessFs>,
    level: ABI,
    /// The kernel's own number for its level.
    number: i32,
    hidden: Vec<PathBuf>,
    /// `None` where a wall is built on it at once.
    surroundings: Option<Surroundings>,
}

impl Foundation {
    /// Lays it for walls that are yet to come.
    pub(super) fn lay_ahead(hidden: &[PathBuf]) -> Result<Self, WallError> {
        let surroundings = Surroundings::of(hidden);
        Ok(Self { surroundings: Some(surroundings), ..Self::lay(hidden)? })
    }

    /// Grants to read everything but `hidden`, and the system's devices.
    fn lay(hidden: &[PathBuf]) -> Result<Self, WallError> {
        let (level, number) = level()?;
        let mut handled = AccessFs::from_write(level.min(SOUND));
        if !hidden.is_empty() {
            handled |= AccessFs::ReadFile;
        }
        let ruleset = Ruleset::default()
            // What the wall promises must be there ...
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(handled)
            .and_then(|ruleset| match level < SCOPED {
                // ... and what cannot be there is told.
                true => Ok(ruleset),
                false => ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal),
            })
            .and_then(Ruleset::create)
            .map_err(refused)?;
        let mut laid = Self { ruleset, handled, level, number, hidden: hidden.to_vec(), surroundings: None };
        let (folder, file, read) = (laid.folder(), laid.file(), laid.read());
        for (paths, rights) in
            [(&DEVICES[..], file), (&DEVICE_FOLDERS[..], folder), (&READ_DEVICES[..], read)]
        {
            for path in paths {
                laid.grant_what_is_there(CWD, Path::new(path), OFlags::empty(), rights)?;
            }
        }
        let seen = if read.is_empty() { Vec::new() } else { reading::all_but(hidden) };
        for Granted { folder, names } in seen {
            // Opened once, so that its way is not gone for each that lies in it.
            let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let Ok(folder) = rustix::fs::open(&folder, flags, FileMode::empty()) else { continue };
            for name in names {
                laid.grant_what_is_there(folder.as_fd(), Path::new(&name), OFlags::NOFOLLOW, read)?;
            }
        }
        Ok(laid)
    }

    /// Whether it is what would be laid for `wall` now.
    fn carries(&self, wall: &Wall) -> bool {
        self.hidden == wall.hidden && self.surroundings.as_ref().is_some_and(Surroundings::are_same)
    }

    /// What may be done in a folder. Nobody needs device nodes in a worktree, and root could write a
    /// disk through one.
    fn folder(&self) -> BitFlags<AccessFs> {
        self.handled & !make_bitflags!(AccessFs::{MakeBlock | MakeChar})
    }

    fn file(&self) -> BitFlags<AccessFs> {
        self.handled & (AccessFs::WriteFile | AccessFs::Truncate | AccessFs::ReadFile)
    }

    fn read(&self) -> BitFlags<AccessFs> {
        self.handled & AccessFs::ReadFile
    }

    fn grant(&mut self, on: impl AsFd, rights: BitFlags<AccessFs>) -> Result<(), WallError> {
        (&mut self.ruleset).add_rule(PathBeneath::new(on, rights)).map_err(refused)?;
        Ok(())
    }

    /// The system's own are as they are: what is missing is not missed.
    fn grant_what_is_there(
        &mut self,
        folder: BorrowedFd<'_>,
        path: &Path,
        flags: OFlags,
        rights: BitFlags<AccessFs>,
    ) -> Result<(), WallError> {
        if rights.is_empty() {
            return Ok(());
        }
        match rustix::fs::openat(folder, path, OFlags::PATH | OFlags::CLOEXEC | flags, FileMode::empty()) {
            Ok(found) => self.grant(found, rights),
            Err(_) => Ok(()),
        }
    }
}

/// The ruleset for `wall`, and its description. It stands on `foundation` where that still carries it.
pub(super) fn ruleset(
    wall: &Wall,
    appendable: &[&File],
    foundation: Option<Foundation>,
) -> Result<(RulesetCreated, String), WallError> {
    let mut laid = match foundation.filter(|foundation| foundation.carries(wall)) {
        Some(foundation) => foundation,
        None => Foundation::lay(&wall.hidden)?,
    };
    let (level, number) = (laid.level, laid.number);
    if level < SOUND && !wall.best_effort {
        let why = format!("Landlock {number} of this kernel cannot stop truncation (Linux 6.2 can)");
        return Err(WallError::Unavailable { why });
    }
    if level < SCOPED && wall.mode == Mode::Strict {
        let why = format!("Landlock {number} of this kernel cannot keep signals in (Linux 6.12 can)");
        return Err(WallError::Unavailable { why });
    }
    let (folder, file, read) = (laid.folder(), laid.file(), laid.read());
    for path in &wall.writable {
        laid.grant(open(path, FileType::Directory)?, folder)?;
    }
    for path in &wall.files {
        laid.grant(open(path, FileType::RegularFile)?, file)?;
    }
    for path in &wall.readable {
        laid.grant_what_is_there(CWD, path, OFlags::empty(), read)?;
    }
    for stream in appendable {
        laid.grant(stream, AccessFs::WriteFile.into())?;
    }

    let mut description = format!("landlock {number}, {}", wall.mode.as_str());
    let lacks = [(level < SOUND, "truncation passes"), (level < SCOPED, "signals pass")];
    let lacks: Vec<&str> = lacks.into_iter().filter(|lack| lack.0).map(|lack| lack.1).collect();
    if !lacks.is_empty() {
        let _ = write!(description, " ({})", lacks.join(", "));
    }
    Ok((laid.ruleset, description))
}

/// Puts the calling thread behind the ruleset. A root worker gives up what goes around it.
pub(super) fn enter(ruleset: RulesetCreated) -> io::Result<()> {
    let mut held = rustix::thread::capabilities(None)?;
    if held.permitted.intersects(AROUND) {
        for set in [&mut held.effective, &mut held.permitted, &mut held.inheritable] {
            set.remove(AROUND);
        }
        rustix::thread::set_capabilities(None, held)?;
    }
    match ruleset.restrict_self() {
        Ok(status) if status.ruleset == RulesetStatus::FullyEnforced => Ok(()),
        Ok(_) => Err(Errno::NOTSUP.into()),
        Err(error) => {
            let source: &dyn std::error::Error = &error;
            let cause = std::iter::successors(Some(source), |error| error.source())
                .find_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error());
            Err(cause.map_or(Errno::PERM.into(), io::Error::from_raw_os_error))
        }
    }
}

/// The kernel's level as far as this program knows levels, and the kernel's own number for it.
fn level() -> Result<(ABI, i32), WallError> {
    // Without a ruleset and without flags this restricts nothing and only tells the status.
    let status = RestrictSelf::default().no_new_privs(false).apply().map_err(refused)?.landlock;
    match status {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            Ok((effective_abi, kernel_abi.unwrap_or(effective_abi as i32)))
        }
        LandlockStatus::NotEnabled => {
            Err(WallError::Unavailable { why: "Landlock is not enabled".to_owned() })
        }
        LandlockStatus::NotImplemented => {
            Err(WallError::Unavailable { why: "this kernel has no Landlock".to_owned() })
        }
    }
}

/// Opens what a rule stands on, without following any link.
fn open(path: &Path, kind: FileType) -> Result<OwnedFd, WallError> {
    let bad = |why: String| WallError::Path { path: path.to_owned(), why };
    if !path.is_absolute() {
        return Err(bad("is not an absolute path".to_owned()));
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat2(CWD, path, flags, FileMode::empty(), ResolveFlags::NO_SYMLINKS);
    let fd = opened.map_err(|errno| match errno {
        Errno::LOOP => bad("leads through a link; the wall needs the real path".to_owned()),
        errno => bad(io::Error::from(errno).to_string()),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| bad(io::Error::from(errno).to_string()))?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        let wanted = if kind == FileType::Directory { "a folder" } else { "a plain file" };
        return Err(bad(format!("is not {wanted}")));
    }
    if kind == FileType::RegularFile && stat.st_nlink > 1 {
        return Err(bad(format!("has {} names; to write one is to write all", stat.st_nlink)));
    }
    Ok(fd)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` wants")]
fn refused(error: ::landlock::RulesetError) -> WallError {
    let why = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
        .map(ToString::to_string)
        .last()
        .unwrap_or_default();
    WallError::Refused { why }
}
