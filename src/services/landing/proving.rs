//! Proving a merge: what can be run still passes with what others landed.

use crate::domain::plan::{CommandLine, Rules};
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::services::conductor::desk::Desk;
use crate::services::judging::commands::{End, on_commit_twice};
use crate::services::judging::verify::VerifyTree;
use crate::services::judging::{Case, is_from_ecosystem, lacks_its_tool};
use crate::store::events::NewEvent;
use crate::sys::git::Oid;

/// As much of a command's output is told to a worker, in bytes from its end.
const SHOWN: usize = 6000;

/// What is wrong with a merge of these cases, if anything is: whatever of their rules is a command is run on it,
/// each command once.
pub(super) fn prove(
    desk: &Desk,
    cases: &[Case<'_>],
    verify: &mut Option<VerifyTree>,
    merged: &Oid,
) -> Result<Option<String>, Error> {
    let mut done: Vec<&CommandLine> = Vec::new();
    for case in cases {
        for (gate, command) in commands(&case.rules) {
            if done.contains(&command) {
                continue;
            }
            done.push(command);
            let seen = on_commit_twice(case, verify, merged, gate, command)?;
            let shown = shell_words::join(&command.0);
            match seen.end {
                End::Passed => {}
                End::Flaky(how) => {
                    tell_flaky(desk, &format!("{gate}: `{shown}` {how}, and succeeds when run again"))?;
                }
                End::Failed(_) if lacks_its_tool(case, verify, gate, command)? => {}
                End::Failed(how) => {
                    let output = end_of(&seen.output);
                    return Ok(Some(format!(
                        "together with what landed meanwhile, `{shown}` {how}:\n{output}"
                    )));
                }
                // The gates passed over it for the same reason.
                End::Unknown(_) if is_from_ecosystem(case, command) => {}
                End::Unknown(why) => {
                    return Err(Refusal::new(
                        Code::Conflict,
                        format!("`{shown}` cannot be run together with what landed meanwhile: {why}"),
                        "control approve tries it again",
                    )
                    .into());
                }
            }
        }
    }
    Ok(None)
}

/// Whether there is a command that a merge can be proved by.
pub(super) fn can_prove(rules: &Rules) -> bool {
    commands(rules).next().is_some()
}

/// The commands that prove a merge, the quickest kind first.
fn commands(rules: &Rules) -> impl Iterator<Item = (&'static str, &CommandLine)> {
    let custom = rules.custom.iter().flatten().map(|command| ("landing-custom", command));
    let known = [
        ("landing-lint", rules.lint.as_ref()),
        ("landing-test", rules.test.as_ref()),
        ("landing-build", rules.build.as_ref()),
    ];
    known.into_iter().filter_map(|(gate, command)| Some((gate, command?))).chain(custom)
}

/// The last of what a command printed, as much as is told.
pub(super) fn end_of(output: &str) -> &str {
    let from = output.len().saturating_sub(SHOWN);
    let from = (from..output.len()).find(|&at| output.is_char_boundary(at)).unwrap_or(from);
    &output[from..]
}

fn tell_flaky(desk: &Desk, text: &str) -> Result<(), Error> {
    desk.store()?.write(|tx| -> Result<(), Error> {
        let event = NewEvent {
            kind: "gate.flaky",
            plan: Some(&desk.plan_id),
            text: text.to_owned(),
            ..NewEvent::default()
        };
        tx.append_event(&desk.project.id, &event)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_output_is_cut_between_characters() {
        for (output, shown) in [
            (String::new(), 0),
            ("short".to_owned(), 5),
            ("x".repeat(SHOWN + 1), SHOWN),
            ("é".repeat(SHOWN), SHOWN),
            (format!("x{}x", "é".repeat(SHOWN)), SHOWN - 1),
        ] {
            assert_eq!(end_of(&output).len(), shown);
            assert!(output.ends_with(end_of(&output)));
        }
    }
}
