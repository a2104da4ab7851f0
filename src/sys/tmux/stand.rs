//! What a standing session is started by: `kapell stand FOLDER` becomes the program that the folder names,
//! with that environment and none of the tmux server's. By way of a file, because arguments can be read by
//! everybody on the machine, and keys are among the variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sys::process::{spawn, words};

/// The file in the folder.
const FILE: &str = "session.json";

/// What the terminal is, which tmux alone knows.
const OF_THE_WINDOW: [&str; 5] = ["TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TMUX", "TMUX_PANE"];

/// The program of a standing session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// The program and its arguments.
    #[serde(with = "words::list")]
    pub argv: Vec<OsString>,
    /// The whole environment, but for what the window says of itself.
    #[serde(with = "words::pairs")]
    pub env: BTreeMap<OsString, OsString>,
    /// The folder in which it starts.
    #[serde(with = "words::path")]
    pub cwd: PathBuf,
}

impl Stand {
    /// Writes it into the folder, for this user alone.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(folder.join(FILE))?;
        file.write_all(&serde_json::to_vec(self)?)
    }
}

/// `kapell stand FOLDER`. Only returns where the program cannot be started.
#[inline(never)]
pub fn main(argv: &[OsString]) -> u8 {
    let Some([folder]) = argv.get(2..) else {
        say("usage: kapell stand FOLDER");
        return 2;
    };
    let why = become_it(Path::new(folder));
    say(&format!("kapell: {why}\r\nEnter closes this window."));
    // The window would be gone before anybody could read it.
    let _ = io::stdin().read_line(&mut String::new());
    1
}

fn become_it(folder: &Path) -> String {
    let path = folder.join(FILE);
    let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<Stand>(&text)?));
    let stand = match read {
        Ok(stand) => stand,
        Err(error) => return format!("{}: {error}", path.display()),
    };
    let Some((program, arguments)) = stand.argv.split_first() else {
        return format!("{} names no program", path.display());
    };
    let of_the_window = std::env::vars_os().filter(|(name, _)| OF_THE_WINDOW.iter().any(|it| name == it));
    let mut command = spawn::program(program, &stand.cwd);
    command.args(arguments).envs(&stand.env).envs(of_the_window);
    let error = command.exec();
    format!("cannot start `{}` in {}: {error}", program.display(), stand.cwd.display())
}

fn say(text: &str) {
    // With nobody to read it the exit code has to do.
    let _ = writeln!(io::stderr(), "{text}");
}
