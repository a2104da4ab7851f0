//! The kinds of problems that a configuration can have.

/// The stable code of a problem; scripts, editors and tests may rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigCode {
    /// The text is no TOML there.
    Syntax,
    /// A key is set twice.
    DuplicateKey,
    /// A key that its table does not have.
    UnknownKey,
    /// A table lacks a key that it cannot do without.
    MissingKey,
    /// A key of which nothing comes, for want of another one.
    UselessKey,
    /// A key that only the person's file may have.
    PersonOnly,
    /// A value of another type.
    WrongType,
    /// A value that is out of its range, or none of those that may be.
    BadValue,
    /// Something that cannot be run.
    BadCommand,
    /// A pattern or a path that cannot be owned or kept.
    BadPath,
    /// Something that is no regular expression, or fits nothing.
    BadPattern,
    /// A name that cannot be one.
    BadName,
    /// One name for two things.
    DuplicateName,
    /// A name that leads to nothing.
    UnknownName,
    /// The target never gets a task.
    ProtectedWorker,
    /// A group that nobody belongs to.
    EmptyGroup,
    /// Something that nothing ever leads to.
    Unreachable,
    /// Stages wait for one another.
    Cycle,
    /// A stage to which its part cannot be given.
    BadStage,
    /// Two values that do not go together.
    Contradiction,
    /// A fault of the checker itself.
    Internal,
}

impl ConfigCode {
    /// All codes.
    pub const ALL: [Self; 21] = [
        Self::Syntax,
        Self::DuplicateKey,
        Self::UnknownKey,
        Self::MissingKey,
        Self::UselessKey,
        Self::PersonOnly,
        Self::WrongType,
        Self::BadValue,
        Self::BadCommand,
        Self::BadPath,
        Self::BadPattern,
        Self::BadName,
        Self::DuplicateName,
        Self::UnknownName,
        Self::ProtectedWorker,
        Self::EmptyGroup,
        Self::Unreachable,
        Self::Cycle,
        Self::BadStage,
        Self::Contradiction,
        Self::Internal,
    ];

    /// The code's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::DuplicateKey => "duplicate-key",
            Self::UnknownKey => "unknown-key",
            Self::MissingKey => "missing-key",
            Self::UselessKey => "useless-key",
            Self::PersonOnly => "person-only",
            Self::WrongType => "wrong-type",
            Self::BadValue => "bad-value",
            Self::BadCommand => "bad-command",
            Self::BadPath => "bad-path",
            Self::BadPattern => "bad-pattern",
            Self::BadName => "bad-name",
            Self::DuplicateName => "duplicate-name",
            Self::UnknownName => "unknown-name",
            Self::ProtectedWorker => "protected-worker",
            Self::EmptyGroup => "empty-group",
            Self::Unreachable => "unreachable",
            Self::Cycle => "cycle",
            Self::BadStage => "bad-stage",
            Self::Contradiction => "contradiction",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_that_is_documented() {
        let written = include_str!("../../../protocol/lsp.md");
        let table = written.split("| of `kapell.toml` | |").nth(1).unwrap().split("\n\n").next().unwrap();
        let mut names: Vec<&str> = ConfigCode::ALL.iter().map(|code| code.as_str()).collect();
        for name in &names {
            assert!(table.contains(&format!("`{name}`")), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ConfigCode::ALL.len());
    }
}
