//! Kapell for Zed: says how the language server and the server for Zed's agents are started.

use zed_extension_api::settings::{CommandSettings, ContextServerSettings, LspSettings};
use zed_extension_api::{
    self as zed, Command, ContextServerId, EnvVars, LanguageServerId, Project, Result, Worktree, serde_json,
};

struct Kapell;

impl zed::Extension for Kapell {
    fn new() -> Self {
        Self
    }

    fn language_server_command(&mut self, id: &LanguageServerId, worktree: &Worktree) -> Result<Command> {
        let told = LspSettings::for_worktree(id.as_ref(), worktree)?.binary;
        let (path, arguments, env) = parts(told);
        let program = path.or_else(|| worktree.which("kapell")).ok_or_else(missing)?;
        let mut all = worktree.shell_env();
        all.extend(env);
        Ok(Command { command: program, args: arguments.unwrap_or_else(|| vec!["lsp".to_owned()]), env: all })
    }

    fn language_server_initialization_options(
        &mut self,
        id: &LanguageServerId,
        worktree: &Worktree,
    ) -> Result<Option<serde_json::Value>> {
        Ok(LspSettings::for_worktree(id.as_ref(), worktree)?.initialization_options)
    }

    fn language_server_workspace_configuration(
        &mut self,
        id: &LanguageServerId,
        worktree: &Worktree,
    ) -> Result<Option<serde_json::Value>> {
        Ok(LspSettings::for_worktree(id.as_ref(), worktree)?.settings)
    }

    fn context_server_command(&mut self, id: &ContextServerId, project: &Project) -> Result<Command> {
        let settings = ContextServerSettings::for_project(id.as_ref(), project)?;
        let told = match settings.command {
            Some(command) => Some(command),
            None => serde_json::from_value(settings.settings.unwrap_or_default())
                .map_err(|error| format!("the settings of the context server {id}: {error}"))?,
        };
        let (path, arguments, env) = parts(told);
        let mut args = arguments.unwrap_or_else(|| vec!["mcp".to_owned()]);
        // A project cannot be asked what is on its PATH, and Zed looks for a program without a folder in the
        // extension's own; so what Zed's PATH has is found by env.
        let program = path.unwrap_or_else(|| {
            args.insert(0, "kapell".to_owned());
            "/usr/bin/env".to_owned()
        });
        Ok(Command { command: program, args, env })
    }
}

fn parts(told: Option<CommandSettings>) -> (Option<String>, Option<Vec<String>>, EnvVars) {
    told.map_or_else(Default::default, |told| {
        (told.path, told.arguments, told.env.unwrap_or_default().into_iter().collect())
    })
}

fn missing() -> String {
    "the program kapell is not on the PATH. Install it (`cargo install --path .` in Kapell's sources), \
     or name it in the settings: {\"lsp\": {\"kapell\": {\"binary\": \
     {\"path\": \"/path/to/kapell\", \"arguments\": [\"lsp\"]}}}}"
        .to_owned()
}

zed::register_extension!(Kapell);
