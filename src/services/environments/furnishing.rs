//! What an environment has besides the project's files: databases, `.env.local`, and commands that call kapell.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Ground, OWN, database, log, own_folder};
use crate::base::failpoint::Point;
use crate::domain::environment::filled;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::services::judging::commands;
use crate::store::environments::EnvironmentRow;
use crate::store::foreign;
use crate::sys::git::environment::Beside;
use crate::sys::process::find::find_program;
use crate::sys::process::spawn::{self, End, Limits};

/// How long making a database may take.
const INIT_TIME: Duration = Duration::from_secs(300);

/// The commands at the top of a checkout, each with the action that it calls.
const SCRIPTS: [(&str, &str); 4] =
    [("launch.sh", "launch"), ("stop.sh", "stop"), ("status.sh", "status"), ("sync.sh", "git")];

/// The file for those who read variables.
const VARIABLES: &str = ".env.local";
/// Our lines in it.
const BEGIN: &str = "# kapell: from here to the end mark is written anew";
const END: &str = "# kapell: end mark";

/// Makes what is missing.
pub(super) fn furnish(ground: &Ground<'_>, row: &EnvironmentRow, beside: &Beside) -> Result<(), Error> {
    let folder = own_folder(row);
    let failed = |error| Error::system(format!("cannot make {}", folder.display()), error);
    fs::create_dir_all(&folder).map_err(failed)?;
    // It takes no notice of itself, whatever the project ignores.
    fs::write(folder.join(".gitignore"), "*\n").map_err(failed)?;
    let scripts = SCRIPTS.map(|(name, _)| name);
    beside.exclude(&[&[VARIABLES, OWN], scripts.as_slice()].concat())?;
    for (name, action) in SCRIPTS {
        write_script(ground, row, beside, name, action)?;
    }
    write_variables(row, beside)?;
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

/// Writes one of the commands, unless the project has a file there.
fn write_script(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    beside: &Beside,
    name: &str,
    action: &str,
) -> Result<(), Error> {
    let path = Path::new(&row.path).join(name);
    let quoted = |path: &Path| shell_words::quote(&path.to_string_lossy()).into_owned();
    let house = &ground.session.house;
    let home = match house.environment.contains_key("KAPELL_HOME") {
        true => format!("KAPELL_HOME={} ", quoted(&house.root)),
        false => String::new(),
    };
    let mark = format!(" env {action} {} ", row.name);
    let words = if action == "git" { "sync " } else { "" };
    let text = format!(
        "#!/bin/sh\n{home}exec {} -C {}{mark}{words}\"$@\"\n",
        quoted(&house.program),
        quoted(ground.top())
    );
    match fs::read_to_string(&path) {
        Ok(found) if found == text => return Ok(()),
        Ok(found) if !found.contains(&mark) => return Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    if beside.is_tracked(name)? {
        return Ok(());
    }
    let failed = |error| Error::system(format!("cannot write {}", path.display()), error);
    fs::write(&path, text).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)
}

/// Writes ports and databases where tools look for variables; what else stands there stays.
pub(super) fn write_variables(row: &EnvironmentRow, beside: &Beside) -> Result<(), Error> {
    let path = Path::new(&row.path).join(VARIABLES);
    if beside.is_tracked(VARIABLES)? {
        return Ok(());
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    let mut rest = String::new();
    let mut is_ours = false;
    for line in before.lines() {
        is_ours |= line == BEGIN;
        if !is_ours {
            rest.push_str(line);
            rest.push('\n');
        }
        is_ours &= line != END;
    }
    let mut text = format!("{rest}{BEGIN}\nKAPELL_ENVIRONMENT={}\n", row.name);
    for sub in &row.subs {
        let name: String = sub
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let database = database(row, &sub.name);
        let quoted = database.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!("{name}_PORT={}\n{name}_DATABASE=\"{quoted}\"\n", sub.port));
    }
    text.push_str(END);
    text.push('\n');
    if text != before {
        fs::write(&path, text)
            .map_err(|error| Error::system(format!("cannot write {}", path.display()), error))?;
    }
    Ok(())
}

/// Makes the database of a sub-environment, where it has none: whole or not at all.
pub(super) fn make_database(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    sub: &str,
    port: u16,
) -> Result<(), Error> {
    let path = database(row, sub);
    if path.exists() {
        return Ok(());
    }
    let part = own_folder(row).join(format!("{sub}.sqlite.part"));
    // Of a killed process.
    for rest in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(own_folder(row).join(format!("{sub}.sqlite.part{rest}")));
    }
    if let Some(init) = &ground.config.environments.init {
        let argv = ground.command(&init.0, row, sub, port, &part);
        run_init(ground, row, sub, port, &argv, &part)?;
    }
    if !part.exists() {
        foreign::create(&part).map_err(|why| {
            Error::system(format!("cannot make {}", path.display()), std::io::Error::other(why))
        })?;
    }
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
