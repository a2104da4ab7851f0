//! The memory of this process that is the program itself.

use std::fs;

/// Lets go of the program's own code and constants as far as they lie in memory. Half of what a process takes up is
/// code that it ran once, to start; whatever runs again comes back from the system's cache of files within a
/// microsecond. Does nothing where the system cannot be told so.
#[cfg(target_os = "linux")]
pub fn let_go_of_code() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    let Ok(program) = fs::read_link("/proc/self/exe") else { return };
    for (from, to) in code_of(&maps, &program.to_string_lossy()) {
        release(from, to);
    }
}

/// Does nothing: only Linux is known to keep such pages for the asking.
#[cfg(not(target_os = "linux"))]
pub fn let_go_of_code() {}

/// Where the code of `program` lies, by the lines of `/proc/self/maps`, and its constants, which come first. Nothing
/// that can be written, and nothing behind the code: of what the loader changed there the file knows nothing.
#[cfg(target_os = "linux")]
fn code_of(maps: &str, program: &str) -> Vec<(usize, usize)> {
    let code = |line: &str| {
        let (place, rest) = line.split_once(' ')?;
        let is_code = rest.starts_with("r-xp ") || rest.starts_with("r--p 00000000 ");
        if !is_code || !rest.ends_with(&format!(" {program}")) {
            return None;
        }
        let (from, to) = place.split_once('-')?;
        Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
    };
    maps.lines().filter_map(code).collect()
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "memory that is named by its address has no safe form")]
fn release(from: usize, to: usize) {
    use rustix::mm::{Advice, madvise};
    let length = to.saturating_sub(from);
    // SAFETY: The place is a mapping of this program's own file that nobody can write to, and that no allocator
    // gave out. What is let go of is read from the file again when it is touched: nothing of it is lost.
    let _ = unsafe { madvise(std::ptr::with_exposed_provenance_mut(from), length, Advice::LinuxDontNeed) };
}

/// Has all threads share two heaps. By default as many as eight a processor take turns to have one of their own,
/// and each keeps what its busiest moment took: with 26 workers, each followed by some threads, a megabyte.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the allocator's own settings have no safe form")]
pub fn share_heaps() {
    // SAFETY: It sets a number that the allocator reads when it makes another heap.
    unsafe { nix::libc::mallopt(nix::libc::M_ARENA_MAX, 2) };
}

/// Does nothing: other allocators have no such heaps.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_heaps() {}

/// Has the system give this process at once the memory that a hook is about to fill, a quarter of a megabyte. It
/// would give it page by page, sixty times, each time for two or three microseconds in a virtual machine.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the allocator's own settings, and memory by its address, have no safe form")]
pub fn have_at_once() {
    use nix::libc::{M_TRIM_THRESHOLD, free, malloc, mallopt};
    use rustix::mm::{Advice, madvise};
    use rustix::param::page_size;

    /// Small enough to be taken from the heap, where what is let go of stays.
    const PIECE: usize = 80 << 10;
    // SAFETY: The pieces are this function's own until it frees them, and nothing is read from them. What is
    // advised are whole pages within a piece; a system that cannot do so says so and changes nothing.
    unsafe {
        mallopt(M_TRIM_THRESHOLD, 1 << 20);
        let pieces = [malloc(PIECE), malloc(PIECE), malloc(PIECE)];
        for piece in pieces {
            let inside = piece.align_offset(page_size());
            if !piece.is_null() && inside < PIECE {
                let length = (PIECE - inside) / page_size() * page_size();
                let _ = madvise(piece.byte_add(inside), length, Advice::LinuxPopulateWrite);
            }
        }
        for piece in pieces.into_iter().rev() {
            free(piece);
        }
    }
}

/// Does nothing: other allocators and systems are not known to profit.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn have_at_once() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_own_code_is_let_go_of() {
        let maps = "\
00200000-0056c000 r--p 00000000 fe:00 1 /opt/a b/kapell
0056c000-00fbb000 r-xp 0036b000 fe:00 1 /opt/a b/kapell
00fbd000-01017000 r--p 00dbb000 fe:00 1 /opt/a b/kapell
01018000-01020000 rw-p 00e15000 fe:00 1 /opt/a b/kapell
7f0000000000-7f0000001000 r-xp 00000000 fe:00 2 /lib/kapell
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0 [vdso]
nonsense";
        assert_eq!(code_of(maps, "/opt/a b/kapell"), [(0x200000, 0x56c000), (0x56c000, 0xfbb000)]);
        assert_eq!(code_of("", "/opt/a b/kapell"), []);
    }

    #[test]
    fn a_process_goes_on_without_what_it_let_go_of() {
        let code = || {
            let maps = fs::read_to_string("/proc/self/smaps").unwrap();
            let program = fs::read_link("/proc/self/exe").unwrap();
            let mut lines = maps
                .lines()
                .skip_while(|line| !(line.contains(" r-xp ") && line.ends_with(&*program.to_string_lossy())));
            let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let before = code();
        let_go_of_code();
        let after = code();
        assert!(after < before, "{before} kB of code before, {after} kB after");
    }
}
