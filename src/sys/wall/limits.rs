//! What Landlock does not govern: prlimit(2) on other processes. A worker could leave its shim without
//! files or memory, outlive it, and pass for somebody else afterwards; a filter on system calls keeps it
//! from that. It may ask for anybody's limits, and set its own.

use std::io;

use seccompiler::{BpfProgram, sock_filter};

// linux/bpf_common.h and linux/seccomp.h.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0000;

/// Where `struct seccomp_data` has what is looked at. Both machines below keep the low half first.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const PID: u32 = 16;
const NEW_LIMIT: u32 = 32;

/// A machine by its audit name, and the number that prlimit64 has there (asm/unistd.h): the processor's own
/// and the older one whose programs it runs too.
#[cfg(target_arch = "x86_64")]
const PRLIMIT: [(u32, u32); 2] = [(0xc000_003e, 302), (0x4000_0003, 340)];
#[cfg(target_arch = "aarch64")]
const PRLIMIT: [(u32, u32); 2] = [(0xc000_00b7, 261), (0x4000_0028, 369)];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const PRLIMIT: [(u32, u32); 0] = [];

/// x32 calls have this bit beside the number that the same call has in 64 bits.
const X32: u32 = 0x4000_0000;

/// The filter; empty for machines that are not known.
pub(super) fn filter() -> BpfProgram {
    let step = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    let mut program = BpfProgram::new();
    for (machine, number) in PRLIMIT {
        program.extend([
            step(LOAD, MACHINE, 0, 0),
            // Another machine: past both returns.
            step(JUMP_IF_EQUAL, machine, 0, 11),
            step(LOAD, NUMBER, 0, 0),
            step(AND, !X32, 0, 0),
            step(JUMP_IF_EQUAL, number, 0, 6),
            step(LOAD, PID, 0, 0),
            step(JUMP_IF_EQUAL, 0, 4, 0),
            step(LOAD, NEW_LIMIT, 0, 0),
            step(JUMP_IF_EQUAL, 0, 0, 3),
            step(LOAD, NEW_LIMIT + 4, 0, 0),
            step(JUMP_IF_EQUAL, 0, 0, 1),
            step(RETURN, ALLOW, 0, 0),
            step(RETURN, REFUSE | rustix::io::Errno::PERM.raw_os_error().unsigned_abs(), 0, 0),
        ]);
    }
    if !program.is_empty() {
        program.push(step(RETURN, ALLOW, 0, 0));
    }
    program
}

/// Puts the calling thread, and all it starts, behind the filter. It makes system calls only.
pub(super) fn enter(filter: &BpfProgram) -> io::Result<()> {
    if filter.is_empty() {
        return Ok(());
    }
    seccompiler::apply_filter(filter).map_err(|error| match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
        _ => io::ErrorKind::InvalidInput.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    #[test]
    fn limits_are_ones_own_to_set() {
        std::thread::spawn(|| {
            let own = getrlimit(Resource::Core);
            let lower = Rlimit { current: Some(0), maximum: own.maximum };
            let parent = rustix::process::getppid().unwrap();
            let this = rustix::process::getpid();
            rustix::thread::set_no_new_privs(true).unwrap();
            enter(&filter()).unwrap();
            for other in [parent, this, Pid::INIT] {
                let refused = prlimit(Some(other), Resource::Nofile, lower);
                assert_eq!(refused, Err(rustix::io::Errno::PERM), "{other:?}");
            }
            // Nobody's name for oneself.
            prlimit(None, Resource::Core, lower).unwrap();
            prlimit(None, Resource::Core, own).unwrap();
        })
        .join()
        .unwrap();
    }
}
