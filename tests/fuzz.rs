//! The fuzz targets, driven without libFuzzer: the corpus as it is, and as many mutations of it as
//! `KAPELL_FUZZ_RUNS` says for each target. The same inputs every time unless `KAPELL_SEED` says otherwise.

#![expect(clippy::unwrap_used, reason = "that is how a test fails, in its helpers too")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod dice;
#[path = "../fuzz/targets.rs"]
mod targets;

use dice::Dice;
use targets::TARGETS;

/// Mutations for each target in an ordinary run of the tests.
const RUNS: u64 = 2000;

/// Far more than any input of these sizes takes.
const LONGEST: Duration = Duration::from_secs(10);

/// What grammars turn on.
const WORDS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    ":",
    ",",
    "*",
    "**/",
    "?",
    "/",
    "\n",
    "\\u0000",
    "\\",
    "-1",
    "1e999",
    "null",
    "99999999999999999999",
    "&a ",
    "*a ",
    "é",
    "\u{feff}",
    "=",
];

impl Dice {
    /// A range within so many bytes, mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.roll(length + 1);
        let longest = if self.roll(4) == 0 { length } else { 12 };
        start..(start + self.roll(longest + 1)).min(length)
    }

    fn mutated(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.roll(corpus.len())].clone();
        for _ in 0..=self.roll(6) {
            let range = self.range(bytes.len());
            match self.roll(6) {
                0 => drop(bytes.drain(range)),
                1 => {
                    let copied = bytes[range].to_vec();
                    let at = self.roll(bytes.len() + 1);
                    bytes.splice(at..at, copied);
                }
                2 => {
                    let other = &corpus[self.roll(corpus.len())];
                    let piece = other[self.range(other.len())].to_vec();
                    bytes.splice(range, piece);
                }
                3 => bytes.insert(range.start, self.roll(256) as u8),
                4 if !range.is_empty() => bytes[range.start] ^= 1 << self.roll(8),
                _ => drop(bytes.splice(range, WORDS[self.roll(WORDS.len())].bytes())),
            }
        }
        bytes
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What the target is begun with: its own corpus, and what agents were recorded to print.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut corpus = files(&root.join("fuzz/corpus").join(target));
    corpus.extend(files(&root.join("tests/data/recordings").join(target)));
    assert!(!corpus.is_empty(), "{target} has no corpus");
    corpus
}

fn run(name: &str, target: fn(&[u8]), bytes: &[u8]) {
    let began = Instant::now();
    let is_sound = catch_unwind(|| target(bytes)).is_ok();
    let took = began.elapsed();
    assert!(is_sound && took < LONGEST, "{name} took {took:?} for:\n{}", bytes.escape_ascii());
}

fn fuzz(name: &str) {
    let (name, target) = TARGETS.into_iter().find(|target| target.0 == name).unwrap();
    let corpus = corpus(name);
    for bytes in &corpus {
        run(name, target, bytes);
    }
    let mut dice = Dice(number("KAPELL_SEED").unwrap_or(0));
    for _ in 0..number("KAPELL_FUZZ_RUNS").unwrap_or(RUNS) {
        run(name, target, &dice.mutated(&corpus));
    }
}

macro_rules! fuzzed {
    ($($name:ident)*) => {
        $(#[test] fn $name() { fuzz(stringify!($name)); })*

        #[test]
        fn no_target_is_left_out() {
            assert_eq!(TARGETS.map(|target| target.0), [$(stringify!($name)),*]);
            let programs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets"));
            assert_eq!(programs.unwrap().count(), TARGETS.len());
        }
    };
}

fuzzed! { plan_json plan_yaml config pattern rpc claude codex opencode command shell }
