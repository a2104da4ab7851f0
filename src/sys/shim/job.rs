//! What the shim and its clients say to each other: the job, the exit, the requests.
//!
//! Paths, arguments and variables need not be text (see [`words`]).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::clock::Time;
use crate::domain::usage::Prices;
use crate::sys::process::words;
use crate::sys::wall::Wall;

/// What to run and within which limits: `job.json`. It may hold secrets in `env`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The attempt's identifier. The worker has it as `KAPELL_ATTEMPT`.
    pub attempt: String,
    /// The plan it belongs to.
    pub plan: String,
    /// The task it tries.
    pub task: String,
    /// The program and its arguments. The program is looked up in the `PATH` of `env`.
    #[serde(with = "words::list")]
    pub argv: Vec<OsString>,
    /// The whole environment of the worker.
    #[serde(with = "words::pairs")]
    pub env: BTreeMap<OsString, OsString>,
    /// The folder in which it starts.
    #[serde(with = "words::path")]
    pub cwd: PathBuf,
    /// A plain file for its standard input; a relative path is inside of the run
    /// folder. `None` is an empty input.
    #[serde(with = "words::optional_path")]
    pub stdin: Option<PathBuf>,
    /// The longest it may run, in milliseconds; time in which it is paused does not count.
    pub timeout_ms: Option<u64>,
    /// How long it may take to end by itself once it is told to, in milliseconds.
    pub grace_ms: u64,
    /// How it is told first.
    pub first_signal: FirstSignal,
    /// The most bytes it may print, for each stream.
    pub output_limit: u64,
    /// The wall around it.
    pub wall: Wall,
    /// How long processes that it left behind may go on after it ended by itself, in milliseconds.
    pub keep_leftovers_ms: u64,
    /// How the worker's own calls to Kapell are answered; without it they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
    /// What it may cost; without it, that is of no concern here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// The proof of life of the process that alone wants what it answers: the run ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asker: Option<String>,
    /// What the shim becomes once the end is recorded: it knows of that first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errand: Option<Errand>,
}

/// A program that is told of an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// The program and its arguments.
    #[serde(with = "words::list")]
    pub argv: Vec<OsString>,
    /// Its whole environment.
    #[serde(with = "words::pairs")]
    pub env: BTreeMap<OsString, OsString>,
    /// The folder in which it starts.
    #[serde(with = "words::path")]
    pub cwd: PathBuf,
}

/// What a worker may cost, by what it tells itself. The shim reads it, because it is there when no
/// conductor is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    /// Millionths of a dollar.
    pub micros: i64,
    /// The kind of agent, by whose habits its output is read.
    pub kind: String,
    /// What its tokens cost, where it tells no money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<TokenPrices>,
}

/// Dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenPrices {
    /// Sent.
    pub input: f64,
    /// Received.
    pub output: f64,
    /// Answered by a cache.
    pub cached: f64,
    /// Written to a cache.
    pub cache_write: f64,
}

impl From<Prices> for TokenPrices {
    fn from(prices: Prices) -> Self {
        Self {
            input: prices.input_usd_per_mtok,
            output: prices.output_usd_per_mtok,
            cached: prices.cached_usd_per_mtok,
            cache_write: prices.cache_write_usd_per_mtok,
        }
    }
}

impl From<TokenPrices> for Prices {
    fn from(prices: TokenPrices) -> Self {
        Self {
            input_usd_per_mtok: prices.input,
            output_usd_per_mtok: prices.output,
            cached_usd_per_mtok: prices.cached,
            cache_write_usd_per_mtok: prices.cache_write,
        }
    }
}

/// How a worker reaches Kapell from inside its wall: for each call of [`Request::Relay`] the shim
/// starts this program outside of it, with the attempt's identity in its environment and the
/// caller's connection as its standard input and output. Nothing of it comes from the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The `kapell` program.
    #[serde(with = "words::path")]
    pub program: PathBuf,
    /// The whole environment, but for the attempt.
    #[serde(with = "words::pairs")]
    pub env: BTreeMap<OsString, OsString>,
    /// The folder that calls are about: the project's, not the worker's.
    #[serde(with = "words::path")]
    pub cwd: PathBuf,
}

impl Job {
    /// The most bytes a worker may print on each stream, unless its job says otherwise: 1 GiB.
    pub const OUTPUT_LIMIT: u64 = 1 << 30;
    /// How long a worker may take to end by itself, unless its job says otherwise, in milliseconds.
    pub const GRACE_MS: u64 = 10_000;

    /// A job without a wall and a time limit, with an empty environment and input.
    pub fn new(attempt: impl Into<String>, argv: Vec<OsString>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            attempt: attempt.into(),
            plan: String::new(),
            task: String::new(),
            argv,
            env: BTreeMap::new(),
            cwd: cwd.into(),
            stdin: None,
            timeout_ms: None,
            grace_ms: Self::GRACE_MS,
            first_signal: FirstSignal::Term,
            output_limit: Self::OUTPUT_LIMIT,
            wall: Wall::off(),
            keep_leftovers_ms: 0,
            relay: None,
            allowance: None,
            asker: None,
            errand: None,
        }
    }
}

/// The signal with which a worker is told to end. After half of the grace it is
/// SIGTERM for all, and SIGKILL at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstSignal {
    /// SIGINT: Claude Code ends what its tools run on this signal only.
    Int,
    /// SIGTERM.
    Term,
}

/// How a run ended: `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit status of the worker's program, where it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// What made it end.
    pub ended: Cause,
    /// Why it could not be started, or what went wrong at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the shim began.
    #[serde(with = "rfc3339")]
    pub started_at: Time,
    /// When the last process of the worker was gone.
    #[serde(with = "rfc3339")]
    pub ended_at: Time,
    /// The wall that it really had, such as `landlock 7, worktree`.
    pub wall: String,
    /// The largest resident memory of any one of its processes, in KiB.
    pub max_rss_kb: u64,
    /// Processor time of all its processes, user and system, in milliseconds.
    pub cpu_ms: u64,
    /// How many processes besides the worker's program had to be killed.
    pub leftovers: u64,
}

/// What made a run end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The program ended by itself, or somebody else's signal ended it.
    Exited,
    /// It ran past its time.
    TimedOut,
    /// It was asked to stop, whatever it took then.
    Stopped,
    /// It was asked to be killed.
    Killed,
    /// It printed more than it may.
    OutputLimit,
    /// By its own figures it cost more than it may.
    OverBudget,
    /// It could not be started.
    NotStarted,
}

/// A line to the shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Request {
    /// Tell the worker to end, and kill it after a time.
    Stop {
        /// That time in milliseconds; the job's own without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_ms: Option<u64>,
    },
    /// Kill it now.
    Kill,
    /// Suspend all its processes.
    Pause,
    /// Let them go on.
    Resume,
    /// Give it this time from now on, whatever it had.
    Extend {
        /// The time in milliseconds.
        timeout_ms: u64,
    },
    /// Tell only how it is.
    State,
    /// Have a door outside of the wall answer on this connection, with this attempt's identity.
    /// Only the worker's own processes may ask. After the reply nobody but that door reads here.
    Relay {
        /// Which.
        door: Door,
    },
}

/// A door that can be relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// `kapell mcp`.
    Mcp,
    /// `kapell rpc`.
    Rpc,
}

impl Door {
    /// The word that opens it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Rpc => "rpc",
        }
    }
}

/// The shim's line in answer to each request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Whether the request is carried out; ending takes its time after the reply.
    pub ok: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How the worker is after the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// How a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The attempt.
    pub attempt: String,
    /// Where it is between start and end.
    pub phase: PhaseName,
    /// The process of the worker's program.
    pub pid: i32,
    /// The shim's own process: all of the worker's are below it, also those that left their parents.
    /// 0 from a shim that does not tell.
    #[serde(default)]
    pub shim: i32,
    /// The time it has left, in milliseconds, where it has a limit.
    pub time_left_ms: Option<u64>,
    /// What it printed, in bytes.
    pub stdout_bytes: u64,
    /// What it printed on its standard error, in bytes.
    pub stderr_bytes: u64,
    /// The wall that it really has.
    pub wall: String,
    /// When the shim began.
    #[serde(with = "rfc3339")]
    pub started_at: Time,
}

/// Where a worker is between start and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// It works.
    Running,
    /// It is suspended.
    Paused,
    /// It was told to end, or has ended and its leftovers have not.
    Ending,
    /// What is left of it is being killed.
    Killing,
}

/// Times as RFC 3339 text.
mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::base::clock::Time;

    pub(super) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use proptest::prelude::*;

    use super::*;
    use crate::sys::wall::Mode;

    fn any_word() -> impl Strategy<Value = OsString> {
        prop_oneof![
            any::<String>().prop_map(OsString::from),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(OsString::from_vec)
        ]
    }

    proptest! {
        #[test]
        fn a_job_survives_json_byte_for_byte(
            argv in prop::collection::vec(any_word(), 0..4),
            env in prop::collection::btree_map(any_word(), any_word(), 0..4),
            cwd in any_word(),
            stdin in prop::option::of(any_word()),
            writable in prop::collection::vec(any_word(), 0..3),
        ) {
            let mut job = Job::new("a-1", argv, cwd);
            job.env = env;
            job.stdin = stdin.map(PathBuf::from);
            job.wall = Wall { mode: Mode::Strict, writable: writable.into_iter().map(PathBuf::from).collect(), ..Wall::off() };
            let text = serde_json::to_string(&job).unwrap();
            prop_assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
        }
    }

    #[test]
    fn requests_are_the_documented_lines() {
        let lines = [
            (r#"{"op":"stop","grace_ms":5}"#, Request::Stop { grace_ms: Some(5) }),
            (r#"{"op":"stop"}"#, Request::Stop { grace_ms: None }),
            (r#"{"op":"kill"}"#, Request::Kill),
            (r#"{"op":"pause"}"#, Request::Pause),
            (r#"{"op":"resume"}"#, Request::Resume),
            (r#"{"op":"extend","timeout_ms":9}"#, Request::Extend { timeout_ms: 9 }),
            (r#"{"op":"state"}"#, Request::State),
            (r#"{"op":"relay","door":"mcp"}"#, Request::Relay { door: Door::Mcp }),
        ];
        for (line, request) in lines {
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
        }
        assert!(serde_json::from_str::<Request>(r#"{"op":"extend"}"#).is_err());
    }

    #[test]
    fn an_exit_is_the_documented_json() {
        let exit = Exit {
            code: None,
            signal: Some(9),
            ended: Cause::TimedOut,
            reason: None,
            started_at: Time::from_millis(0),
            ended_at: Time::from_millis(1500),
            wall: "off".into(),
            max_rss_kb: 1,
            cpu_ms: 2,
            leftovers: 3,
        };
        let text = r#"{"code":null,"signal":9,"ended":"timed-out","started_at":"1970-01-01T00:00:00.000Z","ended_at":"1970-01-01T00:00:01.500Z","wall":"off","max_rss_kb":1,"cpu_ms":2,"leftovers":3}"#;
        assert_eq!(serde_json::to_string(&exit).unwrap(), text);
        assert_eq!(serde_json::from_str::<Exit>(&format!("{text}   \n")).unwrap(), exit);
    }
}
