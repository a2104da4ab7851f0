//! An agent that a person talks to: the same program as for attempts, without what makes it do one task.

use std::collections::BTreeMap;
use std::path::Path;

use super::launch::{BadCommand, Program, text};
use super::{AgentKind, environment};

/// What of a command stands for a single task.
const OF_A_TASK: [&str; 6] = ["{prompt}", "{prompt_file}", "{worktree}", "{task}", "{attempt}", "{files}"];

/// The command line; none where the program is told its task by its arguments, so that nobody knows how it
/// is started without one.
pub fn standing_command(
    kind: AgentKind,
    command: &[String],
    args: &[String],
    model: Option<&str>,
) -> Option<Vec<String>> {
    let words = || command.iter().chain(args);
    if words().any(|word| OF_A_TASK.iter().any(|of_a_task| word.contains(of_a_task))) {
        return None;
    }
    let named = model.unwrap_or_default();
    if kind == AgentKind::Command {
        return (model.is_some() || !words().any(|word| word.contains("{model}")))
            .then(|| words().map(|word| word.replace("{model}", named)).collect());
    }
    let mut argv = command.to_vec();
    argv.extend(model.into_iter().flat_map(|model| ["--model".to_owned(), model.to_owned()]));
    argv.extend(args.iter().cloned());
    Some(argv)
}

/// The whole environment: what is let through to attempts, and nothing of theirs.
///
/// # Errors
/// The allow-list cannot be read, or the home is no text.
pub fn standing_environment(
    program: &Program<'_>,
    home: &Path,
    caller: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, BadCommand> {
    let mut env = environment::allowed(program, caller)?;
    env.insert("HOME".to_owned(), text(home)?.to_owned());
    env.extend(program.set_env.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_command_stands_where_it_is_not_told_a_task() {
        for (kind, command, args, model, argv) in [
            (AgentKind::Claude, "claude", "--verbose", Some("opus"), Some("claude --model opus --verbose")),
            (AgentKind::Codex, "codex --oss", "", None, Some("codex --oss")),
            (AgentKind::Command, "agent --chat", "-m {model}", Some("m"), Some("agent --chat -m m")),
            (AgentKind::Command, "agent", "-m {model}", None, None),
            (AgentKind::Command, "agent", "--file={prompt_file}", None, None),
        ] {
            let found = standing_command(kind, &words(command), &words(args), model);
            assert_eq!(found, argv.map(words), "{command} {args}");
        }
    }

    #[test]
    fn nothing_but_what_is_allowed_gets_through() {
        let pairs =
            [("PATH", "/bin"), ("SECRET", "x"), ("MY_KEY", "k"), ("CLAUDECODE", "1"), ("HOME", "/other")];
        let caller = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let set_env = [("A".to_owned(), "b".to_owned())].into();
        let allowed = ["MY_*".to_owned()];
        let command = words("agent");
        let program = Program {
            kind: AgentKind::Command,
            command: &command,
            args: &[],
            env: Some(&allowed),
            set_env: &set_env,
            model: None,
            local: None,
        };
        let env = standing_environment(&program, Path::new("/home/p"), &caller).unwrap();
        let found: Vec<_> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(found, ["A=b", "HOME=/home/p", "MY_KEY=k", "PATH=/bin"]);
    }
}
