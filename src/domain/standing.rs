//! Standing sessions of the fleet: how they are named, whose one is, and what may be typed into it.

use crate::base::ids::{ProjectId, WorkerName};

/// A session of tmux as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number, such as `$3`: nothing else can be meant by it as long as the server lives.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The project that Kapell started it for; none for somebody's own.
    pub project: Option<String>,
    /// The worker that Kapell started it as; none for one that shows attempts.
    pub worker: Option<String>,
    /// The pane that Kapell started in it, if it is still there.
    pub pane: Option<String>,
    /// Whether the program in that pane has not ended.
    pub is_up: bool,
    /// Whether somebody looks at it.
    pub is_attached: bool,
}

/// Whom a session is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The worker's name.
    pub worker: WorkerName,
    /// Whether Kapell started it for this project. Only then may it be ended.
    pub is_ours: bool,
}

/// A name as tmux takes it: it makes `_` of `.` and `:` itself, which part its targets, and what else is
/// no letter, digit, `-` or `_` would have to be quoted by whoever types it.
pub fn tmux_name(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
        .take(60)
        .collect();
    match name.chars().next() {
        None => "_".to_owned(),
        // It would be taken for an option.
        Some('-') => format!("_{name}"),
        Some(_) => name,
    }
}

/// Names for the session of a worker, the plainest first: another project may have a worker of that
/// name, and somebody a session.
pub fn worker_names(worker: &str, title: &str, project: &ProjectId) -> [String; 3] {
    [
        tmux_name(worker),
        tmux_name(&format!("{worker}-{title}")),
        tmux_name(&format!("{worker}-{}", project.as_str())),
    ]
}

/// Names for the session that shows a project's attempts.
pub fn project_names(title: &str, project: &ProjectId) -> [String; 2] {
    [tmux_name(&format!("kapell-{title}")), tmux_name(&format!("kapell-{}", project.as_str()))]
}

/// Whether this is the session that shows the attempts of the project.
pub fn shows_attempts(session: &Listed, project: &ProjectId) -> bool {
    session.worker.is_none() && session.project.as_deref() == Some(project.as_str())
}

/// Who of the fleet a session is, if it is anybody. A mark of Kapell says it; without one, the name of a
/// worker, or one that a group's pattern matches (`is_placed`).
pub fn member<'w>(
    session: &Listed,
    project: &ProjectId,
    workers: impl IntoIterator<Item = &'w WorkerName>,
    is_placed: impl Fn(&str) -> bool,
) -> Option<Member> {
    match (&session.project, &session.worker) {
        (Some(marked), Some(worker)) if marked == project.as_str() => {
            return Some(Member { worker: WorkerName::new(worker.clone()), is_ours: true });
        }
        // Another project's, or one that shows attempts.
        (Some(_), _) => return None,
        (None, _) => {}
    }
    let worker = workers.into_iter().find(|worker| tmux_name(worker.as_str()) == session.name);
    let worker = worker.cloned().or_else(|| is_placed(&session.name).then(|| session.name.as_str().into()));
    Some(Member { worker: worker?, is_ours: false })
}

/// A text as it may be pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The text, lines parted by `\n`, without an end of line behind the last.
    pub text: String,
    /// Control characters that were left out: they would act as keys.
    pub left_out: usize,
}

impl Typed {
    /// Takes from a text what would act as a key: escape, interrupt, the end of a bracketed paste.
    pub fn of(text: &str) -> Self {
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        let is_text = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        let kept: String = lines.chars().filter(is_text).collect();
        let left_out = lines.chars().count() - kept.chars().count();
        Self { text: kept.trim_end_matches('\n').to_owned(), left_out }
    }

    /// Whether there is nothing to type.
    pub fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Whether it is one line without tabs: the same for every program.
    pub fn is_plain(&self) -> bool {
        !self.text.contains(['\n', '\t'])
    }

    /// The text on one line, for a program that would take the end of a line for Enter and a tab for the
    /// wish to complete.
    #[must_use]
    pub fn joined(&self) -> Self {
        let lines = self.text.split(['\n', '\t']).map(str::trim).filter(|line| !line.is_empty());
        Self { text: lines.collect::<Vec<_>>().join(" "), left_out: self.left_out }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(name: &str, project: Option<&str>, worker: Option<&str>) -> Listed {
        Listed {
            id: "$1".to_owned(),
            name: name.to_owned(),
            project: project.map(str::to_owned),
            worker: worker.map(str::to_owned),
            pane: None,
            is_up: true,
            is_attached: false,
        }
    }

    #[test]
    fn names_are_such_that_a_target_cannot_be_misread() {
        for (text, name) in [
            ("api", "api"),
            ("my.app", "my_app"),
            ("a:b", "a_b"),
            ("my project", "my_project"),
            ("-x", "_-x"),
            ("größe", "größe"),
            ("=$1*?[", "__1___"),
            ("a\u{1b}\nb#{x}", "a__b__x_"),
            ("", "_"),
        ] {
            assert_eq!(tmux_name(text), name, "{text:?}");
        }
        assert_eq!(tmux_name(&"x".repeat(500)).len(), 60);
    }

    #[test]
    fn a_mark_says_whose_a_session_is_and_a_name_only_without_one() {
        let project = ProjectId::new("api-1");
        let workers = [WorkerName::new("codex2"), WorkerName::new("a.b")];
        let of = |session: Listed| {
            member(&session, &project, &workers, |name| name.starts_with("pr_review"))
                .map(|member| (member.worker.to_string(), member.is_ours))
        };
        let is = |worker: &str, is_ours| Some((worker.to_owned(), is_ours));
        assert_eq!(of(listed("codex2", None, None)), is("codex2", false));
        assert_eq!(of(listed("a_b", None, None)), is("a.b", false));
        assert_eq!(of(listed("pr_review7", None, None)), is("pr_review7", false));
        assert_eq!(of(listed("notes", None, None)), None);
        assert_eq!(of(listed("codex2-api", Some("api-1"), Some("codex2"))), is("codex2", true));
        // Gone from the configuration, and still ours to end.
        assert_eq!(of(listed("old", Some("api-1"), Some("old"))), is("old", true));
        assert_eq!(of(listed("codex2", Some("other-2"), Some("codex2"))), None);
        assert_eq!(of(listed("kapell-api", Some("api-1"), None)), None);
        assert!(shows_attempts(&listed("kapell-api", Some("api-1"), None), &project));
        assert!(!shows_attempts(&listed("kapell-api", None, None), &project));
        assert!(!shows_attempts(&listed("codex2", Some("api-1"), Some("codex2")), &project));
    }

    #[test]
    fn what_acts_as_a_key_is_not_typed() {
        for (text, typed, left_out) in [
            ("one\r\ntwo\rthree\n\n", "one\ntwo\nthree", 0),
            ("a\u{1b}[201~\rrm -rf x\u{3}", "a[201~\nrm -rf x", 2),
            ("\u{9b}31mx\u{7f}\0", "31mx", 3),
            ("tab\there", "tab\there", 0),
            ("größe 🎼", "größe 🎼", 0),
        ] {
            assert_eq!(Typed::of(text), Typed { text: typed.to_owned(), left_out }, "{text:?}");
        }
        assert_eq!(Typed::of("a\n\n  b\tc\n").joined().text, "a b c");
        assert!(Typed::of("\n \u{1b}").is_blank());
    }

    proptest! {
        #[test]
        fn no_text_has_a_key_in_it(text in any::<String>()) {
            let typed = Typed::of(&text);
            prop_assert!(typed.text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            prop_assert!(typed.joined().text.chars().all(|c| !c.is_control()));
        }

        #[test]
        fn every_name_is_plain_and_stays(text in any::<String>()) {
            let name = tmux_name(&text);
            prop_assert!(!name.is_empty() && !name.starts_with('-'));
            prop_assert!(name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_'));
        }
    }
}
