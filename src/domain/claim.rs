//! Claims: who may change what, and who has to wait.

use crate::base::clock::Time;
use crate::base::ids::{ClaimId, HolderName};
use crate::base::sorting::sort;
use crate::domain::overlap::{IsFile, overlap_of};
use crate::domain::pattern::Pattern;

/// Whether others may hold the same paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nobody else holds an overlapping claim.
    Exclusive,
    /// Others may hold it too, as long as nobody writes.
    Shared,
}

/// What kind of holder it is; that decides what proves its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HolderKind {
    /// A worker's attempt, alive as long as its shim.
    Attempt,
    /// An agent session that Kapell did not start, or a script.
    Agent,
    /// A person.
    Person,
}

/// Somebody who can hold claims. Two holders are the same if kind and name are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// What it is.
    pub kind: HolderKind,
    /// Its name within its kind.
    pub name: HolderName,
}

/// A claim that somebody holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its number, which is its fencing number too.
    pub id: ClaimId,
    /// What it owns.
    pub pattern: Pattern,
    /// Whether others may hold the same.
    pub mode: Mode,
    /// Who holds it.
    pub holder: Holder,
    /// `PLAN/TASK`, where an attempt holds it.
    pub task: Option<String>,
    /// Why, as the holder said.
    pub reason: Option<String>,
    /// When it was granted.
    pub since: Time,
    /// When it runs out unless renewed.
    pub expires_at: Time,
    /// The file whose lock proves that the holder lives.
    pub alive: Option<String>,
}

/// Why a pattern cannot be had now.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The pattern that was asked for.
    pub pattern: Pattern,
    /// The claim in the way.
    pub held: Held,
    /// A path that both own.
    pub witness: String,
}

/// What to do about a wish for claims. All or nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Renew the claims that the holder has already, insert the others.
    Grant {
        /// Claims of the holder's own with exactly these patterns, which are as it wants them.
        renew: Vec<ClaimId>,
        /// Patterns to insert, in canonical order, without repetition.
        insert: Vec<Pattern>,
        /// Claims of the holder's own with these patterns in the other mode, which the new ones replace.
        replace: Vec<ClaimId>,
    },
    /// Somebody is in the way; every conflict is named.
    Refuse(Vec<Conflict>),
}

/// Decides on a wish for `wanted` by `holder`, given the live claims `held` that
/// may touch them (others do no harm), and which paths are files.
pub fn decide(
    wanted: &[Pattern],
    mode: Mode,
    holder: &Holder,
    held: &[Held],
    is_file: &IsFile<'_>,
) -> Decision {
    // Canonical order: two wishes for the same paths never lock each other out halfway.
    let mut wanted: Vec<&Pattern> = wanted.iter().collect();
    sort(&mut wanted);
    wanted.dedup();
    let mut conflicts = Vec::new();
    let (mut renew, mut insert, mut replace) = (Vec::new(), Vec::new(), Vec::new());
    for pattern in wanted {
        let own = || held.iter().filter(|claim| claim.holder == *holder && claim.pattern == *pattern);
        // An attempt owns what it holds exclusively: to want a look at it besides gives nothing of that away.
        let keeps =
            |claim: &&Held| claim.mode == mode || holder.kind == HolderKind::Attempt && mode == Mode::Shared;
        // What stands beside one's own claim was let in on purpose: what a task lends its child.
        if let Some(claim) = own().find(keeps) {
            renew.push(claim.id);
            continue;
        }
        replace.extend(own().map(|claim| claim.id));
        let others = held.iter().filter(|claim| claim.holder != *holder && excludes(mode, claim.mode));
        conflicts.extend(others.filter_map(|claim| {
            overlap_of(pattern, &claim.pattern, is_file).map(|witness| Conflict {
                pattern: pattern.clone(),
                held: claim.clone(),
                witness,
            })
        }));
        insert.push(pattern.clone());
    }
    if conflicts.is_empty() {
        Decision::Grant { renew, insert, replace }
    } else {
        Decision::Refuse(conflicts)
    }
}

/// The claims that own something of what these patterns do, each with a path.
pub fn touching(patterns: &[Pattern], held: &[Held], is_file: &IsFile<'_>) -> Vec<Conflict> {
    let meet = |pattern: &Pattern, held: &Held| {
        let witness = overlap_of(pattern, &held.pattern, is_file)?;
        Some(Conflict { pattern: pattern.clone(), held: held.clone(), witness })
    };
    patterns.iter().flat_map(|pattern| held.iter().filter_map(move |held| meet(pattern, held))).collect()
}

/// Whether two claims of different holders may not stand beside each other.
pub fn excludes(a: Mode, b: Mode) -> bool {
    a == Mode::Exclusive || b == Mode::Exclusive
}

impl Mode {
    /// The mode's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Exclusive, Self::Shared].into_iter().find(|mode| mode.as_str() == text)
    }
}

impl HolderKind {
    /// The kind's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Agent => "agent",
            Self::Person => "person",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Attempt, Self::Agent, Self::Person].into_iter().find(|kind| kind.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str) -> Holder {
        Holder { kind: HolderKind::Agent, name: name.into() }
    }

    fn held(id: i64, pattern: &str, mode: Mode, by: &str) -> Held {
        Held {
            id: ClaimId(id),
            pattern: Pattern::parse(pattern).unwrap(),
            mode,
            holder: holder(by),
            task: None,
            reason: None,
            since: Time::from_millis(0),
            expires_at: Time::from_millis(1),
            alive: None,
        }
    }

    fn verdict(wanted: &[&str], mode: Mode, by: &str, live: &[Held]) -> String {
        let wanted: Vec<Pattern> = wanted.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        match decide(&wanted, mode, &holder(by), live, &|path| path == "README.md") {
            Decision::Grant { renew, insert, replace } => {
                let renew = renew.iter().map(|id| format!("={id}"));
                let renew: Vec<String> = renew.chain(replace.iter().map(|id| format!("-{id}"))).collect();
                let insert: Vec<&str> = insert.iter().map(Pattern::as_str).collect();
                [renew.join(" "), insert.join(" ")].join("|")
            }
            Decision::Refuse(conflicts) => {
                let lines: Vec<String> = conflicts
                    .iter()
                    .map(|c| format!("{}<{}@{}", c.pattern.as_str(), c.held.id, c.witness))
                    .collect();
                format!("no {}", lines.join(" "))
            }
        }
    }

    #[test]
    fn wishes_are_decided_as_a_whole() {
        use Mode::{Exclusive, Shared};
        let live = [
            held(1, "src/db", Exclusive, "ann"),
            held(2, "docs", Shared, "ann"),
            held(3, "lib", Exclusive, "parent"),
            held(4, "lib/part", Exclusive, "child"),
        ];
        let table: &[(&[&str], Mode, &str, &str)] = &[
            (&["src/api"], Exclusive, "bob", "|src/api"),
            (&["src/api", "src/db/a.rs"], Exclusive, "bob", "no src/db/a.rs<1@src/db/a.rs"),
            (&["src/db"], Shared, "bob", "no src/db<1@src/db"),
            (&["docs"], Shared, "bob", "|docs"),
            (&["docs"], Exclusive, "bob", "no docs<2@docs"),
            // Asking again for what one holds renews it.
            (&["src/db", "src/db"], Exclusive, "ann", "=1|"),
            // The same paths in the other mode are another claim, in the place of the one before.
            (&["docs"], Exclusive, "ann", "-2|docs"),
            (&["src/db", "docs"], Shared, "ann", "=2 -1|src/db"),
            (&["src/db/a.rs"], Shared, "ann", "|src/db/a.rs"),
            (&["b", "a", "b"], Exclusive, "bob", "|a b"),
            // A part that is lent stays its child's, and the whole its parent's.
            (&["lib/part"], Exclusive, "child", "=4|"),
            (&["lib"], Exclusive, "parent", "=3|"),
            (&["lib/part"], Exclusive, "parent", "no lib/part<4@lib/part"),
        ];
        for (wanted, mode, by, expected) in table {
            assert_eq!(&verdict(wanted, *mode, by, &live), expected, "{wanted:?} {mode:?} by {by}");
        }
    }

    #[test]
    fn a_file_has_nothing_below_it_that_a_pattern_could_own() {
        let live = [held(1, "**/*.rs", Mode::Exclusive, "ann")];
        assert_eq!(verdict(&["README.md"], Mode::Exclusive, "bob", &live), "|README.md");
        // What is not there yet may become a folder.
        let refused = "no NEW.md<1@NEW.md/a.rs";
        assert_eq!(verdict(&["NEW.md"], Mode::Exclusive, "bob", &live), refused);
        let live = [held(1, "README.md", Mode::Exclusive, "ann")];
        assert_eq!(verdict(&["**/*.rs"], Mode::Exclusive, "bob", &live), "|**/*.rs");
    }

    #[test]
    fn an_attempt_that_looks_at_what_it_owns_owns_it_all_the_same() {
        let attempt = Holder { kind: HolderKind::Attempt, name: "a".into() };
        let claim = |mode| Held { holder: attempt.clone(), ..held(1, "a", mode, "") };
        let wanted = [Pattern::parse("a").unwrap()];
        for (mode, wish, renewed) in [
            (Mode::Exclusive, Mode::Shared, true),
            (Mode::Exclusive, Mode::Exclusive, true),
            (Mode::Shared, Mode::Exclusive, false),
        ] {
            let decision = decide(&wanted, wish, &attempt, &[claim(mode)], &|_| false);
            let Decision::Grant { renew, replace, .. } = decision else { panic!("{decision:?}") };
            assert_eq!((renew.len() == 1, replace.len() == 1), (renewed, !renewed), "{mode:?} {wish:?}");
        }
    }

    #[test]
    fn a_person_and_an_agent_of_one_name_are_two_holders() {
        let live = [held(1, "a", Mode::Exclusive, "ann")];
        let person = Holder { kind: HolderKind::Person, name: "ann".into() };
        let wanted = [Pattern::parse("a").unwrap()];
        assert!(matches!(decide(&wanted, Mode::Exclusive, &person, &live, &|_| false), Decision::Refuse(_)));
    }
}
