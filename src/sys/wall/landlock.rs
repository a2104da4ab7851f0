//! Landlock: a ruleset of the rights to write, granted beneath folders and on files.
//!
//! Rights to read and run are not handled, so they stay as they are. A grant on
//! a folder is recursive and cannot be narrowed again; one on a file is for its inode.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ::landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, RestrictSelf, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};
use rustix::fs::{CWD, FileType, Mode as FileMode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Wall, WallError};

/// Devices that programs write to as a matter of course.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx"];

/// Terminals, and memory shared between the processes of one program.
const DEVICE_FOLDERS: [&str; 2] = ["/dev/pts", "/dev/shm"];

/// Without this level a foreign file cannot be written, yet can be emptied.
const SOUND: ABI = ABI::V3;

/// The ruleset for `wall`, and its description.
pub(super) fn ruleset(wall: &Wall, appendable: &[&File]) -> Result<(RulesetCreated, String), WallError> {
    let (level, number) = level()?;
    if level < SOUND && !wall.best_effort {
        let why = format!("Landlock {number} of this kernel cannot stop truncation (Linux 6.2 can)");
        return Err(WallError::Unavailable { why });
    }
    let handled = AccessFs::from_write(level.min(SOUND));
    let mut ruleset = Ruleset::default()
        // What the wall promises must be there ...
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(handled)
        // ... and a worker that cannot signal its conductor is welcome where the kernel can say it.
        .map(|ruleset| ruleset.set_compatibility(CompatLevel::BestEffort))
        .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(Ruleset::create)
        .map_err(refused)?
        .set_compatibility(CompatLevel::HardRequirement);

    // Nobody needs device nodes in a worktree, and root could write a disk through one.
    let folder = handled & !make_bitflags!(AccessFs::{MakeBlock | MakeChar});
    let file = handled & (AccessFs::WriteFile | AccessFs::Truncate);
    for path in &wall.writable {
        ruleset = grant(ruleset, open(path, FileType::Directory)?, folder)?;
    }
    for path in &wall.files {
        ruleset = grant(ruleset, open(path, FileType::RegularFile)?, file)?;
    }
    // The system's own devices are as they are: links are followed, and what is missing is not missed.
    for (paths, rights) in [(&DEVICES[..], file), (&DEVICE_FOLDERS[..], folder)] {
        for path in paths {
            if let Ok(device) = rustix::fs::open(*path, OFlags::PATH | OFlags::CLOEXEC, FileMode::empty()) {
                ruleset = grant(ruleset, device, rights)?;
            }
        }
    }
    for stream in appendable {
        ruleset = grant(ruleset, stream, AccessFs::WriteFile.into())?;
    }

    let mut description = format!("landlock{number} {}", wall.mode.as_str());
    if level < SOUND {
        description.push_str(" without truncate");
    }
    if !wall.read_only.is_empty() {
        description.push_str(" without read-only parts");
    }
    Ok((ruleset, description))
}

/// Puts the calling thread behind the ruleset.
pub(super) fn enter(ruleset: RulesetCreated) -> io::Result<()> {
    match ruleset.restrict_self() {
        // `Partially` is a kernel without scopes.
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => Ok(()),
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

fn grant(
    ruleset: RulesetCreated,
    on: impl AsFd,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, WallError> {
    ruleset.add_rule(PathBeneath::new(on, rights)).map_err(refused)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` wants")]
fn refused(error: ::landlock::RulesetError) -> WallError {
    let why = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
        .map(ToString::to_string)
        .last()
        .unwrap_or_default();
    WallError::Refused { why }
}
