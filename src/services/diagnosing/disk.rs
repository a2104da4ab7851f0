//! Whether a folder lies on a disk of another machine. What Kapell rests on (locks that the kernel lets go of
//! with their process, notices of changed files, one database for many processes) does not hold there.

use std::path::Path;

use super::Check;

/// The kinds by their numbers in `statfs(2)`.
const OF_ANOTHER_MACHINE: [(u32, &str); 10] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "kAFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
];
/// What a program of this machine serves, perhaps from another: `sshfs` does.
const BY_A_PROGRAM: u32 = 0x6573_5546;

/// What to warn of, where the state folder lies on such a disk.
pub fn warning(root: &Path) -> Option<String> {
    let kind = kind_of(root)?;
    let name = name_of(kind)?;
    Some(format!(
        "the state folder {} is on {name}, where locks, notices and the database are not to be relied on; name a folder of this machine in KAPELL_HOME",
        root.display()
    ))
}

pub(super) fn check(root: &Path) -> Check {
    const NAME: &str = "state place";
    match kind_of(root).and_then(name_of) {
        Some(name) => Check::warn(
            NAME,
            format!(
                "{} is on {name}: locks, notices and the database are not to be relied on",
                root.display()
            ),
            "name a folder of this machine in KAPELL_HOME",
        ),
        None => Check::ok(NAME, "on a disk of this machine"),
    }
}

fn name_of(kind: u32) -> Option<&'static str> {
    if kind == BY_A_PROGRAM {
        return Some("a disk that a program serves (FUSE)");
    }
    OF_ANOTHER_MACHINE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

#[cfg(target_os = "linux")]
fn kind_of(path: &Path) -> Option<u32> {
    // As many bits as the kernel has of it, whichever type the system's library gives them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number has 32 bits")]
    rustix::fs::statfs(path).ok().map(|stat| stat.f_type as u32)
}

#[cfg(not(target_os = "linux"))]
fn kind_of(_path: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_of_other_machines_are_known_by_their_numbers() {
        // From the manual page of statfs: ext4, tmpfs, overlayfs, btrfs, xfs are of this machine.
        for of_this_machine in [0xef53, 0x0102_1994, 0x794c_7630, 0x9123_683e, 0x5846_5342] {
            assert_eq!(name_of(of_this_machine), None, "{of_this_machine:x}");
        }
        for (kind, name) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0x0102_1997, "9P")] {
            assert_eq!(name_of(kind), Some(name));
        }
        assert!(name_of(BY_A_PROGRAM).unwrap().contains("FUSE"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_without_a_disk_is_no_reason_to_warn() {
        assert_eq!(kind_of(Path::new("/proc")), Some(0x9fa0));
        assert_eq!(warning(Path::new("/proc")), None);
        assert_eq!(warning(Path::new("/no/such/folder")), None);
    }
}
