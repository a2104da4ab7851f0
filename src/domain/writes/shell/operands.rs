//! The words of a command as options and operands.

use super::word::Arg;

/// What a command was given.
#[derive(Debug, Default)]
pub(super) struct Operands {
    pub paths: Vec<Arg>,
    /// Options by their names without dashes, with their values.
    options: Vec<(String, Option<Arg>)>,
}

impl Operands {
    /// `short` are the letters that take a value, each with `:` behind it, or with `;` where the value
    /// can only stand in the same word; `long` are the names, with blanks between them, that take the
    /// next word.
    pub fn of(words: &[Arg], short: &str, long: &str) -> Self {
        Self::read(words, short, long, false)
    }

    /// The same, where the first operand ends the options: what a carrier runs has its own.
    pub fn leading(words: &[Arg], short: &str, long: &str) -> Self {
        Self::read(words, short, long, true)
    }

    fn read(words: &[Arg], short: &str, long: &str, is_leading: bool) -> Self {
        let mut operands = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let text = word.text().unwrap_or_default();
            if text == "--" {
                break;
            }
            if let Some(name) = text.strip_prefix("--") {
                let (name, value) = match name.split_once('=') {
                    Some((name, value)) => (name, Some(Arg::Text(value.to_owned()))),
                    None if is_one(name, long) => (name, words.next().cloned()),
                    None => (name, None),
                };
                operands.options.push((name.to_owned(), value));
            } else if text.len() > 1 && text.starts_with('-') {
                let mut letters = text[1..].chars();
                while let Some(letter) = letters.next() {
                    let sign =
                        short.find(letter).and_then(|at| short[at + letter.len_utf8()..].chars().next());
                    let rest = letters.as_str();
                    let attached = || Some(Arg::Text(rest.strip_prefix('=').unwrap_or(rest).to_owned()));
                    let value = match sign {
                        Some(':') if rest.is_empty() => words.next().cloned(),
                        Some(':' | ';') => attached(),
                        _ => None,
                    };
                    operands.options.push((letter.to_string(), value));
                    if matches!(sign, Some(':' | ';')) {
                        break;
                    }
                }
            } else {
                operands.paths.push(word.clone());
                if is_leading {
                    break;
                }
            }
        }
        operands.paths.extend(words.cloned());
        operands
    }

    /// Whether one of these options was given.
    pub fn has(&self, names: &str) -> bool {
        self.options.iter().any(|(name, _)| is_one(name, names))
    }

    /// How often one of these options was given.
    pub fn count(&self, names: &str) -> usize {
        self.options.iter().filter(|(name, _)| is_one(name, names)).count()
    }

    /// The value of the first of these options that was given.
    pub fn value(&self, names: &str) -> Option<&Arg> {
        self.options.iter().find(|(name, value)| value.is_some() && is_one(name, names))?.1.as_ref()
    }

    /// The value of each of these options that was given.
    pub fn values(&self, names: &str) -> Vec<Arg> {
        self.options
            .iter()
            .filter(|(name, _)| is_one(name, names))
            .filter_map(|(_, value)| value.clone())
            .collect()
    }

    /// The operands behind the first `n`.
    pub fn after(&self, n: usize) -> &[Arg] {
        self.paths.get(n..).unwrap_or_default()
    }
}

/// Whether a name is one of these.
pub(super) fn is_one(name: &str, names: &str) -> bool {
    names.split(' ').any(|known| known == name)
}
