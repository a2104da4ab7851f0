//! Where agents wait for the test, and the test for them.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::DEADLINE;

/// Who is to be ended is ended before the limit of a bench's plans (60 s) would do so.
const BEFORE_ITS_TIME_IS_UP: Duration = Duration::from_secs(40);

/// A socket at which processes tell who they are and wait to be let go.
pub struct Meeting {
    /// Those who came, and those who came and were not asked for yet.
    guests: Mutex<(Receiver<Guest>, VecDeque<Guest>)>,
}

/// A process that waits. It goes on when it is let go, and fails when this is dropped.
#[derive(Debug)]
pub struct Guest {
    /// Under which name it came.
    pub name: String,
    /// The process.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its attempt, or what else it was started as.
    pub attempt: String,
    stream: UnixStream,
}

impl Meeting {
    /// Opens the socket.
    pub fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut line = String::new();
                // One that died before it said its name was never here.
                if BufReader::new(&stream).read_line(&mut line).is_err() || line.is_empty() {
                    continue;
                }
                let words: Vec<&str> = line.split_whitespace().collect();
                let [name, pid, parent, attempt] = words[..] else { panic!("{line:?}") };
                let guest = Guest {
                    name: name.to_owned(),
                    pid: pid.parse().unwrap(),
                    parent: parent.parse().unwrap(),
                    attempt: attempt.to_owned(),
                    stream,
                };
                if sender.send(guest).is_err() {
                    return;
                }
            }
        });
        Self { guests: Mutex::new((receiver, VecDeque::new())) }
    }

    /// Waits for whoever comes under that name.
    #[track_caller]
    pub fn with(&self, name: &str) -> Guest {
        let mut guests = self.guests.lock().unwrap();
        let (receiver, early) = &mut *guests;
        if let Some(at) = early.iter().position(|guest| guest.name == name) {
            return early.remove(at).unwrap();
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match receiver.recv_timeout(left) {
                Ok(guest) if guest.name == name => return guest,
                Ok(other) => early.push_back(other),
                Err(_) => panic!("nobody came as {name}; others came: {early:?}"),
            }
        }
    }
}

/// A worker's door, from the worker's side: lines of JSON in both directions.
pub struct Talk {
    answers: BufReader<UnixStream>,
    last: u64,
}

impl Talk {
    /// Sends a call without waiting for its answer.
    #[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
    pub fn send(&mut self, method: &str, params: Value) {
        self.last += 1;
        let call = json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        writeln!(self.answers.get_mut(), "{call}").unwrap();
    }

    /// The answer to the last call: its result, or its error object. `None`: the door is closed.
    #[track_caller]
    pub fn answer(&mut self) -> Option<Result<Value, Value>> {
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
            }
            let mut answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == self.last {
                return Some(match answer["error"].take() {
                    Value::Null => Ok(answer["result"].take()),
                    error => Err(error),
                });
            }
        }
    }

    /// Calls what must succeed.
    #[track_caller]
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        self.send(method, params);
        self.answer().unwrap().unwrap_or_else(|error| panic!("{method}: {error:#}"))
    }

    /// Calls what must be refused, and gives the kind of the error and its sentence.
    #[track_caller]
    pub fn refused(&mut self, method: &str, params: Value) -> (String, String) {
        self.send(method, params);
        match self.answer().unwrap() {
            Ok(result) => panic!("{method} was not refused: {result:#}"),
            Err(error) => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                assert!(!text(&error["data"]["hint"]).is_empty(), "{error:#}");
                (text(&error["data"]["kind"]), text(&error["message"]))
            }
        }
    }

    /// Whether the door closes by itself.
    #[track_caller]
    pub fn closes(mut self) {
        let mut rest = Vec::new();
        // A reset connection is closed too.
        let _ = self.answers.read_to_end(&mut rest);
    }
}

impl Guest {
    /// Lets it open its door, and speaks at it.
    pub fn talk(mut self) -> Talk {
        self.stream.write_all(b".").unwrap();
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Talk { answers: BufReader::new(self.stream), last: 0 }
    }

    /// Lets it open its door, says all there is to say, and gives all that is answered.
    pub fn ask(mut self, text: &str) -> String {
        self.stream.write_all(b".").unwrap();
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Lets it go on.
    pub fn go(mut self) {
        // One that was killed meanwhile cannot go.
        let _ = self.stream.write_all(b".");
    }

    /// Waits until it is dead.
    #[track_caller]
    pub fn gone(mut self) {
        self.stream.set_read_timeout(Some(BEFORE_ITS_TIME_IS_UP)).unwrap();
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        let is_gone = match &read {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(is_gone, "{} lives on: {read:?}", self.name);
    }
}
