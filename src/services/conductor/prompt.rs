//! What a worker is told.

use std::fmt::Write;

use super::advising::Advice;
use super::continuing::{Left, Legacy};
use crate::domain::pattern::Pattern;
use crate::domain::plan::{Plan, Task};

/// What surrounds a task when it is given to a worker.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The plan it belongs to.
    pub plan: &'a Plan,
    /// Whether tests must come with the code.
    pub wants_tests: bool,
    /// The command that runs the tests, for the worker to use.
    pub test: Option<&'a str>,
    /// Which try this is, from 1.
    pub number: u32,
    /// The environment that it works in.
    pub environment: Option<&'a str>,
    /// What came before.
    pub told: Told<'a>,
}

/// What a worker is told of the tries before its own.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// What was wrong with the try before.
    pub feedback: Option<&'a str>,
    /// Where what the try before left is.
    pub left: &'a Left,
    /// What a worker left that had to stop.
    pub legacy: Option<&'a Legacy>,
    /// What the oracle says to it.
    pub advice: Option<&'a Advice>,
}

/// The prompt. The task's own text comes first and unchanged; the rest says what it owns,
/// by what it is measured, and what became of the try before.
pub fn prompt(task: &Task, around: &Circumstances<'_>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", task.text.trim());
    let _ = writeln!(text, "---");
    if task.files.is_empty() {
        let _ = writeln!(
            text,
            "You are one of several workers in this repository, and no files are yours yet. Claim what you will change \
             before you change it (kapell's tool claim-files, or `kapell claim-files PATH` in a shell), and leave \
             alone what is refused to you. Where only an answer is wanted, change nothing. \
             Work in the current folder with relative paths. Do not commit: your changes are collected when you end."
        );
    } else {
        let _ = writeln!(
            text,
            "You are one of several workers in this repository. These files are yours alone; create or change nothing else:"
        );
    }
    for pattern in &task.files {
        let _ =
            writeln!(text, "- {}{}", pattern.as_str(), if pattern.is_literal() { "" } else { " (pattern)" });
    }
    if !task.files.is_empty() {
        let _ = writeln!(
            text,
            "Work in the current folder with relative paths. A change outside of your files is refused and the whole try with it. \
         Do not commit: your changes are collected when you end. If you need another file, ask for it first \
         (kapell's tool claim-files, or `kapell claim-files PATH` in a shell) and change it only once it is granted; \
         else say so in your final answer."
        );
    }
    if let Some(name) = around.environment {
        let _ = writeln!(
            text,
            "The current folder is the environment {name}, a checkout that stays: its ports and databases are in .env.local. \
             Leave its .git and its services as they are."
        );
    }
    if !task.reads.is_empty() {
        let reads: Vec<&str> = task.reads.iter().map(Pattern::as_str).collect();
        let _ = writeln!(text, "Read for this: {}.", reads.join(", "));
    }
    let specs: Vec<String> = around
        .plan
        .specs
        .iter()
        .filter(|spec| !task.files.iter().any(|pattern| pattern.as_str() == spec.file))
        .map(|spec| match spec.description.is_empty() {
            true => spec.file.clone(),
            false => format!("{} ({})", spec.file, spec.description),
        })
        .collect();
    if !specs.is_empty() {
        let _ = writeln!(text, "What is to be built is specified in: {}.", specs.join(", "));
    }
    if around.wants_tests {
        let _ = writeln!(
            text,
            "Write the tests first: they must fail without your implementation and pass with it; that is checked by running them on both."
        );
    }
    if let Some(test) = around.test {
        let _ = writeln!(text, "The tests are run with: {test}");
    }
    let Told { feedback, left, legacy, advice } = around.told;
    let aside = |commit: &str| {
        format!(
            "is not in the folder: other work landed meanwhile that it does not fit with. It is kept in commit {commit}; \
             `git show {commit}:PATH` shows a file of it."
        )
    };
    if let Some(feedback) = feedback {
        let left = match (legacy, left) {
            (Some(_), _) => "An earlier try".to_owned(),
            (None, Left::Here) => {
                "The folder holds what the try before left within your files. That try".to_owned()
            }
            (None, Left::Nothing) => "The try before left nothing within your files. It".to_owned(),
            (None, Left::Aside(commit)) => format!("What the try before left {} That try", aside(commit)),
        };
        let number = around.number;
        let _ = writeln!(text, "\nThis is try {number}. {left} was not accepted:\n{}", feedback.trim());
    }
    if let Some(legacy) = legacy {
        let Legacy { worker, why, last, diff } = legacy;
        let done = match left {
            Left::Aside(commit) => format!("What it did {} Go on from that", aside(commit)),
            Left::Here | Left::Nothing => "The folder holds what it did. Go on from there".to_owned(),
        };
        let _ = writeln!(
            text,
            "\n{worker} worked at this before you and had to stop: {}\n{done}; do not begin anew, and check what it left half done.",
            why.trim()
        );
        if !last.is_empty() {
            let _ = writeln!(text, "The last it said and did:");
            for line in last {
                let _ = writeln!(text, "- {line}");
            }
        }
        match diff.trim() {
            "" => {
                let _ = writeln!(text, "It has changed nothing yet.");
            }
            diff => {
                let fence = fence(diff);
                let _ = writeln!(text, "What it has changed so far:\n{fence}diff\n{diff}\n{fence}");
            }
        }
    }
    if let Some(Advice { who, text: advice }) = advice {
        let _ = writeln!(
            text,
            "\n{who} was asked for advice, since the task was stuck, and says:\n{}",
            advice.trim()
        );
    }
    text
}

/// A fence that nothing in the text closes.
fn fence(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TaskId;

    #[test]
    fn the_task_comes_first_and_what_went_wrong_last() {
        let task = Task::new(
            TaskId::number(1),
            "Implement JWT auth",
            vec![Pattern::parse("src/api/auth.ts").unwrap(), Pattern::parse("src/**/*.css").unwrap()],
        );
        let plan = Plan::default();
        let nothing = Told { feedback: None, left: &Left::Here, legacy: None, advice: None };
        let around = Circumstances {
            plan: &plan,
            wants_tests: true,
            test: Some("npm test"),
            number: 2,
            environment: None,
            told: Told { feedback: Some("the tests pass without the implementation"), ..nothing },
        };
        let text = prompt(&task, &around);
        assert!(text.starts_with("Implement JWT auth\n"));
        assert!(text.contains("- src/api/auth.ts\n- src/**/*.css (pattern)\n"), "{text}");
        assert!(text.contains("npm test"));
        assert!(text.trim_end().ends_with("the tests pass without the implementation"));
        let first = Circumstances { told: nothing, number: 1, ..around };
        assert!(!prompt(&task, &first).contains("This is try"));
        let advice = Advice { who: "gpt".to_owned(), text: "look at the clock\n".to_owned() };
        let advised = Circumstances { told: Told { advice: Some(&advice), ..around.told }, ..around };
        let text = prompt(&task, &advised);
        assert!(
            text.ends_with(
                "\ngpt was asked for advice, since the task was stuck, and says:\nlook at the clock\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn who_goes_on_is_told_what_was_done() {
        let task =
            Task::new(TaskId::number(1), "Implement JWT auth", vec![Pattern::parse("src/a.ts").unwrap()]);
        let plan = Plan::default();
        let legacy = Legacy {
            worker: "claude1".to_owned(),
            why: "rate limit, resets at noon".to_owned(),
            last: vec!["Edit src/a.ts".to_owned(), "Next I write ``` into it".to_owned()],
            diff: "+++ b/src/a.ts\n+const fence = '```'\n".to_owned(),
        };
        let mut around = Circumstances {
            plan: &plan,
            wants_tests: false,
            test: None,
            number: 3,
            environment: None,
            told: Told {
                feedback: Some("lint: unused"),
                left: &Left::Here,
                legacy: Some(&legacy),
                advice: None,
            },
        };
        insta::assert_snapshot!(prompt(&task, &around).split_once("final answer.\n").unwrap().1);
        let nothing = Legacy { last: Vec::new(), diff: String::new(), ..legacy.clone() };
        around =
            Circumstances { told: Told { feedback: None, legacy: Some(&nothing), ..around.told }, ..around };
        let text = prompt(&task, &around);
        assert!(text.ends_with("half done.\nIt has changed nothing yet.\n"), "{text}");
    }

    #[test]
    fn where_the_work_of_the_try_before_is_is_told_as_it_is() {
        let task = Task::new(TaskId::number(1), "Do it", vec![Pattern::parse("src/a.ts").unwrap()]);
        let plan = Plan::default();
        let told = |left: &Left| {
            let told = Told { feedback: Some("lint: bad"), left, legacy: None, advice: None };
            let around = Circumstances {
                plan: &plan,
                wants_tests: false,
                test: None,
                number: 2,
                environment: None,
                told,
            };
            prompt(&task, &around)
        };
        assert!(told(&Left::Here).contains("The folder holds what the try before left"));
        assert!(told(&Left::Nothing).contains("The try before left nothing within your files. It was not"));
        let aside = told(&Left::Aside("abc".to_owned()));
        assert!(!aside.contains("The folder holds"), "{aside}");
        assert!(aside.contains("is not in the folder") && aside.contains("git show abc:PATH"), "{aside}");
    }
}
