//! A scripted agent for tests: it does, line by line, what the text of its task says.
//!
//! `fake-agent` alone takes the script from its prompt, up to the line `---`; `fake-agent do LINE…`
//! takes it from its arguments, for gates and for programs that stand in front of git. A line is a
//! command and its words, quoted as in a shell; `\n` and `\xff` within a word are a newline and a
//! byte. The text of a task that Kapell itself made, to write a spec, is no script: it writes a line
//! into what it owns. Nothing here looks at a clock: what has to happen at a certain moment meets the test at a
//! socket and waits there.
//!
//! | line | does |
//! |---|---|
//! | `# TEXT` | nothing |
//! | `write PATH TEXT`, `append PATH TEXT` | a line of text into a file; its folder is made |
//! | `delete PATH`, `mkdir PATH`, `chmod MODE PATH`, `symlink TARGET PATH` | that |
//! | `meet SOCKET NAME` | tells the test `NAME PID PARENT ATTEMPT` and waits until it is let go |
//! | `say TEXT` | prints the rest of the line |
//! | `garbage`, `big-line MIB` | prints bytes that are no text; a line of that length |
//! | `daemon SOCKET NAME` | starts a process in a session of its own, without a parent, that meets the test |
//! | `burn SOCKET NAME`, `burn-apart SOCKET NAME` | meets the test and keeps a processor busy until it is let go; the second in a process like a daemon's, and waits meanwhile |
//! | `when-nudged TEXT` | waits until it is told something that holds the text |
//! | `git-swap MARK` | makes `.git` lead to a repository whose configuration runs `touch MARK` |
//! | `run PROGRAM WORD…` | runs it; what it prints goes nowhere, how it ends is of no matter |
//! | `expect TEXT` | ends with 65 unless the rest of the prompt holds the text |
//! | `exit CODE`, `hang` | ends; never ends |
//! | `as NAME LINE` | only where `FAKE_NAME` is that, which a provider's `set_env` says |
//! | `without PATH LINE` | only where there is no such file |
//! | `leave PATH CODE` | writes a line into the file and ends |
//! | `first LINE`, `again LINE` | only in a try that was told nothing, or something, of the try before |
//! | `kapell TEXT WORD…` | runs `kapell WORD… --json` and prints what it prints; ends with 67 unless the text is in that |
//! | `door SOCKET NAME WORD…` | meets the test, and then is `kapell WORD…` on that connection until it ends |
//! | `denied LINE` | ends with 66 unless the line fails because it is not permitted |

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The script is wrong, or a line of it could not be done.
const BAD: u8 = 64;
/// The prompt does not hold what it should.
const UNEXPECTED: u8 = 65;
/// Something was permitted that should not be.
const PERMITTED: u8 = 66;
/// Kapell did not answer what it should.
const ANSWERED: u8 = 67;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((mode, [socket, name])) if mode == "daemon" => become_daemon(socket, name),
        Some((mode, [socket, name])) if mode == "burn" => {
            rustix::process::setsid().map_err(io::Error::from).and_then(|_| burn(socket, name))
        }
        Some((mode, lines)) if mode == "do" => play(lines.iter().map(String::as_str), ""),
        _ => prompted(),
    };
    done.unwrap_or_else(|error| {
        // With nobody to read it the exit code has to do.
        let _ = writeln!(io::stderr(), "fake-agent: {error}");
        ExitCode::from(BAD)
    })
}

fn prompted() -> io::Result<ExitCode> {
    let path = variable("KAPELL_PROMPT_FILE").ok_or(ErrorKind::NotFound)?;
    let prompt = fs::read_to_string(path)?;
    let (script, rest) = prompt.split_once("\n---\n").unwrap_or((&prompt, ""));
    let task = variable("KAPELL_TASK").unwrap_or_default();
    if !task.as_bytes().starts_with(b"spec-") {
        return play(script.lines(), rest);
    }
    let files = variable("KAPELL_FILES").unwrap_or_default();
    let files: Vec<String> = serde_json::from_slice(files.as_bytes())?;
    let text = if prompt.contains("leave it empty") { "" } else { "specified\n" };
    for file in files {
        fs::write(with_folder(&file)?, text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn play<'a>(lines: impl Iterator<Item = &'a str>, told: &str) -> io::Result<ExitCode> {
    for line in lines {
        match step(line.trim(), told) {
            Ok(None) => {}
            Ok(Some(code)) => return Ok(ExitCode::from(code)),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{line}: {error}"))),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does one line; a code ends the script.
fn step(line: &str, told: &str) -> io::Result<Option<u8>> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let is_again = told.contains("\nThis is try ");
    match command {
        "" | "#" => return Ok(None),
        "first" => return if is_again { Ok(None) } else { step(rest, told) },
        "again" => return if is_again { step(rest, told) } else { Ok(None) },
        "as" => {
            let (name, line) = rest.split_once(' ').unwrap_or((rest, ""));
            return if variable("FAKE_NAME").is_some_and(|own| own == name) {
                step(line, told)
            } else {
                Ok(None)
            };
        }
        "without" => {
            let (path, line) = rest.split_once(' ').unwrap_or((rest, ""));
            return if Path::new(path).exists() { Ok(None) } else { step(line, told) };
        }
        "denied" => {
            return match step(rest, told) {
                Err(error) if is_denial(&error) => Ok(None),
                Err(error) => Err(error),
                Ok(_) => Ok(Some(PERMITTED)),
            };
        }
        "expect" => return Ok((!told.contains(rest)).then_some(UNEXPECTED)),
        "say" => {
            writeln!(io::stdout(), "{rest}")?;
            return Ok(None);
        }
        _ => {}
    }
    let words = shell_words::split(rest).map_err(io::Error::other)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (command, words.as_slice()) {
        ("write", [path, text]) => fs::write(with_folder(path)?, [unescaped(text), vec![b'\n']].concat())?,
        ("append", [path, text]) => {
            let mut file = File::options().append(true).create(true).open(with_folder(path)?)?;
            file.write_all(&[unescaped(text), vec![b'\n']].concat())?;
        }
        ("delete", [path]) => fs::remove_file(path_of(path))?,
        ("mkdir", [path]) => fs::create_dir_all(path_of(path))?,
        ("chmod", [mode, path]) => {
            let mode = u32::from_str_radix(mode, 8).map_err(io::Error::other)?;
            fs::set_permissions(path_of(path), fs::Permissions::from_mode(mode))?;
        }
        ("symlink", [target, path]) => symlink(path_of(target), with_folder(path)?)?,
        ("if-both", [one, other, socket, name]) => {
            if path_of(one).exists() && path_of(other).exists() {
                drop(meet(socket, name)?);
            }
        }
        ("meet", [socket, name]) => drop(meet(socket, name)?),
        ("garbage", []) => {
            let bytes: Vec<u8> =
                (0..64 * 1024u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            io::stdout().write_all(&bytes)?;
            io::stdout().write_all(b"\n{\"kapell\":\n{\"kapell\":7}\n[]\n\xff\xfe\n")?;
        }
        ("big-line", [mebibytes]) => {
            let count: usize = mebibytes.parse().map_err(io::Error::other)?;
            let mebibyte = vec![b'x'; 1 << 20];
            for _ in 0..count {
                io::stdout().write_all(&mebibyte)?;
            }
            writeln!(io::stdout())?;
        }
        ("daemon", [socket, name]) => {
            // The one in between ends at once, so that nobody is left who is a parent.
            let mut between = program(env::current_exe()?);
            between.args(["daemon", socket, name]).stdin(Stdio::null()).stdout(Stdio::null());
            between.stderr(Stdio::null()).status()?;
        }
        ("burn", [socket, name]) => drop(burn(socket, name)?),
        ("burn-apart", [socket, name]) => {
            let mut between = program(env::current_exe()?);
            between.args(["do", &shell_words::join(["burn-child", socket, name])]);
            between.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            meet(socket, &format!("{name}-parent"))?;
        }
        ("burn-child", [socket, name]) => {
            program(env::current_exe()?).args(["burn", socket, name]).spawn()?;
        }
        ("when-nudged", [text]) => when_nudged(text)?,
        ("git-swap", [mark]) => git_swap(mark)?,
        ("run", [name, words @ ..]) => {
            program(name)
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
        }
        ("kapell", [text, words @ ..]) => {
            let output = kapell(words).arg("--json").stdin(Stdio::null()).output()?;
            let said = [output.stdout.as_slice(), &output.stderr].concat();
            io::stdout().write_all(&said)?;
            let is_there = String::from_utf8_lossy(&said).contains(text);
            return Ok((!is_there).then_some(ANSWERED));
        }
        ("door", [socket, name, words @ ..]) => {
            let stream = meet(socket, name)?;
            let end = || io::Result::Ok(OwnedFd::from(stream.try_clone()?));
            kapell(words).stdin(end()?).stdout(end()?).status()?;
        }
        ("leave", [path, code]) => {
            fs::write(with_folder(path)?, "left\n")?;
            return Ok(Some(code.parse().map_err(io::Error::other)?));
        }
        ("exit", [code]) => return Ok(Some(code.parse().map_err(io::Error::other)?)),
        ("hang", []) => loop {
            std::thread::park();
        },
        _ => return Err(io::Error::other("no such line")),
    }
    Ok(None)
}

/// Tells the test who is here, and waits to be let go.
fn meet(socket: &str, name: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    let attempt = variable("KAPELL_ATTEMPT").unwrap_or_else(|| "-".into());
    let (pid, parent) = (std::process::id(), std::os::unix::process::parent_id());
    writeln!(stream, "{name} {pid} {parent} {}", attempt.display())?;
    let mut word = [0; 1];
    stream.read_exact(&mut word)?;
    Ok(stream)
}

/// Meets the test on one thread and works for nothing on another until it is let go.
fn burn(socket: &str, name: &str) -> io::Result<ExitCode> {
    let (socket, name) = (socket.to_owned(), name.to_owned());
    let met = std::thread::spawn(move || meet(&socket, &name).map(drop));
    while !met.is_finished() {
        std::hint::spin_loop();
    }
    met.join().map_err(|_| io::Error::other("the thread died"))??;
    Ok(ExitCode::SUCCESS)
}

fn when_nudged(text: &str) -> io::Result<()> {
    let path = PathBuf::from(variable("KAPELL_NUDGES").ok_or(ErrorKind::NotFound)?);
    let (sender, news) = std::sync::mpsc::channel();
    let folder = path.parent().ok_or(ErrorKind::NotFound)?;
    let _notices = kapell::base::notices::Notices::of(folder, move |_| {
        let _ = sender.send(());
    })?;
    loop {
        if fs::read_to_string(&path).is_ok_and(|told| told.contains(text)) {
            return Ok(());
        }
        news.recv().map_err(io::Error::other)?;
    }
}

/// `kapell` as it is found on the `PATH`; words such as `NAME=VALUE` in front are its environment.
fn kapell(words: &[&str]) -> Command {
    let mut command = program("kapell");
    let mut rest = words;
    while let Some((first, after)) = rest.split_first()
        && let Some((name, value)) = first.split_once('=')
    {
        command.env(name, value);
        rest = after;
    }
    command.args(rest.iter().map(|word| OsString::from_vec(unescaped(word))));
    command
}

fn become_daemon(socket: &str, name: &str) -> io::Result<ExitCode> {
    rustix::process::setsid()?;
    let meet = shell_words::join(["meet", socket, name]);
    program(env::current_exe()?).args(["do", &meet]).spawn()?;
    Ok(ExitCode::SUCCESS)
}

fn git_swap(mark: &str) -> io::Result<()> {
    let evil = PathBuf::from(variable("TMPDIR").ok_or(ErrorKind::NotFound)?).join("evil");
    for folder in ["objects", "refs/heads"] {
        fs::create_dir_all(evil.join(folder))?;
    }
    fs::write(evil.join("HEAD"), "ref: refs/heads/main\n")?;
    let touch = format!("touch {mark}");
    let config = format!(
        "[core]\n\tbare = false\n\trepositoryformatversion = 0\n\tfsmonitor = \"{touch}\"\n\tsshCommand = \"{touch}\"\n"
    );
    fs::write(evil.join("config"), config)?;
    fs::remove_file(".git")?;
    fs::write(".git", format!("gitdir: {}\n", evil.display()))
}

#[expect(clippy::disallowed_methods, reason = "an agent has its folder and its environment from kapell")]
fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(name)
}

#[expect(clippy::disallowed_methods, reason = "that is how an agent is told what to do")]
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

fn is_denial(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::CrossesDevices
    )
}

fn with_folder(path: &str) -> io::Result<PathBuf> {
    let path = path_of(path);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    Ok(path)
}

fn path_of(word: &str) -> PathBuf {
    Path::new(&OsString::from_vec(unescaped(word))).to_owned()
}

fn unescaped(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'\\', [b'n', after @ ..]) => Some((b'\n', after)),
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let byte = std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                byte.map(|byte| (byte, after))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    bytes
}
