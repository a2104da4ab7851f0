//! The worker's end of a relay: what `kapell` does inside the wall, where there is no store to open.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::job::{Door, Reply, Request};
use crate::base::threads;
use crate::sys::process::signals;

/// How long a shim may take to open a door. It does so at once unless the machine is starved.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The variable in a worker's environment that names the socket of its shim.
pub const SOCKET_VARIABLE: &str = "KAPELL_SOCKET";

/// The longest reply, in bytes.
const LONGEST_REPLY: usize = 4096;

/// A connection on which a door outside of the wall answers.
///
/// # Errors
/// No shim listens on `socket`, or it refuses.
pub fn connect(socket: &Path, door: Door) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    let mut line = serde_json::to_vec(&Request::Relay { door })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    // Byte by byte, since what follows the line is the door's.
    let (mut reply, mut byte) = (Vec::new(), [0]);
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if reply.len() < LONGEST_REPLY => reply.push(byte[0]),
            Ok(_) => return Err(io::Error::other("the shim's reply has no end")),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let reply: Reply = serde_json::from_slice(&reply)?;
    if !reply.ok {
        return Err(io::Error::other(reply.error.unwrap_or_default()));
    }
    stream.set_read_timeout(None)?;
    Ok(stream)
}

/// Stands in for a door: passes standard input on to the relayed one, and what it answers to
/// standard output. Ends well when the input does, or at a signal.
///
/// # Errors
/// The shim cannot be reached or refuses, or the relay ended while there was still input.
pub fn stand_in(socket: &Path, door: Door) -> io::Result<()> {
    let mut answers = connect(socket, door)?;
    let mut questions = answers.try_clone()?;
    let over = Arc::new(AtomicBool::new(false));
    // Whoever signals reads nothing any more: no half line can do harm.
    signals::on_first(|| std::process::exit(0))?;
    let is_over = Arc::clone(&over);
    let mut input = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?);
    threads::start(
        "kapell-relay",
        Box::new(move || {
            let passed = pass(&mut input, &mut questions);
            is_over.store(passed.is_ok(), Ordering::SeqCst);
            // The other door then finishes, and closes its end.
            let _ = questions.shutdown(Shutdown::Write);
        }),
    )?;
    let mut output = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?);
    match pass(&mut answers, &mut output) {
        // Nobody reads the answers any more.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error),
        Ok(()) if over.load(Ordering::SeqCst) => Ok(()),
        Ok(()) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the shim's relay has ended")),
    }
}

/// Passes bytes on as they come, to the end.
///
/// Not `io::copy`: it has the kernel splice, which keeps hold of a pipe that nothing comes from, and
/// whoever was killed at its other end then cannot even end (seen with Linux 6.18).
fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&buffer[..read])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
