//! Making what an attempt needs, and starting its shim.

use crate::base::sorting::Gather as _;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::desk::Desk;
use super::prompt::{Circumstances, Told, prompt};
use crate::base::failpoint::Point;
use crate::domain::budget::Money;
use crate::domain::pattern::Pattern;
use crate::domain::plan::Task;
use crate::domain::refusal::{Code, Refusal};
use crate::services::walling::{self, Ground, Writes};
use crate::services::{Error, House, environments, local};
use crate::store::attempts::AttemptRow;
use crate::sys::agent::{self, AgentKind, Brief, Launch, Program, SeedHow};
use crate::sys::config::resolved::{Isolation, Provider, ProviderKind, Through, Wall as WallWish};
use crate::sys::git::worktree::Ignored;
use crate::sys::git::{Oid, Worktree, inner, read, spare, worktree};
use crate::sys::process::find::{find_program, native_program};
use crate::sys::process::life;
use crate::sys::shim::client::{self, Line, Started};
use crate::sys::shim::job::{Allowance, FirstSignal, Job, Relay};
use crate::sys::shim::spare::Spares;
use crate::sys::wall::{Mode, WallSupport};

/// The prompt, in the run folder.
pub(super) const PROMPT: &str = "prompt.md";
/// What is the agent's own, in the run folder.
pub(super) const PRIVATE: &str = "private";
/// Its folder for temporary files.
pub(super) const PRIVATE_TMP: &str = "private/tmp";

/// What one run of an agent is for.
#[derive(Debug)]
pub struct Assignment<'a> {
    /// The run's name: an attempt's id, or that of a question to an agent.
    pub name: &'a str,
    /// `(plan, task)`, for the agent's environment.
    pub of: (&'a str, &'a str),
    /// What is to be done.
    pub prompt: &'a str,
    /// What it may change.
    pub files: &'a [Pattern],
    /// The folder it works in.
    pub worktree: &'a Path,
    /// What in it is not to be written in any case.
    pub kept: &'a [PathBuf],
    /// The environment whose checkout that is.
    pub environment: Option<&'a str>,
    /// The shim's folder.
    pub run_dir: &'a Path,
    /// What it is told that it may cost, where it can be told.
    pub budget_usd: Option<f64>,
    /// What it may cost before its shim ends it, where it cannot be told.
    pub stop_at_usd: Option<f64>,
    /// How long it may take.
    pub timeout_s: Option<u64>,
    /// Its answer must be a JSON object of this schema, and it changes nothing.
    pub answer_schema: Option<&'a str>,
    /// The wall that is wished for.
    pub wall: WallWish,
    /// The project's folder, where it may call Kapell from inside of its wall.
    pub relayed_in: Option<&'a Path>,
    /// Build caches as configured.
    pub caches: Option<&'a [String]>,
}

/// In what an attempt begins.
#[derive(Debug, Clone, Copy)]
pub enum Tree<'a> {
    /// In the folder of the attempt before, as that left it.
    AsItIs,
    /// In a tree of that commit, or of the attempt's base.
    From(Option<&'a str>),
}

/// Makes the attempt's worktree (again, if a crash left half of one) and starts its shim. The worker is
/// told what came before.
pub fn launch(
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    tree: Tree<'_>,
    told: Told<'_>,
) -> Result<Option<Line>, Error> {
    let worktree = Path::new(attempt.worktree.as_deref().unwrap_or_default());
    if attempt.environment.is_none() && desk.config.isolation == Isolation::Worktree {
        make_worktree(desk, attempt, worktree, tree)?;
    }
    let rules = desk.rules(task);
    let plan = desk.plan();
    let test = rules.test.as_ref().map(|command| shell_words::join(&command.0));
    let text = prompt(
        task,
        &Circumstances {
            plan: &plan,
            wants_tests: rules.tdd.unwrap_or(true)
                && test.is_some()
                && !task.id.as_str().starts_with("spec-"),
            test: test.as_deref(),
            number: attempt.number,
            environment: attempt.environment.as_deref(),
            told,
        },
    );
    let provider =
        desk.config.providers.get(&attempt.provider).ok_or_else(|| {
            Error::Bug(format!("provider {} is gone from the configuration", attempt.provider))
        })?;
    let cap = desk.store()?.read(|tx| tx.cap(&attempt.id))?.map(Money::usd);
    let wall = walling::wish(&desk.config, task)?;
    let kept = if wall == WallWish::Off { Vec::new() } else { kept(desk, attempt, worktree)? };
    start(
        &desk.session,
        provider,
        Some(&desk.spares),
        &Assignment {
            name: attempt.id.as_str(),
            of: (desk.plan_id.as_str(), task.id.as_str()),
            prompt: &text,
            files: &task.files,
            worktree,
            environment: attempt.environment.as_deref(),
            run_dir: Path::new(&attempt.run_dir),
            budget_usd: cap,
            // What is left of the task's own; a cap from elsewhere is told and not enforced.
            stop_at_usd: task.budget_usd.and(cap),
            timeout_s: rules.timeout_s,
            answer_schema: None,
            wall,
            kept: &kept,
            relayed_in: Some(desk.project.top()?),
            caches: desk.config.caches.as_deref(),
        },
    )
}

/// What a worker may not write in a folder that is not its alone: what is in a `.git` runs in the name of the person
/// who calls git there next.
fn kept(desk: &Desk, attempt: &AttemptRow, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let names = match &attempt.environment {
        Some(_) => &environments::KEPT_FROM_WORKERS[..],
        None if desk.config.isolation == Isolation::Shared && folder.join(".git").exists() => &[".git"],
        None => return Ok(Vec::new()),
    };
    let mut kept = Vec::new();
    for name in names {
        kept.push(folder.join(name));
    }
    if let Some(base) = attempt.base.as_deref().and_then(Oid::parse) {
        let barriers = read::barriers(&desk.git, &base)?;
        kept.append(&mut inner::of_others(folder, &barriers.gitlinks));
    }
    Ok(kept)
}

/// Starts an agent under a shim of its own, one of `spares` where there is one, which tells its end soonest.
pub fn start(
    session: &crate::services::Session,
    provider: &Provider,
    spares: Option<&Spares>,
    assignment: &Assignment<'_>,
) -> Result<Option<Line>, Error> {
    let house = &session.house;
    let run_dir = assignment.run_dir;
    let failed = |what: &str| {
        let what = format!("cannot {what} for {}", assignment.name);
        move |error: std::io::Error| Error::system(what, error)
    };
    let spare = spares.and_then(|spares| spares.take(run_dir));
    private_folder(run_dir).map_err(failed("make the run folder"))?;
    let prompt_file = run_dir.join(PROMPT);
    write_private(&prompt_file, assignment.prompt).map_err(failed("write the prompt"))?;
    let private = run_dir.join(PRIVATE);
    private_folder(&private).map_err(failed("make the private folder"))?;
    let files: Vec<String> = assignment.files.iter().map(|pattern| pattern.as_str().to_owned()).collect();
    // An agent is told to do without a sandbox of its own only behind a wall that was seen to hold.
    let walled = match assignment.wall {
        WallWish::Off => false,
        WallWish::Auto => matches!(walling::support(run_dir), WallSupport::Holds { .. }),
        // The shim starts nothing without these.
        WallWish::Strict | WallWish::Worktree => true,
    };
    let socket = run_dir.join("ctl.sock");
    let server =
        assignment.relayed_in.map(|_| [house.program.to_string_lossy().into_owned(), "mcp".to_owned()]);
    let session_uuid = uuid_of(assignment.name);
    // Claude Code and Codex ask it before each edit; opencode is given the claim as rules.
    let hook = match (kind_of(provider), house.program.to_str()) {
        (kind @ (AgentKind::Claude | AgentKind::Codex), Some(program)) => {
            Some([program, "hook", kind.as_str()].map(str::to_owned))
        }
        _ => None,
    };
    let brief = Brief {
        prompt: assignment.prompt,
        prompt_file: &prompt_file,
        worktree: assignment.worktree,
        private: &private,
        model: None,
        plan: assignment.of.0,
        task: assignment.of.1,
        attempt: assignment.name,
        files: &files,
        session: &session_uuid,
        resume: None,
        budget_usd: assignment.budget_usd,
        answer_schema: assignment.answer_schema,
        hook: hook.as_ref().map(<[String; 3]>::as_slice),
        socket: Some(&socket),
        server: server.as_ref().map(<[String; 2]>::as_slice),
        is_root: house.is_root,
        walled,
        home: &house.home,
        caller_env: &house.environment,
    };
    let told = match provider.kind {
        ProviderKind::Ollama => Some(local::told(house, provider).map_err(|why| {
            Refusal::new(Code::Unsupported, why, "correct OLLAMA_HOST, or set it in the provider's set_env")
        })?),
        _ => None,
    };
    let program = Program {
        kind: kind_of(provider),
        command: &provider.command.0,
        args: &provider.args,
        // What a local model works through gets nothing of its agent's own accounts.
        env: (!provider.env.is_empty() || told.is_some()).then_some(provider.env.as_slice()),
        set_env: &provider.set_env,
        model: provider.model.as_deref(),
        local: told.as_ref(),
    };
    let mut launch = agent::launch(&program, &brief).map_err(|bad| {
        Error::system(format!("cannot start {}", assignment.name), std::io::Error::other(bad))
    })?;
    let path = launch.env.get("PATH").cloned().unwrap_or_default();
    if let Some(program) = launch.argv.first_mut()
        && let Some(found) = find_program(program, &path)
    {
        *program = native_program(&found).unwrap_or(found).to_string_lossy().into_owned();
    }
    prepare(&launch).map_err(failed("prepare the agent's files"))?;
    let ground = Ground {
        wish: assignment.wall,
        folder: assignment.worktree,
        writes: if launch.writes_worktree { Writes::Claim(assignment.files) } else { Writes::Nothing },
        run_dir,
        caches: assignment.caches,
        kept: assignment.kept,
    };
    let mut wall = ground.wall(house)?;
    if wall.mode != Mode::Off {
        wall.writable.extend(launch.writable.iter().cloned());
        wall.grant_persons(&launch.persons);
    }
    let mut job = job(&launch, assignment, kind_of(provider));
    job.allowance = allowance(assignment, provider);
    // What answers a question is of no use to anybody else.
    job.asker = assignment.answer_schema.and_then(|_| life::of_this_process());
    job.wall = wall;
    job.relay = assignment.relayed_in.map(|folder| relay(house, folder));
    Point::LaunchPrepared.reach()?;
    // The run must not be taken for one that has not started: whoever finds the lock file knows better.
    let started = match spare {
        Some(spare) => spare.start(&job),
        None => client::start(&house.program, run_dir, &job),
    };
    started.map(Started::leave).map_err(|error| {
        Error::system(format!("cannot start the shim of {}", assignment.name), std::io::Error::other(error))
    })
}

fn job(launch: &Launch, assignment: &Assignment<'_>, kind: AgentKind) -> Job {
    let argv: Vec<OsString> = launch.argv.iter().map(OsString::from).collect();
    let mut job = Job::new(assignment.name, argv, assignment.worktree);
    job.plan = assignment.of.0.to_owned();
    job.task = assignment.of.1.to_owned();
    job.env = launch.env.iter().map(|(name, value)| (name.into(), value.into())).gather();
    if let Some(name) = assignment.environment {
        job.env.insert("KAPELL_ENVIRONMENT".into(), name.into());
    }
    job.stdin = launch.stdin.clone();
    job.timeout_ms = assignment.timeout_s.map(|seconds| seconds.saturating_mul(1000));
    job.first_signal = if kind == AgentKind::Claude { FirstSignal::Int } else { FirstSignal::Term };
    job
}

/// What its shim is to hold it to. Claude Code holds its budget itself and tells its cost only at its
/// end, as Codex does: to end them then would save nothing and lose the work.
fn allowance(assignment: &Assignment<'_>, provider: &Provider) -> Option<Allowance> {
    let kind = kind_of(provider);
    let usd = assignment.stop_at_usd.filter(|_| matches!(kind, AgentKind::OpenCode | AgentKind::Command))?;
    Some(Allowance {
        micros: Money::from_usd(usd).micros(),
        kind: kind.as_str().to_owned(),
        prices: provider.prices.map(Into::into),
    })
}

/// How the worker's calls to Kapell are answered outside of its wall: with what the conductor has of
/// the person's surroundings, and nothing that belongs to a session.
fn relay(house: &House, folder: &Path) -> Relay {
    Relay { program: house.program.clone(), env: house.for_kapell(), cwd: folder.to_owned() }
}

/// Makes the folders, brings in the person's files, writes the agent's own.
fn prepare(launch: &Launch) -> std::io::Result<()> {
    for folder in &launch.folders {
        private_folder(folder)?;
    }
    for seed in &launch.seeds {
        if !seed.from.exists() {
            continue;
        }
        if let Some(folder) = seed.to.parent() {
            private_folder(folder)?;
        }
        match fs::remove_file(&seed.to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match seed.how {
            SeedHow::Copy => drop(fs::copy(&seed.from, &seed.to)?),
            SeedHow::Link => std::os::unix::fs::symlink(&seed.from, &seed.to)?,
        }
    }
    for (path, text) in &launch.files {
        if let Some(folder) = path.parent() {
            private_folder(folder)?;
        }
        write_private(path, text)?;
    }
    Ok(())
}

fn make_worktree(desk: &Desk, attempt: &AttemptRow, path: &Path, begin: Tree<'_>) -> Result<(), Error> {
    let git = &desk.git;
    let base = attempt.base.as_deref().and_then(Oid::parse);
    let found = Worktree::find(git, path).filter(|tree| tree.base().is_some());
    let seed = match begin {
        Tree::AsItIs if found.is_some() => return Ok(()),
        Tree::AsItIs => None,
        Tree::From(seed) => seed,
    };
    let start = seed.and_then(Oid::parse).or(base);
    let start = start.ok_or_else(|| Error::Bug(format!("attempt {} has no base", attempt.id)))?;
    if let Some(folder) = path.parent() {
        private_folder(folder)
            .map_err(|error| Error::system(format!("cannot make {}", folder.display()), error))?;
    }
    // What a crash left is completed or made anew: nobody worked in it yet.
    if let Some(tree) = found {
        return worktree::reset(git, &tree, &start, Ignored::Keep).map_err(Error::from_git);
    }
    let guard = git.turn()?;
    spare::take_or_add(git, guard, path, &start).map_err(Error::from_git)?;
    if let Some(top) = &desk.project.top {
        link_dependencies(top, path);
    }
    Ok(())
}

/// Folders of installed dependencies that a fresh worktree would lack. They are linked from the
/// person's checkout; the wall keeps them from being written.
pub const LINKED: [&str; 3] = ["node_modules", ".venv", "venv"];

/// Links the dependencies that the person has installed into a worktree.
pub fn link_dependencies(top: &Path, worktree: &Path) {
    for name in LINKED {
        let (from, to) = (top.join(name), worktree.join(name));
        if from.is_dir() && to.symlink_metadata().is_err() {
            // Without the link the worker installs them itself.
            let _ = std::os::unix::fs::symlink(&from, &to);
        }
    }
}

/// The adapter that speaks to a provider.
pub fn kind_of(provider: &Provider) -> AgentKind {
    match provider.kind {
        ProviderKind::Claude => AgentKind::Claude,
        ProviderKind::Codex => AgentKind::Codex,
        ProviderKind::Opencode => AgentKind::OpenCode,
        ProviderKind::Ollama if provider.through == Some(Through::Opencode) => AgentKind::OpenCode,
        ProviderKind::Ollama => AgentKind::Codex,
        ProviderKind::Command => AgentKind::Command,
    }
}

/// The adapter that a run was started with. Through which agent a local model works follows from what is on the
/// `PATH`, and the next conductor may have another one.
pub fn kind_of_run(provider: Option<&Provider>, run_dir: &Path) -> AgentKind {
    match provider {
        Some(provider) if provider.kind == ProviderKind::Ollama => {
            let is_codex = run_dir.join(PRIVATE).join("codex").is_dir();
            if is_codex { AgentKind::Codex } else { AgentKind::OpenCode }
        }
        Some(provider) => kind_of(provider),
        None => AgentKind::Command,
    }
}

/// A UUID (version 8, of our own making) that follows from a name, so that a restart finds the same session.
fn uuid_of(name: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&Sha256::digest(name.as_bytes())[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A folder that nobody else can look into.
pub(super) fn private_folder(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}
