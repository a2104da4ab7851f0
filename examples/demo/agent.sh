#!/bin/sh
# A scripted agent: what a model would do for the demo's tasks. It works in its own
# worktree and knows its task from the environment, like any provider of kind "command".
set -eu

say() { printf '{"kapell":"progress","text":"%s"}\n' "$1"; }

mkdir -p specs tests
case "$KAPELL_TASK" in
spec-*)
    say "writing the spec"
    cat > specs/textkit.md <<'SPEC'
# textkit

- `slug::slug(title)` gives the title in lower case, its words joined by single hyphens.
- `words::count_words(text)` gives the number of words; words are separated by white space.
SPEC
    ;;
1)
    say "tests first, then slug"
    cat > tests/slug.rs <<'RUST'
use textkit::slug::slug;

#[test]
fn words_are_joined_by_hyphens() {
    assert_eq!(slug("Hello  Brave World"), "hello-brave-world");
    assert_eq!(slug(""), "");
}
RUST
    cat > src/slug.rs <<'RUST'
//! Titles as parts of addresses.

/// The title in lower case, its words joined by single hyphens.
pub fn slug(title: &str) -> String {
    title.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-")
}
RUST
    ;;
2)
    cat > tests/words.rs <<'RUST'
use textkit::words::count_words;

#[test]
fn white_space_separates_words() {
    assert_eq!(count_words("one two\n three "), 3);
    assert_eq!(count_words(""), 0);
}
RUST
    cat > src/words.rs <<'RUST'
//! Counting words.

/// The number of words in a text.
pub fn count_words(text: &str) -> usize {
    text.split_whitespace().count()
}
RUST
    if ! grep -q "This is try" "$KAPELL_PROMPT_FILE"; then
        # The first try also "improves" a file that belongs to the other worker.
        say "counting words, and tidying up src/slug.rs on the way"
        echo "// tidied up" >> src/slug.rs
    else
        say "counting words, within my own files this time"
    fi
    ;;
3)
    say "describing both"
    printf '\n- `slug("Hello World")` is `hello-world`\n- `count_words("one two")` is 2\n' >> README.md
    ;;
esac
printf '{"kapell":"usage","input_tokens":1200,"output_tokens":300,"usd":0.008}\n'
printf '{"kapell":"result","text":"done"}\n'
