//! Identifiers. No two kinds are interchangeable.

use std::fmt;

/// Declares a string identifier as a type of its own.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is; what it may contain was checked where it came in.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

id_type! {
    /// A plan, `name-xxxxxx`.
    PlanId
}
id_type! {
    /// One try at a task, `a-xxxxxxxxxx`. Also the name of its run folder and in its worker's environment.
    AttemptId
}
id_type! {
    /// A conductor process, `c-xxxxxxxx`.
    ConductorId
}
id_type! {
    /// A project: a short digest of its git common directory, prefixed with its folder name.
    ProjectId
}
id_type! {
    /// A provider's name in the configuration, such as `claude`.
    ProviderName
}
id_type! {
    /// A worker's name, such as `codex2`.
    WorkerName
}
id_type! {
    /// Whoever holds a claim: an attempt, an agent session, a person.
    HolderName
}

/// A claim's number. It only grows, so it is the claim's fencing number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub i64);

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task's name within its plan. Plans may write it as an integer or as a
/// string; `1` and `"1"` are the same task, and it is shown as it was written.
#[derive(Debug, Clone)]
pub struct TaskId {
    text: String,
    is_number: bool,
}

impl TaskId {
    /// A task written as a string.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_number: false }
    }

    /// A task written as an integer.
    pub fn number(number: i64) -> Self {
        Self { text: number.to_string(), is_number: true }
    }

    /// The name as text, in either case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the plan wrote it as an integer.
    pub fn is_number(&self) -> bool {
        self.is_number
    }
}

impl PartialEq for TaskId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TaskId {}

impl std::hash::Hash for TaskId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for TaskId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TaskId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Random letters and digits that are easy to read aloud (Crockford's base 32,
/// lower case), for the tail of a new identifier.
pub fn random_tail(letters: usize) -> String {
    let mut bytes = vec![0u8; letters];
    if getrandom::fill(&mut bytes).is_err() {
        // Without a random source uniqueness still comes from time and process; the
        // database refuses a second use of an id in any case.
        let seed = crate::base::clock::Time::now().as_millis() as u64 ^ u64::from(std::process::id()) << 40;
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = (seed >> ((i * 5) % 60)) as u8;
        }
    }
    spelled(&bytes)
}

/// A text that nobody can guess, `letters` long, five bits each; `None` without a random source.
pub fn secret(letters: usize) -> Option<String> {
    let mut bytes = vec![0u8; letters];
    getrandom::fill(&mut bytes).ok()?;
    Some(spelled(&bytes))
}

fn spelled(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    bytes.iter().map(|byte| ALPHABET[usize::from(byte % 32)] as char).collect()
}
