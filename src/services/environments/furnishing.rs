//! What an environment has besides the project's files: databases, `.env.local`, and commands that call kapell.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Ground, OWN, database, databases, log, own_folder};
use crate::base::failpoint::Point;
use crate::base::ids::random_tail;
use crate::domain::environment::filled;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::variables;
use crate::services::Error;
use crate::services::judging::commands;
use crate::store::environments::EnvironmentRow;
use crate::store::foreign;
use crate::sys::git::environment::Beside;
use crate::sys::plain;
use crate::sys::process::find::find_program;
use crate::sys::process::spawn::{self, End, Limits};

/// How long making a database may take.
const INIT_TIME: Duration = Duration::from_secs(300);

/// The commands at the top of a checkout, each with the action that it calls.
pub(super) const SCRIPTS: [(&str, &str); 4] =
    [("launch.sh", "launch"), ("stop.sh", "stop"), ("status.sh", "status"), ("sync.sh", "git")];

/// The file for those who read variables.
pub(super) const VARIABLES: &str = ".env.local";

/// Makes what is missing.
pub(super) fn furnish(ground: &Ground<'_>, row: &EnvironmentRow, beside: &Beside) -> Result<(), Error> {
    let folder = own_folder(row);
    require_own(row, beside)?;
    let failed = |error| Error::system(format!("cannot make {}", folder.display()), error);
    fs::create_dir_all(&folder).map_err(failed)?;
    // It takes no notice of itself, whatever the project ignores.
    replace(&folder.join(".gitignore"), b"*\n", 0o644)?;
    let mut tracked = BTreeSet::new();
    if !row.is_worktree {
        let scripts = SCRIPTS.map(|(name, _)| name);
        let names = [&[VARIABLES, OWN], scripts.as_slice()].concat();
        beside.exclude(&names)?;
        tracked = beside.tracked_tops(&names)?;
    }
    for (name, action) in SCRIPTS.into_iter().filter(|(name, _)| !tracked.contains(*name)) {
        write_script(ground, row, name, action)?;
    }
    if !tracked.contains(VARIABLES) {
        set_variables(row)?;
    }
    for sub in &row.subs {
        make_database(ground, row, &sub.name, sub.port)?;
        let path = log(row, &sub.name);
        fs::File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|error| Error::system(format!("cannot make {}", path.display()), error))?;
    }
    Ok(())
}

/// Refuses an environment whose own folder, or a file in it, leads elsewhere: it would be written there.
pub(super) fn require_own(row: &EnvironmentRow, beside: &Beside) -> Result<(), Error> {
    let folder = own_folder(row);
    let refused = |path: &Path, what: &str| -> Error {
        Refusal::new(
            Code::Conflict,
            format!("{} is {what}; nothing was done", path.display()),
            format!(
                "move it away: what is there is Kapell's, and no project's; then kapell env create {}",
                row.name
            ),
        )
        .into()
    };
    match fs::symlink_metadata(&folder) {
        Ok(metadata) if metadata.is_symlink() => return Err(refused(&folder, "a symbolic link")),
        Ok(metadata) if !metadata.is_dir() => return Err(refused(&folder, "no folder")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::system(format!("cannot look at {}", folder.display()), error)),
    }
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        use std::os::unix::fs::FileTypeExt as _;
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() => return Err(refused(&entry.path(), "a symbolic link")),
            // Whoever opens it waits for somebody at its other end.
            Ok(kind) if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() => {
                return Err(refused(&entry.path(), "a pipe or a device"));
            }
            _ => {}
        }
    }
    if beside.is_tracked(OWN)? {
        return Err(refused(&folder, "tracked by git"));
    }
    Ok(())
}

/// Where a file for people and tools lies. The list of what git takes no notice of is one for all worktrees
/// of a repository, so that in a worktree it is in the folder that hides itself.
fn shown(row: &EnvironmentRow, name: &str) -> PathBuf {
    let top = if row.is_worktree { own_folder(row) } else { PathBuf::from(&row.path) };
    top.join(name)
}

/// Writes a file whole or not at all.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}", random_tail(6)));
    let part = PathBuf::from(part);
    let write = || {
        let mut file = fs::File::create_new(&part)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        fs::rename(&part, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&part);
        Error::system(format!("cannot write {}", path.display()), error)
    })
}

/// Writes one of the commands, unless somebody has another file there.
fn write_script(ground: &Ground<'_>, row: &EnvironmentRow, name: &str, action: &str) -> Result<(), Error> {
    let path = shown(row, name);
    let quoted = |path: &Path| shell_words::quote(&path.to_string_lossy()).into_owned();
    let house = &ground.session.house;
    let home = match house.environment.contains_key("KAPELL_HOME") {
        true => format!("KAPELL_HOME={} ", quoted(&house.root)),
        false => String::new(),
    };
    let mark = script_mark(row, action);
    let words = if action == "git" { "sync " } else { "" };
    let text = format!(
        "#!/bin/sh\n{home}exec {} -C {}{mark}{words}\"$@\"\n",
        quoted(&house.program),
        quoted(&ground.top())
    );
    match plain::read_to_string(&path) {
        Ok(found) if found == text => return Ok(()),
        Ok(found) if !found.contains(&mark) => return Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    replace(&path, text.as_bytes(), 0o755)
}

/// Writes ports and databases where tools look for variables, unless the project has a file of its own there.
pub(super) fn write_variables(row: &EnvironmentRow, beside: &Beside) -> Result<(), Error> {
    if !row.is_worktree && beside.is_tracked(VARIABLES)? {
        return Ok(());
    }
    set_variables(row)
}

/// What else stands in the file stays.
fn set_variables(row: &EnvironmentRow) -> Result<(), Error> {
    let path = shown(row, VARIABLES);
    let refused = |what: &str, hint: &str| -> Error {
        let message = format!("the ports of {} are not written: {} {what}", row.name, path.display());
        Refusal::new(Code::Conflict, message, hint).into()
    };
    let mode = match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_symlink() => {
            // Others may read the same file, and have other ports.
            let hint = "put a copy of the file in the place of the link, then do it again";
            return Err(refused("is a symbolic link", hint));
        }
        Ok(metadata) if !metadata.is_file() => {
            return Err(refused("is no plain file", "move it away, then do it again"));
        }
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(_) => 0o644,
    };
    let before = match fs::read(&path) {
        Ok(before) => before,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let hint = format!("chmod u+r {}", shell_words::quote(&path.to_string_lossy()));
            return Err(refused(&format!("cannot be read: {error}"), &hint));
        }
    };
    let files: Vec<String> =
        row.subs.iter().map(|sub| database(row, &sub.name).to_string_lossy().into_owned()).collect();
    let subs: Vec<(&str, u16, &str)> = row
        .subs
        .iter()
        .zip(&files)
        .map(|(sub, database)| (sub.name.as_str(), sub.port, database.as_str()))
        .collect();
    let text = variables::merged(&before, &row.name, &subs);
    if text == before { Ok(()) } else { replace(&path, &text, mode) }
}

/// Whether a file at the top of a checkout is one that Kapell wrote, and holds nothing of anybody else's.
pub(super) fn is_ours(row: &EnvironmentRow, name: &str) -> bool {
    let path = Path::new(&row.path).join(name);
    if row.is_worktree {
        return false;
    }
    let is_plain = fs::symlink_metadata(&path).is_ok_and(|it| it.is_file());
    match SCRIPTS.iter().find(|(script, _)| *script == name) {
        Some((_, action)) => {
            is_plain
                && plain::read_to_string(&path).is_ok_and(|text| text.contains(&script_mark(row, action)))
        }
        None => name == VARIABLES && is_plain && !has_persons_lines(&path),
    }
}

/// What tells one of our commands from a file of the project's.
fn script_mark(row: &EnvironmentRow, action: &str) -> String {
    format!(" env {action} {} ", row.name)
}

/// Whether a file of variables has lines that are not ours. One that cannot be read may have some.
pub(super) fn has_persons_lines(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            fs::read(path).map_or(true, |text| variables::has_persons(&text))
        }
        // A link leads to a file that stays, and a pipe holds nothing.
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Makes the database of a sub-environment, where it has none: whole or not at all.
pub(super) fn make_database(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    sub: &str,
    port: u16,
) -> Result<(), Error> {
    let path = database(row, sub);
    // Of a killed process, whose init may have begun it after the last look, and may still write to it: a new one
    // gets a name of its own.
    let start = format!("{sub}.sqlite.part");
    for entry in fs::read_dir(own_folder(row)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&start) {
            let _ = fs::remove_file(entry.path());
        }
    }
    if path.exists() {
        return Ok(());
    }
    let part = own_folder(row).join(format!("{start}-{}", random_tail(6)));
    if let Some(init) = &ground.config.environments.init {
        let argv = ground.command(&init.0, row, sub, port, &part);
        run_init(ground, row, sub, port, &argv, &part)?;
    }
    if !part.exists() {
        foreign::create(&part).map_err(|why| {
            Error::system(format!("cannot make {}", path.display()), std::io::Error::other(why))
        })?;
    }
    if !foreign::is_one(&part) {
        let message =
            format!("the database of {}/{sub} was not made: init made no SQLite database", row.name);
        let hint =
            "have init write an SQLite file to {database}, or nothing; other databases are the service's own";
        return Err(Refusal::new(Code::Conflict, message, hint).into());
    }
    databases::remember(row, sub, &part, None)
        .map_err(|error| Error::system(format!("cannot make {}", path.display()), error))?;
    Point::EnvironmentInitialised.reach()?;
    fs::rename(&part, &path).map_err(|error| Error::system(format!("cannot make {}", path.display()), error))
}

fn run_init(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    sub: &str,
    port: u16,
    argv: &[String],
    part: &Path,
) -> Result<(), Error> {
    let Some((program, args)) = argv.split_first() else { return Ok(()) };
    let mut env = ground.variables(row, sub, port);
    // What it makes gets its name when it is whole.
    for (name, value) in &mut env {
        if name == "DATABASE" {
            *value = part.into();
        }
    }
    let mut command = spawn::program(program, Path::new(&row.path));
    command.args(args).envs(env);
    let limits = Limits { timeout: Some(INIT_TIME), max_output: 16 << 10, ..Limits::default() };
    let refused = |what: String| {
        let message = format!("the database of {}/{sub} was not made: {what}", row.name);
        Refusal::new(
            Code::Conflict,
            message,
            format!("mend init under [environments], then kapell env create {}", row.name),
        )
    };
    let output = spawn::run(&mut command, &[], &limits).map_err(|error| refused(error.to_string()))?;
    let said = format!("{}{}", output.stdout.to_text(), output.stderr.to_text());
    let said = said.trim().lines().rev().take(3).collect::<Vec<_>>();
    let said = said.into_iter().rev().collect::<Vec<_>>().join("; ");
    match output.end {
        End::Exited(0) => Ok(()),
        End::Exited(code) => Err(refused(format!("init ended with {code}: {said}")).into()),
        End::Signaled(signal) => Err(refused(format!("init died of signal {signal}: {said}")).into()),
        _ if ground.session.cancel.is_cancelled() => Err(refused("it was interrupted".to_owned()).into()),
        End::TimedOut => Err(refused(format!("init did not end within {} s", INIT_TIME.as_secs())).into()),
    }
}

/// A word of a command, or an address, with its placeholders filled in.
pub(super) fn fill(word: &str, row: &EnvironmentRow, sub: &str, port: u16, database: &Path) -> String {
    let (port, database) = (port.to_string(), database.to_string_lossy());
    let values = [
        ("port", port.as_str()),
        ("database", &database),
        ("name", &row.name),
        ("sub", sub),
        ("path", &row.path),
    ];
    filled(word, &values)
}

impl Ground<'_> {
    /// A command with its placeholders filled in, and its program found.
    pub(super) fn command(
        &self,
        words: &[String],
        row: &EnvironmentRow,
        sub: &str,
        port: u16,
        database: &Path,
    ) -> Vec<String> {
        let mut argv: Vec<String> = words.iter().map(|word| fill(word, row, sub, port, database)).collect();
        if let Some(program) = argv.first_mut()
            && let Some(found) = self.program(row, program)
        {
            *program = found.to_string_lossy().into_owned();
        }
        argv
    }

    /// Where a program is: on the PATH, or, where its name has a slash, in the checkout.
    pub(super) fn program(&self, row: &EnvironmentRow, name: &str) -> Option<PathBuf> {
        if name.contains('/') && !name.starts_with('/') {
            return Some(Path::new(&row.path).join(name)).filter(|file| file.is_file());
        }
        find_program(name, self.session.house.environment.get("PATH").map_or("", String::as_str))
    }

    /// The environment of what runs in a sub-environment.
    pub(super) fn variables(&self, row: &EnvironmentRow, sub: &str, port: u16) -> Vec<(OsString, OsString)> {
        let mut env = commands::environment(&self.session.house);
        env.remove("CI");
        let database = database(row, sub).to_string_lossy().into_owned();
        let own = [
            ("PORT", port.to_string()),
            ("DATABASE_URL", format!("sqlite://{database}")),
            ("DATABASE", database),
            ("KAPELL_ENVIRONMENT", row.name.clone()),
            ("KAPELL_SUB", sub.to_owned()),
            // Otherwise the log of a Python service is a page behind.
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ];
        env.extend(own.map(|(name, value)| (name.to_owned(), value)));
        env.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
    }
}
