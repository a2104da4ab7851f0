//! Errors of the contract: every refusal and failure, classified once.

use serde_json::{Value, json};

use crate::domain::refusal::{Code, Fact, Refusal};
use crate::services::Error;
use crate::services::room::{self, Lack, Places};
use crate::sys::disk;

/// An error as every door shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// JSON-RPC's number.
    pub code: i64,
    /// The stable name, such as `conflict`.
    pub kind: &'static str,
    /// What and why, naming the thing.
    pub message: String,
    /// The next step.
    pub hint: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// Facts for programs, by name.
    pub facts: Vec<(&'static str, Fact)>,
    /// What the command line ends with: 1 refused, 2 usage, 3 not found, 4 store or system failure.
    pub exit_code: u8,
}

impl ApiError {
    /// Parameters that do not fit the method.
    pub fn invalid_params(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: -32602,
            kind: "invalid-params",
            message: short(message.into()),
            hint: short(hint.into()),
            retryable: false,
            facts: Vec::new(),
            exit_code: 2,
        }
    }

    /// A method that is not in the table.
    pub fn unknown_method(method: &str) -> Self {
        Self {
            code: -32601,
            kind: "unknown-method",
            message: short(format!("there is no method {method:?}")),
            hint: "rpc.discover lists the methods".to_owned(),
            retryable: false,
            facts: Vec::new(),
            exit_code: 2,
        }
    }

    /// A programming fault.
    pub fn bug(message: impl Into<String>) -> Self {
        Self {
            code: -32603,
            kind: "bug",
            message: message.into(),
            hint: "this is a fault in kapell; what it wrote to stderr helps to mend it".to_owned(),
            retryable: false,
            facts: Vec::new(),
            exit_code: 4,
        }
    }

    /// The same, told as what it is where a disk is full; the words of whoever found that are a fact of it.
    #[must_use]
    pub fn for_want_of_room(self, places: Places<'_>) -> Self {
        if self.kind != SYSTEM {
            return self;
        }
        let least = if disk::says_full(&self.message) { room::SHORT } else { room::NONE };
        self.told_as(places.full(least))
    }

    fn told_as(self, lack: Option<Lack>) -> Self {
        let Some(lack) = lack else { return self };
        let mut facts = self.facts;
        facts.push(("cause", Fact::One(self.message)));
        Self { message: lack.what, hint: MAKE_ROOM.to_owned(), facts, ..self }
    }

    /// The object beside `code` and `message`: `{kind, hint, retryable, …}`.
    pub fn data(&self) -> Value {
        let mut data = json!({"kind": self.kind, "hint": self.hint, "retryable": self.retryable});
        if let Value::Object(fields) = &mut data {
            for (name, value) in &self.facts {
                // Numbers stay numbers for programs.
                let value = match value {
                    Fact::One(text) => {
                        text.parse::<i64>().map_or_else(|_| Value::from(text.clone()), Value::from)
                    }
                    Fact::All(texts) => Value::from(texts.clone()),
                };
                fields.insert((*name).to_owned(), value);
            }
        }
        data
    }

    /// The whole error object: `{code, message, data}`.
    pub fn to_json(&self) -> Value {
        json!({"code": self.code, "message": self.message, "data": self.data()})
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (code, exit_code) = match refusal.code {
            Code::NotFound => (-32010, 3),
            Code::BadPath => (-32011, 1),
            Code::Conflict => (-32012, 1),
            Code::DuplicatePlan => (-32013, 1),
            Code::PlanInvalid => (-32014, 1),
            Code::ProtectedWorker => (-32015, 1),
            Code::OverBudget => (-32016, 1),
            Code::RateLimited => (-32017, 1),
            Code::NotAllowed => (-32018, 1),
            Code::StaleClaim => (-32019, 1),
            Code::Busy => (-32020, 1),
            Code::Unsupported => (-32021, 1),
            Code::StateNewer => (-32022, 4),
            Code::StoreDamaged => (-32023, 4),
            Code::Usage => (-32602, 2),
        };
        let retryable = refusal.is_retryable();
        Self {
            code,
            message: short(refusal.message),
            hint: short(refusal.hint),
            facts: refusal.facts.into_iter().map(|(name, fact)| (name, shortened(fact))).collect(),
            kind: if refusal.code == Code::Usage { "invalid-params" } else { refusal.code.as_str() },
            retryable,
            exit_code,
        }
    }
}

/// The kind of a failure of the store, of git, or of the system.
pub const SYSTEM: &str = "system";

/// What to do on a full disk.
const MAKE_ROOM: &str = "free space there, then the same again";

/// A longer sentence echoes what was sent, a path of a megabyte say, in bytes.
const LONGEST: usize = 2_000;

/// A text without its middle where it is too long.
fn short(text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    let (head, tail) =
        (text.floor_char_boundary(LONGEST / 2), text.ceil_char_boundary(text.len() - LONGEST / 4));
    format!("{} … ({} bytes more) … {}", &text[..head], tail - head, &text[tail..])
}

/// The same of a fact. Of a long list the beginning is told, and how much more there is.
fn shortened(fact: Fact) -> Fact {
    let mut texts = match fact {
        Fact::One(text) => return Fact::One(short(text)),
        Fact::All(texts) => texts,
    };
    let mut length = 0;
    let fits = |text: &&String| {
        length += text.len() + 1;
        length <= LONGEST
    };
    let told = texts.iter().take_while(fits).count();
    let more = texts.len() - told;
    if more > 0 {
        texts.truncate(told);
        texts.push(format!("… and {more} more"));
    }
    Fact::All(texts)
}

/// A failure in a line where that is enough: git says of every file that there was no room for it.
fn plainly(message: String) -> String {
    match (message.lines().next(), message.lines().find(|line| disk::says_full(line))) {
        (Some(first), Some(full)) if first != full => format!("the disk is full: {}: {}", first, full.trim()),
        (Some(first), Some(_)) if message.lines().count() > 1 => format!("the disk is full: {first}"),
        _ => message,
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::from(refusal),
            Error::Bug(message) => Self::bug(message),
            failed => Self {
                code: -32603,
                kind: SYSTEM,
                message: plainly(failed.to_string()),
                hint: match &failed {
                    // The system's words for something that is no folder where a folder is wanted.
                    Error::Store(_)
                        if ["(os error 17)", "(os error 20)"].iter().any(|it| failed.to_string().contains(it)) =>
                    {
                        "where the state lies there is something that is no folder: set KAPELL_HOME to a folder; nothing was changed".to_owned()
                    }
                    Error::Store(store) if store.is_environment() => {
                        "free space or permission is missing where the state lies (KAPELL_HOME moves it); nothing was changed".to_owned()
                    }
                    failed if disk::says_full(&failed.to_string()) => format!("the disk is full: {MAKE_ROOM}"),
                    _ => "kapell doctor looks for the cause".to_owned(),
                },
                retryable: true,
                facts: Vec::new(),
                exit_code: 4,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_full_disk_is_called_that_in_a_line() {
        let told = |said: &str| ApiError::from(Error::system("git", std::io::Error::other(said)));
        let of_git = told(
            "git checkout dev1 failed (exit status: 128): error: unable to write file blob\nerror: unable to write file a\nfatal: write error. Out of diskspace",
        );
        assert_eq!(
            of_git.message,
            "the disk is full: git: git checkout dev1 failed (exit status: 128): error: unable to write file blob: fatal: write error. Out of diskspace"
        );
        let plain = told("No space left on device (os error 28)");
        assert_eq!(plain.message, "git: No space left on device (os error 28)");
        for error in [of_git, plain] {
            assert!(error.hint.starts_with("the disk is full"), "{error:?}");
        }
        assert_eq!(told("no such thing").hint, "kapell doctor looks for the cause");
    }

    #[test]
    fn facts_of_a_kind_are_a_list_of_some_length() {
        let no =
            |paths| ApiError::from(Refusal::new(Code::Conflict, "no", "yes").with_all("paths", paths)).data();
        assert_eq!(no(vec!["one\ntwo".to_owned(), "3".to_owned()])["paths"], json!(["one\ntwo", "3"]));
        let many = no((0..5_000).map(|number| format!("folder/{number}")).collect());
        let many = many["paths"].as_array().unwrap();
        assert!(
            many.len() < 300 && many.last().unwrap().as_str().unwrap().starts_with("… and 4"),
            "{many:?}"
        );
    }

    #[test]
    fn the_disk_that_is_full_is_named_and_what_git_said_is_a_fact() {
        let git = "git update-ref failed (exit status: 128): fatal: update_ref failed";
        let error = |said: &str| ApiError::from(Error::system("git", std::io::Error::other(said)));
        let folder = tempfile::tempdir().unwrap();
        let places = Places { root: Path::new("/no/such/folder"), place: Some(folder.path()) };
        assert_eq!(error(git).for_want_of_room(places), error(git), "there is room");
        // A disk of which nothing can be said stands for one that has room; one without any is told.
        let told = error(git).told_as(places.full(u64::MAX));
        assert_eq!(told.message, format!("the disk of {} is full", folder.path().display()));
        assert_eq!(told.hint, MAKE_ROOM);
        assert_eq!(told.facts, [("cause", Fact::One(format!("git: {git}")))]);
        let refused = ApiError::invalid_params("no", "yes");
        assert_eq!(refused.clone().for_want_of_room(places), refused);
    }
}
