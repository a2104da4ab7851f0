//! The control socket: lines of JSON in, lines of JSON out.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use super::job::{Reply, Request};

/// The longest request, in bytes; nobody needs a tenth of it.
const LONGEST_LINE: usize = 4096;

/// The most connections at once. One more pushes out the oldest.
const MOST_CONNECTIONS: usize = 64;

/// The listening socket and whoever is connected to it.
pub(super) struct Control {
    listener: UnixListener,
    connections: Vec<Connection>,
}

/// Who asks.
pub(super) struct Asker<'a> {
    /// The process that connected, where the system tells.
    pub(super) peer: Option<i32>,
    /// Its connection.
    pub(super) stream: &'a UnixStream,
    /// Whether it sent more than it has an answer to.
    pub(super) is_ahead: bool,
}

struct Connection {
    stream: UnixStream,
    /// The process that connected, where the system tells.
    peer: Option<i32>,
    unfinished: Vec<u8>,
}

impl Control {
    pub(super) fn new(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, connections: Vec::new() })
    }

    /// What becomes readable when there is something to serve.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let streams = self.connections.iter().map(|connection| connection.stream.as_fd());
        std::iter::once(self.listener.as_fd()).chain(streams)
    }

    /// Has `answer` answer every request that is there, with whoever asks.
    pub(super) fn serve(&mut self, mut answer: impl FnMut(Request, &Asker<'_>) -> Reply) {
        while let Ok((stream, _)) = self.listener.accept() {
            if let Ok(connection) = Connection::new(stream) {
                if self.connections.len() == MOST_CONNECTIONS {
                    self.connections.remove(0);
                }
                self.connections.push(connection);
            }
        }
        self.connections.retain_mut(|connection| connection.serve(&mut answer).unwrap_or(false));
    }
}

impl Connection {
    fn new(stream: UnixStream) -> io::Result<Self> {
        let peer = trusted_peer(&stream)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, peer, unfinished: Vec::new() })
    }

    /// Answers all whole lines; `false` when the peer has gone, or somebody else answers it from now on.
    fn serve(&mut self, answer: &mut impl FnMut(Request, &Asker<'_>) -> Reply) -> io::Result<bool> {
        let mut buffer = [0; LONGEST_LINE];
        loop {
            let is_open = match self.stream.read(&mut buffer) {
                Ok(0) => false,
                Ok(read) => {
                    self.unfinished.extend_from_slice(&buffer[..read]);
                    true
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unfinished.drain(..=end).collect();
                let asker =
                    Asker { peer: self.peer, stream: &self.stream, is_ahead: !self.unfinished.is_empty() };
                let (reply, is_relay) = match serde_json::from_slice(&line) {
                    Ok(request) => (answer(request, &asker), matches!(request, Request::Relay { .. })),
                    Err(error) => (Reply::refused(format!("not a request: {error}")), false),
                };
                let mut text = serde_json::to_vec(&reply)?;
                text.push(b'\n');
                // A peer that does not read its answers until the socket is full loses it.
                self.stream.write_all(&text)?;
                if is_relay && reply.ok {
                    return Ok(false);
                }
            }
            if !is_open || self.unfinished.len() > LONGEST_LINE {
                return Ok(false);
            }
        }
    }
}

impl Reply {
    /// The answer to what is not done.
    pub(super) fn refused(error: impl Into<String>) -> Self {
        Self { ok: false, error: Some(error.into()), state: None }
    }
}

/// The process at the other end, which must be this user's or root's. The socket's mode
/// says the same already; this also holds where somebody opened its folder to others.
#[cfg(target_os = "linux")]
fn trusted_peer(stream: &UnixStream) -> io::Result<Option<i32>> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    if peer.uid == rustix::process::getuid() || peer.uid.is_root() {
        Ok(Some(peer.pid.as_raw_nonzero().get()))
    } else {
        Err(ErrorKind::PermissionDenied.into())
    }
}

/// The socket's mode and its folder's are all there is to go by.
#[cfg(not(target_os = "linux"))]
fn trusted_peer(_stream: &UnixStream) -> io::Result<Option<i32>> {
    Ok(None)
}
