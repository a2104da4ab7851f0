//! The command lines, word by word, as they were tried out with the real programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::*;

type Env = BTreeMap<String, String>;

const SESSION: &str = "11111111-2222-4333-8444-555555555555";

fn env<const N: usize>(pairs: [(&str, &str); N]) -> Env {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// What a test changes of an ordinary attempt.
struct Given {
    kind: AgentKind,
    command: Vec<String>,
    args: Vec<String>,
    env: Option<Vec<String>>,
    set_env: Env,
    caller_env: Env,
    files: Vec<String>,
    hook: Option<Vec<String>>,
    server: Option<Vec<String>>,
    prompt: &'static str,
    private: PathBuf,
    model: Option<&'static str>,
    local: Option<Local>,
    resume: Option<&'static str>,
    answer_schema: Option<&'static str>,
    budget_usd: Option<f64>,
    is_root: bool,
    walled: bool,
}

fn given(kind: AgentKind) -> Given {
    Given {
        kind,
        command: strings([kind.as_str()]),
        args: Vec::new(),
        env: None,
        set_env: Env::new(),
        caller_env: Env::new(),
        files: strings(["src/db/", "a b.txt"]),
        hook: None,
        server: None,
        prompt: "-rm \"all\"\n{task}",
        private: PathBuf::from("/run/a-1"),
        model: None,
        local: None,
        resume: None,
        answer_schema: None,
        budget_usd: None,
        is_root: false,
        walled: false,
    }
}

impl Given {
    fn launch(&self) -> Result<Launch, BadCommand> {
        self.with(launch)
    }

    fn with<T>(&self, act: impl FnOnce(&Program<'_>, &Brief<'_>) -> T) -> T {
        let program = Program {
            kind: self.kind,
            command: &self.command,
            args: &self.args,
            env: self.env.as_deref(),
            set_env: &self.set_env,
            model: self.model,
            local: self.local.as_ref(),
        };
        let brief = Brief {
            prompt: self.prompt,
            prompt_file: Path::new("/run/a-1/prompt.md"),
            worktree: Path::new("/work tree"),
            private: &self.private,
            model: None,
            plan: "p-1",
            task: "db",
            attempt: "a-1",
            files: &self.files,
            session: SESSION,
            resume: self.resume,
            budget_usd: self.budget_usd,
            answer_schema: self.answer_schema,
            hook: self.hook.as_deref(),
            socket: Some(Path::new("/run/a-1/ctl.sock")),
            server: self.server.as_deref(),
            is_root: self.is_root,
            walled: self.walled,
            home: Path::new("/home/ada"),
            caller_env: &self.caller_env,
        };
        act(&program, &brief)
    }

    #[track_caller]
    fn good(&self) -> Launch {
        self.launch().expect("a launch")
    }

    /// The command line on one line, blanks and emptiness shown.
    #[track_caller]
    fn line(&self) -> String {
        shell_words::join(self.good().argv)
    }
}

#[test]
fn claude_at_work() {
    let mut given = given(AgentKind::Claude);
    given.model = Some("sonnet");
    given.args = strings(["--effort", "high"]);
    given.budget_usd = Some(2.5);
    given.hook = Some(strings(["/opt/ka pell", "hook", "pre-tool-use"]));
    assert_eq!(
        given.line(),
        "claude -p --output-format stream-json --verbose --model sonnet \
         --session-id 11111111-2222-4333-8444-555555555555 \
         --dangerously-skip-permissions --tools Read,Edit,Write,Bash \
         --strict-mcp-config --setting-sources '' --disable-slash-commands \
         --settings /run/a-1/claude-settings.json --max-budget-usd 2.5 --effort high"
    );
    let launch = given.good();
    assert_eq!(launch.stdin.as_deref(), Some(Path::new("/run/a-1/prompt.md")));
    assert_eq!(
        launch.files,
        [(
            PathBuf::from("/run/a-1/claude-settings.json"),
            r#"{"hooks":{"PreToolUse":[{"matcher":"^(Write|Edit|MultiEdit|NotebookEdit|Bash|mcp__.+__.*([wW]rite|[eE]dit|[cC]reate|[mM]ove|[dD]elete|[rR]ename|[aA]ppend|[rR]eplace|[iI]nsert|[uU]pdate|[pP]atch|[sS]ave|[cC]opy).*)$","hooks":[{"type":"command","command":"'/opt/ka pell' hook pre-tool-use","timeout":10}]}]}}"#.to_owned()
        )]
    );
    assert!(!launch.env.contains_key("IS_SANDBOX"));
    given.is_root = true;
    assert_eq!(given.good().env["IS_SANDBOX"], "1");
}

#[test]
fn claude_resumed_and_asked() {
    let mut given = given(AgentKind::Claude);
    given.resume = Some("s-1");
    given.answer_schema = Some(r#"{"type":"object"}"#);
    assert_eq!(
        given.line(),
        "claude -p --output-format stream-json --verbose --resume s-1 \
         --permission-mode dontAsk --tools Read,Glob,Grep,Bash --json-schema '{\"type\":\"object\"}' \
         --strict-mcp-config --setting-sources '' --disable-slash-commands"
    );
    assert_eq!(given.good().files, []);
}

#[test]
#[cfg(not(target_os = "macos"))]
fn claude_has_its_own_folder_and_the_persons_sign_in() {
    let mut given = given(AgentKind::Claude);
    let link = |from: &str| Seed {
        from: PathBuf::from(from),
        to: PathBuf::from("/run/a-1/claude/.credentials.json"),
        how: SeedHow::Link,
    };
    let launch = given.good();
    assert_eq!(launch.env["CLAUDE_CONFIG_DIR"], "/run/a-1/claude");
    assert_eq!(launch.seeds, [link("/home/ada/.claude/.credentials.json")]);
    let own = ["/run/a-1/tmp", "/run/a-1/claude"].map(PathBuf::from);
    assert_eq!((&launch.folders[..], &launch.writable[..]), (&own[..], &own[..]));
    assert_eq!(launch.persons, [PathBuf::from("/home/ada/.claude/.credentials.json")]);

    given.caller_env = env([("CLAUDE_CONFIG_DIR", "/elsewhere")]);
    let launch = given.good();
    assert_eq!(launch.env["CLAUDE_CONFIG_DIR"], "/run/a-1/claude", "the caller's folder is not the worker's");
    assert_eq!(launch.seeds, [link("/elsewhere/.credentials.json")]);
    given.set_env = env([("CLAUDE_CONFIG_DIR", "/second account")]);
    assert_eq!(given.good().seeds, [link("/second account/.credentials.json")]);
}

#[test]
fn claude_with_a_keychain_needs_the_persons_folder_unless_there_is_a_key() {
    let mut given = given(AgentKind::Claude);
    let launched = |given: &Given| {
        given.with(|program, brief| {
            let mut launch = Launch::base(program, brief).expect("a base");
            claude::config_folder(program, brief, &mut launch, true).expect("a folder");
            let folder = launch.env.get("CLAUDE_CONFIG_DIR").cloned();
            (folder, launch.persons, launch.seeds.len())
        })
    };
    let persons = ["/home/ada/.claude", "/home/ada/.claude.json"].map(PathBuf::from).to_vec();
    assert_eq!(launched(&given), (None, persons, 0));
    given.caller_env = env([("CLAUDE_CONFIG_DIR", "/elsewhere")]);
    assert_eq!(launched(&given).0.as_deref(), Some("/elsewhere"));
    given.caller_env = env([("ANTHROPIC_API_KEY", "k")]);
    assert_eq!(launched(&given).0.as_deref(), Some("/run/a-1/claude"));
}

const CODEX: &str = "codex exec --json --skip-git-repo-check --disable plugins \
                     -c 'check_for_update_on_startup=false' -c 'analytics.enabled=false' -c 'notify=[]' ";

#[test]
fn codex_within_the_wall_and_without() {
    let mut given = given(AgentKind::Codex);
    given.args = strings(["-c", "x=1"]);
    assert_eq!(
        given.line(),
        format!("{CODEX}-s workspace-write -c 'sandbox_workspace_write.exclude_slash_tmp=true' -c 'x=1' -")
    );
    assert!(given.good().writes_worktree);
    given.walled = true;
    given.model = Some("gpt-5.5");
    given.resume = Some("01a1fb6b-b739-7020-8040-7ce421c8eed3");
    assert_eq!(
        given.line(),
        format!(
            "{CODEX}-s danger-full-access -m gpt-5.5 -c 'x=1' resume 01a1fb6b-b739-7020-8040-7ce421c8eed3 -"
        )
    );
}

#[test]
fn codex_asked() {
    let mut given = given(AgentKind::Codex);
    given.answer_schema = Some("{}");
    assert_eq!(given.line(), format!("{CODEX}-s read-only --output-schema /run/a-1/answer-schema.json -"));
    let launch = given.good();
    assert_eq!(launch.files, [(PathBuf::from("/run/a-1/answer-schema.json"), "{}".to_owned())]);
    assert!(!launch.writes_worktree);
    assert_eq!(launch.stdin.as_deref(), Some(Path::new("/run/a-1/prompt.md")));
}

#[test]
fn codex_asks_the_hook_about_every_tool() {
    let mut given = given(AgentKind::Codex);
    given.hook = Some(strings(["/opt/ka\"p\\ell", "it's", "ä\u{1}"]));
    let launch = given.good();
    let at = launch.argv.iter().position(|word| word == "--dangerously-bypass-hook-trust").expect("trust");
    let setting: toml::Table = launch.argv[at - 1].parse().expect("TOML");
    let hook = &setting["hooks"]["PreToolUse"][0];
    assert_eq!(hook["matcher"].as_str(), Some(".*"));
    let command = hook["hooks"][0]["command"].as_str().expect("a command");
    assert_eq!(shell_words::split(command).expect("words"), given.hook.expect("a hook"));
}

#[test]
fn codex_has_the_persons_providers_and_tells_time_in_utc() {
    let mut given = given(AgentKind::Codex);
    given.caller_env = env([("CODEX_HOME", "/ch"), ("TZ", "Europe/Berlin"), ("OPENAI_API_KEY", "k")]);
    let launch = given.good();
    let seeds = launch.seeds.iter().map(|seed| (seed.from.as_path(), seed.to.as_path(), seed.how));
    assert_eq!(
        seeds.collect::<Vec<_>>(),
        [
            (Path::new("/ch/auth.json"), Path::new("/run/a-1/codex/auth.json"), SeedHow::Link),
            (Path::new("/ch/config.toml"), Path::new("/run/a-1/codex/config.toml"), SeedHow::Copy),
        ]
    );
    let of = |name: &str| launch.env[name].as_str();
    assert_eq!([of("CODEX_HOME"), of("TZ"), of("OPENAI_API_KEY")], ["/run/a-1/codex", "UTC", "k"]);
    given.set_env = env([("TZ", "Asia/Tokyo")]);
    assert_eq!(given.good().env["TZ"], "Asia/Tokyo");
}

#[test]
fn opencode_at_work() {
    let mut given = given(AgentKind::OpenCode);
    given.model = Some("fake/fake-model");
    assert_eq!(
        given.line(),
        "opencode run --format json --print-logs --log-level ERROR --auto --title 'kapell a-1' -m fake/fake-model"
    );
    let launch = given.good();
    assert_eq!(launch.stdin.as_deref(), Some(Path::new("/run/a-1/prompt.md")));
    assert_eq!(
        launch.env["OPENCODE_CONFIG_CONTENT"],
        r#"{"autoupdate":false,"share":"disabled","snapshot":false,"permission":{"external_directory":"deny","edit":{"*":"deny","src/db/*":"allow","a b.txt/*":"allow","a b.txt":"allow"}}}"#
    );
    given.resume = Some("ses_1");
    assert!(given.line().contains(" --auto -s ses_1 -m "));
    let of = |name: &str| launch.env.get(name).map(String::as_str);
    assert_eq!(of("XDG_DATA_HOME"), Some("/run/a-1/data"));
    assert_eq!(of("XDG_CONFIG_HOME"), None, "the person's providers stay where they are");
    assert_eq!(launch.seeds[0].from, Path::new("/home/ada/.local/share/opencode/auth.json"));
    assert_eq!(launch.seeds[0].to, Path::new("/run/a-1/data/opencode/auth.json"));
    given.caller_env = env([("XDG_CONFIG_HOME", "/cfg"), ("XDG_DATA_HOME", "/data")]);
    let launch = given.good();
    assert_eq!(launch.env["XDG_CONFIG_HOME"], "/cfg");
    assert_eq!(launch.seeds[0].from, Path::new("/data/opencode/auth.json"));
}

#[test]
fn opencode_asked() {
    let mut given = given(AgentKind::OpenCode);
    given.answer_schema = Some(r#"{"type":"object"}"#);
    let launch = given.good();
    let [(file, prompt)] = &launch.files[..] else { panic!("one file") };
    assert_eq!(launch.stdin.as_ref(), Some(file));
    assert!(prompt.starts_with(given.prompt) && prompt.ends_with("\n{\"type\":\"object\"}\n"), "{prompt}");
    let config: serde_json::Value =
        serde_json::from_str(&launch.env["OPENCODE_CONFIG_CONTENT"]).expect("JSON");
    assert_eq!(
        config["permission"],
        serde_json::json!({"external_directory": "deny", "edit": "deny", "bash": "deny"})
    );
}

#[test]
fn opencode_keeps_the_callers_inline_configuration() {
    let mut given = given(AgentKind::OpenCode);
    let inline = r#"{"provider":{"x":{}},"share":"auto","permission":{"edit":"allow","webfetch":"deny"}}"#;
    given.caller_env =
        env([("OPENCODE_CONFIG_CONTENT", inline), ("OPENCODE_PERMISSION", r#"{"edit":"allow"}"#)]);
    let launch = given.good();
    let config: serde_json::Value =
        serde_json::from_str(&launch.env["OPENCODE_CONFIG_CONTENT"]).expect("JSON");
    assert_eq!(config["provider"], serde_json::json!({"x": {}}));
    assert_eq!(config["share"], "disabled");
    assert_eq!(config["permission"]["webfetch"], "deny");
    assert_eq!(config["permission"]["edit"]["*"], "deny");
    assert!(!launch.env.contains_key("OPENCODE_PERMISSION"), "it would win over our rules");
    given.caller_env = env([("OPENCODE_CONFIG_CONTENT", "[1]")]);
    assert!(matches!(given.launch(), Err(BadCommand::BadInlineConfig(_))));
}

#[test]
fn placeholders_are_filled_once() {
    let mut given = given(AgentKind::Command);
    given.model = Some("m");
    given.files = strings(["src/*.rs", "{prompt}"]);
    given.command = strings(["run-{task}", "{prompt}", "{prompt_file}", "{worktree}/x", "{attempt}:{model}"]);
    given.args = strings(["{files}", "all={files}", "{other}", "{", "}{task", "{{task}}", "-é{task}é"]);
    let launch = given.good();
    assert_eq!(
        launch.argv,
        [
            "run-db",
            "-rm \"all\"\n{task}",
            "/run/a-1/prompt.md",
            "/work tree/x",
            "a-1:m",
            "src/*.rs",
            "{prompt}",
            "all=src/*.rs {prompt}",
            "{other}",
            "{",
            "}{task",
            "{db}",
            "-édbé"
        ]
    );
    assert_eq!(launch.stdin, None);
    given.files = Vec::new();
    given.args = strings(["{files}"]);
    assert_eq!(given.good().argv.len(), 5, "no file, no argument");
    given.model = None;
    assert_eq!(given.launch(), Err(BadCommand::NoModel));
}

#[test]
fn a_command_is_asked_in_words() {
    let mut given = given(AgentKind::Command);
    given.command = strings(["x", "{prompt_file}", "{prompt}"]);
    given.answer_schema = Some("{}");
    let launch = given.good();
    assert_eq!(launch.argv[1], "/run/a-1/prompt-with-schema.md");
    assert_eq!(launch.env["KAPELL_PROMPT_FILE"], launch.argv[1]);
    assert_eq!(launch.files, [(PathBuf::from(&launch.argv[1]), launch.argv[2].clone())]);
}

#[test]
fn the_environment_is_built_from_an_allow_list() {
    let mut given = given(AgentKind::Command);
    given.caller_env = env([
        ("PATH", "/bin"),
        ("HOME", "/home/other"),
        ("LC_ALL", "C"),
        ("TMPDIR", "/tmp/callers"),
        ("https_proxy", "http://p"),
        ("SSL_CERT_FILE", "/c"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("SSH_AUTH_SOCK", "/s"),
        ("GIT_DIR", "/g"),
        ("LD_PRELOAD", "/l"),
        ("KAPELL_ATTEMPT", "a-0"),
        ("KAPELL_HOME", "/k"),
    ]);
    given.set_env = env([("MY", "1"), ("TERM", "xterm"), ("KAPELL_TASK", "another")]);
    assert_eq!(
        given.good().env,
        env([
            ("PATH", "/bin"),
            ("HOME", "/home/ada"),
            ("LC_ALL", "C"),
            ("https_proxy", "http://p"),
            ("SSL_CERT_FILE", "/c"),
            ("TMPDIR", "/run/a-1/tmp"),
            ("TERM", "xterm"),
            ("NO_COLOR", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("MY", "1"),
            ("KAPELL_PLAN", "p-1"),
            ("KAPELL_TASK", "db"),
            ("KAPELL_ATTEMPT", "a-1"),
            ("KAPELL_PROMPT_FILE", "/run/a-1/prompt.md"),
            ("KAPELL_WORKTREE", "/work tree"),
            ("KAPELL_FILES", r#"["src/db/","a b.txt"]"#),
            ("KAPELL_NUDGES", "/run/a-1/nudges.jsonl"),
            ("KAPELL_SOCKET", "/run/a-1/ctl.sock"),
        ])
    );
}

#[test]
fn the_callers_own_session_does_not_pass() {
    let mut given = given(AgentKind::Claude);
    given.caller_env = env([
        ("ANTHROPIC_API_KEY", "k"),
        ("CLAUDE_CODE_MAX_RETRIES", "2"),
        ("CLAUDECODE", "1"),
        ("CLAUDE_CODE_SESSION_ID", "s"),
        ("CLAUDE_CODE_ENTRYPOINT", "cli"),
        ("CLAUDE_PROJECT_DIR", "/p"),
        ("OPENAI_API_KEY", "o"),
    ]);
    let passed = |launch: &Launch| -> Vec<String> {
        let callers = launch.env.keys().filter(|name| given.caller_env.contains_key(*name));
        callers.cloned().collect()
    };
    assert_eq!(passed(&given.good()), ["ANTHROPIC_API_KEY", "CLAUDE_CODE_MAX_RETRIES"]);
    given.env = Some(strings(["*"]));
    let all = given.good();
    let callers = all.env.keys().filter(|name| given.caller_env.contains_key(*name)).collect::<Vec<_>>();
    assert_eq!(callers, ["ANTHROPIC_API_KEY", "CLAUDE_CODE_MAX_RETRIES", "OPENAI_API_KEY"]);
    given.env = Some(Vec::new());
    assert!(!given.good().env.contains_key("ANTHROPIC_API_KEY"), "an empty list lets nothing more pass");
    given.set_env = env([("DISABLE_TELEMETRY", "0")]);
    assert_eq!(given.good().env["DISABLE_TELEMETRY"], "0", "what is configured wins over our defaults");
}

#[test]
fn what_cannot_be_started_is_refused_by_name() {
    let bad = |change: fn(&mut Given)| {
        let mut given = given(AgentKind::Claude);
        change(&mut given);
        given.launch().expect_err("a refusal").to_string()
    };
    for (found, expected) in [
        (bad(|given| given.command = Vec::new()), "the command of this claude provider is empty"),
        (bad(|given| given.command = strings([""])), "the command of this claude provider is empty"),
        (bad(|given| given.prompt = " \n"), "the prompt is blank"),
        (bad(|given| given.resume = Some("--continue")), "\"--continue\" is no session id"),
        (bad(|given| given.budget_usd = Some(0.0)), "a budget of 0 dollars"),
        (bad(|given| given.budget_usd = Some(f64::NAN)), "a budget of NaN dollars"),
        (bad(|given| given.args = strings(["a\0b"])), "no process can be given argument 14 of \"claude\""),
        (
            bad(|given| given.set_env = env([("A=B", "")])),
            "no process can be given the environment variable \"A=B\":",
        ),
        (bad(|given| given.env = Some(strings(["[A"]))), "`[A` in the provider's `env` is no pattern"),
    ] {
        assert!(found.starts_with(expected), "{found}");
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let mut given = given(AgentKind::OpenCode);
        given.private = PathBuf::from(std::ffi::OsStr::from_bytes(b"/run/\xff"));
        assert!(matches!(given.launch(), Err(BadCommand::NotText(_))));
    }
}

#[test]
fn kinds_have_names() {
    for kind in AgentKind::ALL {
        assert_eq!(AgentKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(AgentKind::parse("Claude"), None);
}

#[test]
fn each_agent_is_told_of_the_server_that_leads_out_of_its_wall() {
    let server = Some(strings(["/opt/my \"kapell\"/kapell", "mcp"]));
    let variables = r#"{"KAPELL_ATTEMPT":"a-1","KAPELL_SOCKET":"/run/a-1/ctl.sock"}"#;
    let claude = Given { server: server.clone(), ..given(AgentKind::Claude) };
    assert!(claude.line().contains(" --mcp-config /run/a-1/claude-servers.json"), "{}", claude.line());
    let file =
        claude.good().files.into_iter().find(|(path, _)| path.ends_with("claude-servers.json")).unwrap();
    let servers: serde_json::Value = serde_json::from_str(&file.1).unwrap();
    assert_eq!(servers["mcpServers"]["kapell"]["command"], r#"/opt/my "kapell"/kapell"#);
    assert_eq!(servers["mcpServers"]["kapell"]["env"].to_string(), variables);

    let codex = Given { server: server.clone(), ..given(AgentKind::Codex) }.good();
    let setting = codex.argv.iter().find(|word| word.starts_with("mcp_servers.")).unwrap();
    let table: toml::Table = setting.parse().unwrap();
    let entry = &table["mcp_servers"]["kapell"];
    assert_eq!(entry["command"].as_str(), Some(r#"/opt/my "kapell"/kapell"#));
    assert_eq!(entry["args"].as_array().map(Vec::len), Some(1));
    assert_eq!(entry["env"]["KAPELL_SOCKET"].as_str(), Some("/run/a-1/ctl.sock"));

    let callers = r#"{"mcp":{"mine":{"type":"local","command":["x"]}}}"#;
    let caller_env = env([("OPENCODE_CONFIG_CONTENT", callers)]);
    let opencode = Given {
        server: server.clone(),
        env: Some(strings(["OPENCODE_*"])),
        caller_env,
        ..given(AgentKind::OpenCode)
    };
    let config: serde_json::Value =
        serde_json::from_str(&opencode.good().env["OPENCODE_CONFIG_CONTENT"]).unwrap();
    assert_eq!(config["mcp"]["mine"]["command"][0], "x");
    assert_eq!(config["mcp"]["kapell"]["command"][1], "mcp");
    assert_eq!(config["mcp"]["kapell"]["environment"].to_string(), variables);

    let command = Given { server, ..given(AgentKind::Command) }.good();
    assert!(command.env["PATH"].ends_with(":/opt/my \"kapell\""), "{}", command.env["PATH"]);
}

#[test]
fn a_local_model_works_through_codex_without_any_account() {
    let mut given = given(AgentKind::Codex);
    given.local = Some(Local {
        base_url: "http://127.0.0.1:4000/v1".to_owned(),
        host: "127.0.0.1".to_owned(),
        model: "qwen3:8b".to_owned(),
    });
    given.env = Some(Vec::new());
    given.caller_env =
        env([("OPENAI_API_KEY", "sk-secret"), ("NO_PROXY", "intern"), ("HTTPS_PROXY", "http://p")]);
    // The configured model is how the server was asked; what it answered counts.
    given.model = Some("qwen3");
    let launch = given.good();
    let line = shell_words::join(launch.argv);
    assert!(line.contains("-m qwen3:8b "), "{line}");
    assert!(line.contains(r#"-c 'model_provider="kapell-local"' "#), "{line}");
    assert!(line.contains(r#"base_url="http://127.0.0.1:4000/v1",wire_api="responses""#), "{line}");
    assert_eq!(launch.seeds, []);
    assert!(launch.env.values().all(|value| !value.contains("secret")));
    assert_eq!(launch.env["NO_PROXY"], "intern,127.0.0.1");
    assert_eq!(launch.env["no_proxy"], "127.0.0.1");
}

#[test]
fn a_local_model_works_through_opencode_without_any_account() {
    let mut given = given(AgentKind::OpenCode);
    given.local = Some(Local {
        base_url: "http://[::1]:4000/v1".to_owned(),
        host: "::1".to_owned(),
        model: "hf.co/some/model:q4".to_owned(),
    });
    let launch = given.good();
    let line = shell_words::join(&launch.argv);
    assert!(line.contains("-m kapell-local/hf.co/some/model:q4"), "{line}");
    let config: serde_json::Value = serde_json::from_str(&launch.env["OPENCODE_CONFIG_CONTENT"]).unwrap();
    assert_eq!(config["enabled_providers"], serde_json::json!(["kapell-local"]));
    assert_eq!(config["provider"]["kapell-local"]["options"]["baseURL"], "http://[::1]:4000/v1");
    assert_eq!(config["small_model"], "kapell-local/hf.co/some/model:q4");
    assert_eq!(config["permission"]["edit"]["*"], "deny", "the claim holds as it does otherwise");
    assert!(launch.seeds.iter().all(|seed| !seed.to.ends_with("auth.json")), "{:?}", launch.seeds);
}
