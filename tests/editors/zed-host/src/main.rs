//! `zed-host WASM FOLDER README`: the extension in FOLDER, built as WASM, in the hands of what Zed does with an
//! extension, with the settings of README, and the real program of `$KAPELL`. The last line counts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

mod manifest;
mod talk;
mod world;
mod zed;

use crate::talk::{Framing, Talk};
use crate::world::{FILE, PLAN, TEXT, World};
use crate::zed::{Command, Env, Extension};

const ID: &str = "kapell";

/// What is tested, with what it is tested against.
struct Bench {
    folder: PathBuf,
    wasm: PathBuf,
    world: World,
    zed: Extension,
    documented: Vec<(String, Value)>,
}

type Case = fn(&mut Bench) -> Result<()>;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut argument = || arguments.next().context("usage: zed-host WASM FOLDER README");
    let (wasm, folder, readme) = (argument()?, argument()?, argument()?);
    let program = PathBuf::from(std::env::var_os("KAPELL").context("KAPELL names no program")?);
    let world = World::new(&program)?;
    let zed = Extension::load(&wasm, &world.work_dir).context("the extension cannot be loaded")?;
    let documented = world::documented(&readme)?;
    let mut bench = Bench { folder, wasm, world, zed, documented };
    let cases: [(&str, Case); 17] = [
        ("the manifest is as Zed's loader wants it", |it| manifest::check(&it.folder)),
        ("its servers are for all languages of Zed's own", |it| manifest::check_servers(&it.folder)),
        ("the stable Zed takes its version of the API", |it| manifest::check_api(&it.folder, &it.wasm)),
        ("the program on the project's PATH is started, with the shell's environment", on_the_path),
        ("who holds a file is seen until it is free, and a plan's mistake", the_server_talks),
        ("the program that the settings name is taken", named_in_the_settings),
        ("arguments and variables of one's own are taken", own_arguments),
        ("without a program it is said what to do", no_program),
        ("initialization options reach the server", options),
        ("the server's settings are told when it asks", configuration),
        ("documented: Kapell goes behind the other servers", documented_order),
        ("documented: a program by its path, for both servers", documented_path),
        ("documented: tasks claim, release and take over", documented_tasks),
        ("documented: the server for agents without the extension", documented_custom),
        ("the agents' server is found on the PATH, and has its tools", agents_server),
        ("the agents' server takes a program, arguments and variables from its settings", agents_settings),
        ("settings of the agents' server that are none are refused", agents_mistake),
    ];
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases {
        bench.zed.set_settings(json!({}));
        match case(&mut bench) {
            Ok(()) => {
                passed += 1;
                println!("ok      zed: {name}");
            }
            Err(error) => {
                failed += 1;
                println!("FAILED  zed: {name}: {error:#}");
                // What it did not get to release is nobody else's fault.
                for holder in ["ada", "me"] {
                    let _ = bench.world.run("kapell", &["release-files", "--all", "--holder", holder]);
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed, 0 skipped");
    // The folder is removed before the end.
    drop(bench);
    std::process::exit(i32::from(failed > 0));
}

fn by(diagnostics: &[Value], code: &str) -> bool {
    diagnostics.iter().any(|one| one["source"] == "kapell" && one["code"] == code)
}

/// Starts what the extension answers, greets it, and says goodbye.
fn start_and_end(bench: &Bench, command: &Command) -> Result<()> {
    bench.world.greet(command, None, None)?.end()
}

fn on_the_path(bench: &mut Bench) -> Result<()> {
    let worktree = bench.world.worktree();
    let command = bench.zed.language_server_command(ID, &worktree)?;
    ensure!(command.args == ["lsp"], "{command:?}");
    ensure!(command.env == worktree.env, "another environment: {:?}", command.env);
    ensure!(Path::new(&command.command).is_absolute(), "Zed looks for {} elsewhere", command.command);
    start_and_end(bench, &command)
}

fn the_server_talks(bench: &mut Bench) -> Result<()> {
    let world = &bench.world;
    let command = bench.zed.language_server(ID, &world.worktree())?;
    let options = bench.zed.initialization_options(ID, &world.worktree())?;
    let settings = bench.zed.workspace_configuration(ID, &world.worktree())?;
    world.run("kapell", &["claim-files", FILE, "--holder", "ada", "--reason", "new schema"])?;
    let mut talk = world.greet(&command, options, settings)?;
    let uri = world.uri(FILE);
    world.open(&mut talk, FILE, "rust")?;
    let held = talk.diagnostics(&uri, "the holder", |all| by(all, "held"))?;
    ensure!(held[0]["message"].to_string().contains("is held by ada"), "{held:?}");
    world.run("kapell", &["release-files", "--all", "--holder", "ada"])?;
    talk.diagnostics(&uri, "a free file", <[Value]>::is_empty)?;
    world.open(&mut talk, PLAN, "json")?;
    let problems = talk.diagnostics(&world.uri(PLAN), "the mistake", |all| by(all, "syntax"))?;
    ensure!(problems.iter().any(|one| one["message"].to_string().contains("fils")), "{problems:?}");
    talk.end()
}

fn named_in_the_settings(bench: &mut Bench) -> Result<()> {
    let path = bench.world.tools.join("kapell").to_string_lossy().into_owned();
    let binary = json!({"path": path, "arguments": ["lsp"]});
    bench.zed.set_settings(json!({"lsp": {"kapell": {"binary": binary}}}));
    let worktree = bench.world.poor_worktree();
    let command = bench.zed.language_server_command(ID, &worktree)?;
    ensure!(command.command == path && command.args == ["lsp"], "{command:?}");
    // Where Zed does not ask, it comes to the same.
    ensure!(bench.zed.language_server(ID, &worktree)? == command, "Zed's own is another");
    start_and_end(bench, &command)
}

fn own_arguments(bench: &mut Bench) -> Result<()> {
    let binary = json!({"arguments": ["lsp", "--stdio"], "env": {"KAPELL_TRIED": "a b"}});
    bench.zed.set_settings(json!({"lsp": {"kapell": {"binary": binary}}}));
    let worktree = bench.world.worktree();
    let command = bench.zed.language_server_command(ID, &worktree)?;
    ensure!(command.args == ["lsp", "--stdio"], "{command:?}");
    ensure!(command.env.ends_with(&[("KAPELL_TRIED".to_owned(), "a b".to_owned())]), "{command:?}");
    let command = bench.zed.language_server(ID, &worktree)?;
    start_and_end(bench, &command)
}

fn no_program(bench: &mut Bench) -> Result<()> {
    let worktree = bench.world.poor_worktree();
    match bench.zed.language_server_command(ID, &worktree) {
        Ok(command) => bail!("it would start {command:?}"),
        Err(error) => {
            let text = error.to_string();
            for word in ["kapell is not on the PATH", "cargo install", "\"path\"", "\"arguments\": [\"lsp\"]"]
            {
                ensure!(text.contains(word), "{text}");
            }
            Ok(())
        }
    }
}

fn options(bench: &mut Bench) -> Result<()> {
    let told = json!({"person": "grace", "showMeetings": false});
    bench.zed.set_settings(json!({"lsp": {"kapell": {"initialization_options": told}}}));
    let world = &bench.world;
    let command = bench.zed.language_server(ID, &world.worktree())?;
    let options = bench.zed.initialization_options(ID, &world.worktree())?;
    ensure!(options.as_ref() == Some(&told), "{options:?}");
    // Unsaved changes are held under that name; once they are gone nothing is.
    let mut talk = world.greet(&command, options, None)?;
    world.open(&mut talk, FILE, "rust")?;
    for (version, text, held) in [(1, "fn b() {}\n", true), (2, TEXT, false)] {
        let document = json!({"uri": world.uri(FILE), "version": version});
        let changes = json!({"textDocument": document, "contentChanges": [{"text": text}]});
        talk.notify("textDocument/didChange", changes)?;
        until_told(&mut talk, "kapell/claims", |told| told.to_string().contains("grace") == held)?;
        ensure!(world.claims()?.contains("\"holder\":\"grace\"") == held, "{}", world.claims()?);
    }
    talk.end()
}

/// Waits until the newest of what is told in this way is as wanted.
fn until_told(talk: &mut Talk, method: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
    let newest = |talk: &Talk| talk.told.iter().rfind(|told| told["method"] == method).cloned();
    talk.until(method, |talk| newest(talk).is_some_and(|told| wanted(&told)))
}

fn configuration(bench: &mut Bench) -> Result<()> {
    let worktree = bench.world.worktree();
    ensure!(bench.zed.workspace_configuration(ID, &worktree)?.is_none(), "settings that nobody wrote");
    ensure!(bench.zed.initialization_options(ID, &worktree)?.is_none(), "options that nobody wrote");
    bench.zed.set_settings(json!({"lsp": {"kapell": {"settings": {"kapell": {"a": [1]}}}}}));
    let told = bench.zed.workspace_configuration(ID, &worktree)?;
    ensure!(told == Some(json!({"kapell": {"a": [1]}})), "{told:?}");
    Ok(())
}

/// A documented block that has this key.
fn block<'a>(bench: &'a Bench, file: &str, key: &str) -> Result<&'a Value> {
    let mut all = bench.documented.iter().filter(|(name, value)| name == file && value.get(key).is_some());
    all.next().map(|(_, value)| value).with_context(|| format!("no {key} for {file}"))
}

fn documented_order(bench: &mut Bench) -> Result<()> {
    let order = &block(bench, "settings.json", "language_servers")?["language_servers"];
    // What Zed makes of it: `...` are all that are not named.
    let named: Vec<&str> = order.as_array().context("no list")?.iter().filter_map(Value::as_str).collect();
    let there = ["kapell", "tombi", "zls"];
    let rest = || there.into_iter().filter(|server| !named.contains(server));
    let all: Vec<&str> =
        named.iter().flat_map(|&name| if name == "..." { rest().collect() } else { vec![name] }).collect();
    ensure!(all == ["tombi", "zls", "kapell"], "{all:?}");
    Ok(())
}

fn documented_path(bench: &mut Bench) -> Result<()> {
    let written = block(bench, "settings.json", "lsp")?.to_string();
    let tools = bench.world.tools.to_string_lossy().into_owned();
    ensure!(written.contains("/opt/my tools/"), "other paths: {written}");
    bench.zed.set_settings(serde_json::from_str(&written.replace("/opt/my tools", &tools))?);
    let worktree = bench.world.poor_worktree();
    let command = bench.zed.language_server(ID, &worktree)?;
    ensure!(command.command == format!("{tools}/kapell"), "{command:?}");
    start_and_end(bench, &command)?;
    let command = bench.zed.context_server(ID)?;
    ensure!(command.command == format!("{tools}/kapell"), "{command:?}");
    tools_of(bench, &command, &bench.world.poor)
}

fn documented_tasks(bench: &mut Bench) -> Result<()> {
    let world = &bench.world;
    let (_, tasks) = bench.documented.iter().find(|(file, _)| file == "tasks.json").context("no tasks")?;
    let tasks = tasks.as_array().context("no list")?;
    let run = |word: &str| -> Result<()> {
        let named = |task: &&Value| task["label"].as_str().is_some_and(|label| label.contains(word));
        let task = tasks.iter().find(named).with_context(|| format!("no task to {word}"))?;
        let args = task["args"].as_array().context("no arguments")?.iter().filter_map(Value::as_str);
        // Zed puts the file's path in, and quotes what it hands to the shell.
        let args: Vec<String> = args.map(|word| word.replace("$ZED_RELATIVE_FILE", FILE)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        world.run(task["command"].as_str().context("no command")?, &args)?;
        Ok(())
    };
    ensure!(tasks.len() == 3, "other tasks");
    run("claim")?;
    ensure!(world.claims()?.contains("\"holder\":\"me\""), "{}", world.claims()?);
    run("release")?;
    ensure!(!world.claims()?.contains("claim_id"), "{}", world.claims()?);
    world.run("kapell", &["claim-files", FILE, "--holder", "ada"])?;
    run("take")?;
    ensure!(world.claims()?.contains("\"holder\":\"me\""), "{}", world.claims()?);
    ensure!(!world.claims()?.contains("\"holder\":\"ada\""), "{}", world.claims()?);
    run("release")
}

fn documented_custom(bench: &mut Bench) -> Result<()> {
    let mut written = bench.documented.iter().map(|(_, value)| &value["context_servers"]["kapell"]);
    let told = written.find(|told| told["command"].is_string()).context("no command")?;
    let args = told["args"].as_array().context("no arguments")?;
    let args = args.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    // A name without a folder is looked for on the PATH of Zed, as by a shell.
    let name = told["command"].as_str().unwrap_or_default().to_owned();
    let command = Command { command: "/usr/bin/env".to_owned(), args, env: Env::new() };
    let command = Command { args: [vec![name], command.args].concat(), ..command };
    tools_of(bench, &command, &bench.world.env)
}

/// The handshake of a server for agents, and what it offers.
fn tools_of(bench: &Bench, command: &Command, around: &Env) -> Result<()> {
    let mut talk = Talk::start(command, &bench.world.repo, around, Framing::Mcp)?;
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "Zed", "version": "0.0.0"},
    });
    let answer = talk.request("initialize", params)?;
    ensure!(answer["capabilities"]["tools"].is_object(), "{answer}");
    talk.notify("notifications/initialized", json!({}))?;
    let tools = talk.request("tools/list", json!({}))?;
    let names: Vec<&str> =
        tools["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect();
    for name in ["plan", "dispatch", "claim-files", "status"] {
        ensure!(names.iter().any(|it| it.replace('_', "-") == name), "no {name} among {names:?}");
    }
    talk.end()
}

fn agents_server(bench: &mut Bench) -> Result<()> {
    let command = bench.zed.context_server(ID)?;
    ensure!(command.args == ["kapell", "mcp"] && command.command == "/usr/bin/env", "{command:?}");
    tools_of(bench, &command, &bench.world.env)
}

fn agents_settings(bench: &mut Bench) -> Result<()> {
    let program = bench.world.tools.join("kapell").to_string_lossy().into_owned();
    let told =
        json!({"path": "/usr/bin/nice", "arguments": [program, "mcp"], "env": {"KAPELL_TRIED": "a b"}});
    bench.zed.set_settings(json!({"context_servers": {"kapell": {"settings": told}}}));
    let command = bench.zed.context_server(ID)?;
    ensure!(command.command == "/usr/bin/nice" && command.args == [program.as_str(), "mcp"], "{command:?}");
    ensure!(command.env == [("KAPELL_TRIED".to_owned(), "a b".to_owned())], "{command:?}");
    tools_of(bench, &command, &bench.world.poor)
}

fn agents_mistake(bench: &mut Bench) -> Result<()> {
    bench.zed.set_settings(json!({"context_servers": {"kapell": {"settings": {"path": ["kapell"]}}}}));
    let Err(error) = bench.zed.context_server(ID) else { bail!("it is taken") };
    ensure!(error.to_string().contains("the settings of the context server kapell"), "{error}");
    Ok(())
}
