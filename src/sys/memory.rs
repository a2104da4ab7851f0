//! How much memory is left: what the kernel tells of pressure, of free memory, and of the limits that
//! this process is held to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::failpoint;
use crate::domain::health::{Memory, Room};

/// A reading is good for this long: it is asked for again for every attempt that begins.
const FRESH: Duration = Duration::from_millis(250);

/// How memory is now. What the system does not tell is left out; on others than Linux, all of it.
pub fn read() -> Memory {
    static LAST: Mutex<Option<(Instant, Memory)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, memory)) = last.filter(|(at, _)| at.elapsed() < FRESH) {
        return memory;
    }
    let memory = read_at(&failpoint::memory_root().unwrap_or_else(|| PathBuf::from("/")));
    *last = Some((Instant::now(), memory));
    memory
}

/// The resident memory of this process, in bytes; nothing where that is not told.
pub fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(field(&status, "VmRSS:")?.saturating_mul(1024))
}

/// How many programs worked or waited for a processor or disk in the last minute; nothing where that is not told.
pub fn load() -> Option<f64> {
    load_at(&failpoint::memory_root().unwrap_or_else(|| PathBuf::from("/")))
}

fn load_at(root: &Path) -> Option<f64> {
    fs::read_to_string(root.join("proc/loadavg")).ok()?.split(' ').next()?.parse().ok()
}

/// The same from the files below `root`.
pub fn read_at(root: &Path) -> Memory {
    let text = |path: &Path| fs::read_to_string(root.join(path)).ok();
    let groups = groups(text(Path::new("proc/self/cgroup")).as_deref().unwrap_or_default());
    let pressures = std::iter::once(PathBuf::from("proc/pressure/memory"))
        .chain(groups.iter().map(|group| group.join("memory.pressure")))
        .filter_map(|path| pressure(&text(&path)?));
    let limits = groups.iter().filter_map(|group| {
        let number = |name: &str| text(&group.join(name))?.trim().parse::<u64>().ok();
        // Without a limit it says `max`.
        let (limit, used) = (number("memory.max")?, number("memory.current")?);
        let stat = text(&group.join("memory.stat")).unwrap_or_default();
        // The kernel takes back what it keeps of files before it kills.
        let kept = field(&stat, "inactive_file").unwrap_or(0);
        Some(Room { free: limit.saturating_sub(used.saturating_sub(kept)), of: limit })
    });
    Memory {
        pressure: pressures.reduce(f64::max),
        machine: text(Path::new("proc/meminfo")).and_then(|info| {
            let bytes = |name: &str| field(&info, name).map(|kibibytes| kibibytes.saturating_mul(1024));
            Some(Room { free: bytes("MemAvailable:")?, of: bytes("MemTotal:")? })
        }),
        group: limits.min_by_key(|room| room.free),
    }
}

/// The control groups that this process is in, the innermost first, by `/proc/self/cgroup`. Only those
/// of version 2, which have one tree.
fn groups(text: &str) -> Vec<PathBuf> {
    let Some(own) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return Vec::new() };
    let base = Path::new("sys/fs/cgroup");
    // A path with `..` is one outside of this namespace.
    let own = Path::new(own);
    let is_inside = own.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let own = if is_inside { own } else { Path::new("") };
    own.ancestors().map(|group| base.join(group)).collect()
}

/// `avg10` of the line `some` of a pressure file.
fn pressure(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let share = some.split(' ').find_map(|word| word.strip_prefix("avg10="))?;
    share.parse().ok().filter(|share: &f64| share.is_finite())
}

/// The number behind a name in a list of such lines.
fn field(text: &str, name: &str) -> Option<u64> {
    let words = text.lines().map(|line| line.split_ascii_whitespace());
    words.into_iter().find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> Memory {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        read_at(root.path())
    }

    #[test]
    fn what_is_not_told_is_left_out() {
        assert_eq!(system(&[]), Memory::default());
        let odd = [
            ("proc/meminfo", "MemTotal: many kB\n"),
            ("proc/pressure/memory", "some avg10=NaN avg60=0\n"),
            ("proc/self/cgroup", "0::/../elsewhere\n"),
        ];
        assert_eq!(system(&odd), Memory::default());
    }

    #[test]
    fn pressure_free_memory_and_the_narrowest_limit_are_read() {
        let memory = system(&[
            (
                "proc/pressure/memory",
                "some avg10=1.50 avg60=9.00 avg300=9.00 total=1\nfull avg10=80.0 avg60=0 avg300=0 total=0\n",
            ),
            ("proc/meminfo", "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    4000 kB\n"),
            ("proc/self/cgroup", "1:name=systemd:/x\n0::/user.slice/mine\n"),
            ("sys/fs/cgroup/user.slice/mine/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/mine/memory.current", "5\n"),
            (
                "sys/fs/cgroup/user.slice/mine/memory.pressure",
                "some avg10=30.25 avg60=0.00 avg300=0.00 total=0\n",
            ),
            ("sys/fs/cgroup/user.slice/memory.max", "1000\n"),
            ("sys/fs/cgroup/user.slice/memory.current", "900\n"),
            ("sys/fs/cgroup/user.slice/memory.stat", "anon 1\ninactive_file 250\nfile 9\n"),
        ]);
        let expected = Memory {
            pressure: Some(30.25),
            machine: Some(Room { free: 4000 * 1024, of: 16000 * 1024 }),
            group: Some(Room { free: 350, of: 1000 }),
        };
        assert_eq!(memory, expected);
    }
}
