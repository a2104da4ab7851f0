//! Ports of this machine: whether one is free, and who has it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;

use super::tree;

/// Who listens at a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A process that may be looked at.
    Process {
        /// Its number.
        pid: i32,
        /// What it was started as, shortened.
        command: String,
    },
    /// Somebody else's process, or one in another container.
    Hidden {
        /// The user, where the system tells.
        uid: Option<u32>,
    },
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process { pid, command } => write!(f, "process {pid} ({command})"),
            Self::Hidden { uid: Some(uid) } => write!(f, "a process of user {uid}"),
            Self::Hidden { uid: None } => f.write_str("a process that cannot be seen from here"),
        }
    }
}

/// Whether nobody has the port, at any address of either kind. It is taken for a moment to see that.
///
/// # Errors
/// It can be neither taken nor is somebody there: below 1024 the system keeps it.
pub fn is_free(port: u16) -> io::Result<bool> {
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(_) => {}
        Err(error) if is_taken(&error) => return Ok(false),
        Err(error) => return Err(error),
    }
    // Where there is no IPv6, nobody has it there.
    Ok(!TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).is_err_and(|error| is_taken(&error)))
}

/// Who has the port; `None` where it is free.
///
/// # Errors
/// As [`is_free`].
pub fn holder(port: u16) -> io::Result<Option<Holder>> {
    Ok(if is_free(port)? { None } else { Some(found(port)) })
}

/// The sockets that listen at a port.
fn listeners(port: u16) -> Vec<Socket> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(listening).collect::<Vec<_>>())
        .filter(|socket| socket.port == port)
        .collect()
}

/// Whether a process, or one that it started, listens at a port. Where that cannot be seen nobody does.
pub fn is_held_by(port: u16, root: i32) -> bool {
    let sockets = listeners(port);
    let has = |pid: i32| sockets.iter().any(|socket| has_open(pid, socket.inode));
    !sockets.is_empty() && (has(root) || tree::descendants(root).iter().any(|process| has(process.pid)))
}

fn found(port: u16) -> Holder {
    let sockets = listeners(port);
    for socket in &sockets {
        if let Some(pid) = owner(socket.inode) {
            return Holder::Process { pid, command: command(pid) };
        }
    }
    Holder::Hidden { uid: sockets.first().map(|socket| socket.uid) }
}

/// The process at the other end of a connection within this machine, by the ports of both ends: ours, and the
/// other's. `None` where it cannot be seen.
pub fn peer(ours: u16, theirs: u16) -> Option<i32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    let inode =
        texts.filter_map(|text| text.lines().find_map(|line| connected(line, theirs, ours))).next()?;
    owner(inode)
}

/// The socket of a line of `/proc/net/tcp`, where that one is at `local` and connected to `remote`.
fn connected(line: &str, local: u16, remote: u16) -> Option<u64> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, from, to, "01", _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
    let port = |end: &str| u16::from_str_radix(end.rsplit_once(':')?.1, 16).ok();
    (port(from)? == local && port(to)? == remote).then(|| inode.parse().ok())?
}

#[derive(Debug, PartialEq, Eq)]
struct Socket {
    port: u16,
    uid: u32,
    inode: u64,
}

/// A line of `/proc/net/tcp`, where that socket listens.
fn listening(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, "0A", _, _, _, uid, _, inode, ..] = fields.as_slice() else { return None };
    let (_, port) = local.rsplit_once(':')?;
    Some(Socket {
        port: u16::from_str_radix(port, 16).ok()?,
        uid: uid.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

/// The process that has this socket open.
fn owner(inode: u64) -> Option<i32> {
    let pids =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A child that inherited the socket has it too; whoever was there first is named.
    pids.filter(|pid| has_open(*pid, inode)).min()
}

/// Whether a process has this socket open.
fn has_open(pid: i32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| target.as_os_str().as_bytes() == wanted.as_bytes())
}

fn command(pid: i32) -> String {
    /// More of it says nothing.
    const SHOWN: usize = 80;
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line: Vec<String> = words
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let text: String = line.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn who_is_connected_is_found() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (here, _) = listener.accept().unwrap();
        let port = |address: io::Result<std::net::SocketAddr>| address.unwrap().port();
        let (ours, theirs) = (port(here.local_addr()), port(there.local_addr()));
        assert_eq!(peer(ours, theirs), Some(std::process::id().cast_signed()));
        drop((here, there));
        assert_eq!(peer(ours, theirs), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_listens_is_found_whatever_the_address() {
        // Where there is no IPv6, nobody can be there.
        let here = [TcpListener::bind((Ipv4Addr::LOCALHOST, 0)), TcpListener::bind((Ipv6Addr::LOCALHOST, 0))];
        for listener in here.into_iter().flatten() {
            let port = listener.local_addr().unwrap().port();
            assert!(!is_free(port).unwrap(), "{listener:?}");
            let own = std::process::id().cast_signed();
            assert!(matches!(holder(port).unwrap(), Some(Holder::Process { pid, .. }) if pid == own));
            assert!(is_held_by(port, own) && !is_held_by(port, i32::MAX));
        }
    }

    #[test]
    fn a_table_is_read() {
        let line = "   0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0";
        assert_eq!(listening(line), Some(Socket { port: 8081, uid: 1000, inode: 4242 }));
        assert_eq!(listening(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening("  sl  local_address rem_address   st"), None);
    }
}
