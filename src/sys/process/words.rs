//! Paths, arguments and variables in JSON. On Unix they are bytes: a string where
//! they are text, and a list of byte values where they are not.

use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One word of bytes in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<OsString> for Word {
    fn from(word: OsString) -> Self {
        use std::os::unix::ffi::OsStringExt as _;
        word.into_string().map_or_else(|word| Self::Bytes(word.into_vec()), Self::Text)
    }
}

impl From<Word> for OsString {
    fn from(word: Word) -> Self {
        use std::os::unix::ffi::OsStringExt as _;
        match word {
            Word::Text(text) => text.into(),
            Word::Bytes(bytes) => Self::from_vec(bytes),
        }
    }
}

/// Writes a `serde(with)` module for a type and what it is in JSON.
macro_rules! in_json {
    ($(#[$doc:meta])* $name:ident: $value:ty => $wire:ty, $to:expr, $from:expr) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use serde::{Deserializer, Serializer};

            use super::*;

            pub(crate) fn serialize<S: Serializer>(
                value: impl std::borrow::Borrow<$value>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let wire: $wire = ($to)(value.borrow().clone());
                wire.serialize(serializer)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$value, D::Error> {
                Ok(($from)(<$wire>::deserialize(deserializer)?))
            }
        }
    };
}

in_json!(
    /// A list of arguments.
    list: Vec<OsString> => Vec<Word>,
    |words: Vec<OsString>| words.into_iter().map(Word::from).collect(),
    |wire: Vec<Word>| wire.into_iter().map(OsString::from).collect()
);
in_json!(
    /// An environment, as pairs: a name need not be text, and a key of an object must be.
    pairs: BTreeMap<OsString, OsString> => Vec<(Word, Word)>,
    |pairs: BTreeMap<OsString, OsString>| pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
    |wire: Vec<(Word, Word)>| wire.into_iter().map(|(name, value)| (name.into(), value.into())).gather()
);
in_json!(
    /// A path.
    path: PathBuf => Word,
    |path: PathBuf| path.into_os_string().into(),
    |wire: Word| OsString::from(wire).into()
);
in_json!(
    /// A path that may be absent.
    optional_path: Option<PathBuf> => Option<Word>,
    |path: Option<PathBuf>| path.map(|path| path.into_os_string().into()),
    |wire: Option<Word>| wire.map(|word| OsString::from(word).into())
);
in_json!(
    /// A list of paths.
    paths: Vec<PathBuf> => Vec<Word>,
    |paths: Vec<PathBuf>| paths.into_iter().map(|path| path.into_os_string().into()).collect(),
    |wire: Vec<Word>| wire.into_iter().map(|word| OsString::from(word).into()).collect()
);
