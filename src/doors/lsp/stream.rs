//! Standard input in frames. The library ends a connection at the first frame that it cannot read, so
//! what it is given was looked at before; and it does not tell that the input has ended, which ends
//! every wait.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf, Stdin};

use super::types::{Request, Response};
use crate::api::Client;
use crate::base::halves;

/// What stands in the place of a frame that is no message; of one that is too long with its length, and the URI
/// of the document that it is about as far as that could be seen.
pub const UNREADABLE: &str = "kapell/unreadable";
/// The longest message that is read.
pub const LONGEST: usize = 64 << 20;
/// So much of both ends of a message that is passed over is looked at.
const END: usize = 4096;
/// The longest head of a message that is waited for.
const LONGEST_HEAD: usize = 4096;
/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// Standard input.
pub struct Input {
    stdin: Stdin,
    client: Arc<Client>,
    frames: Frames,
    /// What was looked at and is to be handed over, and how much of it was.
    ready: Vec<u8>,
    handed: usize,
}

impl Input {
    /// Ends the waits of `client` when it ends.
    pub fn new(stdin: Stdin, client: Arc<Client>) -> Self {
        Self { stdin, client, frames: Frames::default(), ready: Vec::new(), handed: 0 }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.handed < self.ready.len() {
                let rest = &self.ready[self.handed..];
                let length = rest.len().min(buffer.remaining());
                buffer.put_slice(&rest[..length]);
                self.handed += length;
                return Poll::Ready(Ok(()));
            }
            self.ready.clear();
            self.handed = 0;
            let mut chunk = vec![0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            match Pin::new(&mut self.stdin).poll_read(context, &mut read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    let this = &mut *self;
                    this.frames.take(read.filled(), &mut this.ready);
                }
                Poll::Ready(ended) => {
                    self.client.close();
                    return Poll::Ready(ended);
                }
            }
        }
    }
}

/// Looks at frames.
#[derive(Debug, Default)]
struct Frames {
    raw: Vec<u8>,
    /// A message that is too long.
    passed: Option<Passed>,
}

/// A message that is passed over.
#[derive(Debug)]
struct Passed {
    length: usize,
    /// Bytes that are still to come.
    left: usize,
    begin: Vec<u8>,
    end: Vec<u8>,
}

impl Passed {
    fn take(&mut self, bytes: &[u8]) {
        self.left -= bytes.len();
        let room = END - self.begin.len();
        self.begin.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.end.extend_from_slice(&bytes[bytes.len().saturating_sub(END)..]);
        let old = self.end.len().saturating_sub(END);
        self.end.drain(..old);
    }

    /// What stands in its place. Within a text quotes have backslashes, so what is found is a key.
    fn message(&self) -> Vec<u8> {
        let uri = [&self.begin, &self.end].into_iter().find_map(|part| {
            let key = br#""uri":"#;
            let value = &part[find(part, key)? + key.len()..];
            serde_json::Deserializer::from_slice(value).into_iter::<String>().next()?.ok()
        });
        let params = serde_json::json!({"length": self.length, "uri": uri});
        serde_json::json!({"jsonrpc": "2.0", "method": UNREADABLE, "params": params}).to_string().into_bytes()
    }
}

impl Frames {
    /// Takes what came, and adds to `out` the frames that are whole.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.raw.extend_from_slice(bytes);
        loop {
            if let Some(passed) = &mut self.passed {
                let length = passed.left.min(self.raw.len());
                passed.take(&self.raw[..length]);
                self.raw.drain(..length);
                if passed.left > 0 {
                    return;
                }
                write(&passed.message(), out);
                self.passed = None;
            }
            let Some(head) = find(&self.raw, b"\r\n\r\n") else {
                // A head without an end is none.
                if self.raw.len() > LONGEST_HEAD {
                    self.raw.clear();
                    write(UNREADABLE_MESSAGE, out);
                }
                return;
            };
            let body = head + 4;
            match length(&self.raw[..head]) {
                Some(length) if length > LONGEST => {
                    self.raw.drain(..body);
                    self.passed = Some(Passed { length, left: length, begin: Vec::new(), end: Vec::new() });
                }
                Some(length) => {
                    let Some(message) = self.raw.get(body..body + length) else { return };
                    if is_message(message) {
                        write(message, out);
                    } else {
                        // An editor in JavaScript may tell of half a character.
                        let mended = std::str::from_utf8(message).ok().and_then(halves::mended);
                        let mended = mended.filter(|it| is_message(it.as_bytes()));
                        write(mended.as_ref().map_or(UNREADABLE_MESSAGE, |message| message.as_bytes()), out);
                    }
                    self.raw.drain(..body + length);
                }
                // Whatever it is, the next head is looked for behind it.
                None => {
                    self.raw.drain(..body);
                    write(UNREADABLE_MESSAGE, out);
                }
            }
        }
    }
}

const UNREADABLE_MESSAGE: &[u8] = br#"{"jsonrpc":"2.0","method":"kapell/unreadable"}"#;

fn write(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", message.len()).as_bytes());
    out.extend_from_slice(message);
}

fn is_message(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Request>(bytes).is_ok() || serde_json::from_slice::<Response>(bytes).is_ok()
}

/// The length that a head tells; garbage in front of it is passed over.
fn length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let told = &head[head.rfind("content-length:")? + "content-length:".len()..];
    told.lines().next()?.trim().parse().ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = r#"{"jsonrpc":"2.0","method":"a"}"#;

    /// As a message with half a character is handed on.
    const HALF: &str = r#"{"jsonrpc":"2.0","method":"a","params":["\ufffd"]}"#;

    fn framed(text: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{text}", text.len())
    }

    /// The messages of a text that comes in pieces of that size.
    fn messages(text: &[u8], size: usize) -> Vec<String> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        for piece in text.chunks(size) {
            frames.take(piece, &mut out);
        }
        let out = String::from_utf8(out).unwrap();
        out.split("Content-Length: ")
            .skip(1)
            .map(|frame| frame.split_once("\r\n\r\n").unwrap().1.to_owned())
            .collect()
    }

    #[test]
    fn what_is_no_message_is_known_and_passed_over() {
        let unreadable = std::str::from_utf8(UNREADABLE_MESSAGE).unwrap();
        assert!(unreadable.contains(UNREADABLE));
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":null}"#;
        let table = [
            (framed(A) + &framed(answer), vec![A, answer]),
            (framed("{\"a\":") + &framed(A), vec![unreadable, A]),
            (framed(r#"{"jsonrpc":"2.0","method":"a","params":["\ud83d"]}"#), vec![HALF]),
            (framed("[]") + &framed("1") + &framed(A), vec![unreadable, unreadable, A]),
            (format!("content-length: {}\r\nContent-Type: x\r\n\r\n{A}", A.len()), vec![A]),
            (format!("garbage\n{}", framed(A)), vec![A]),
            (format!("X: y\r\n\r\n{}", framed(A)), vec![unreadable, A]),
            (format!("Content-Length: -1\r\n\r\n{}", framed(A)), vec![unreadable, A]),
            (framed("") + &framed(A), vec![unreadable, A]),
            (framed(A)[..30].to_owned(), vec![]),
        ];
        for (text, expected) in table {
            for size in [1, 7, 10_000] {
                assert_eq!(messages(text.as_bytes(), size), expected, "{text} {size}");
            }
        }
        assert_eq!(messages(&vec![b'x'; LONGEST_HEAD + 1], 1000), [unreadable]);
        let table = [
            ("", "", "null"),
            (r#"{"uri":"file:///a%20b","text":""#, "", r#""file:///a%20b""#),
            (r#"{"text":"\"uri\":\"no\""#, r#"","uri": "file:///\u00e9"}"#, r#""file:///é""#),
            (r#"{"uri":17,"#, r#"{"uri":"#, "null"),
        ];
        for (begin, end, uri) in table {
            let rest = vec![b'x'; LONGEST + 1 - begin.len() - end.len()];
            let long = format!("Content-Length: {}\r\n\r\n", LONGEST + 1);
            let long =
                [long.as_bytes(), begin.as_bytes(), &rest, end.as_bytes(), framed(A).as_bytes()].concat();
            let params = format!(r#"{{"length":{},"uri":{uri}}}"#, LONGEST + 1);
            let told = format!(r#"{{"jsonrpc":"2.0","method":"kapell/unreadable","params":{params}}}"#);
            assert_eq!(messages(&long, CHUNK), [&*told, A]);
        }
    }
}
