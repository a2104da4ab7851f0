//! Asking a service whether it is well: by HTTP, by TCP, or by a program.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::process::find::find_program;
use super::process::spawn::{self, End, Limits};

/// How a service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// An address of http, https or tcp.
    Address {
        /// The address.
        url: String,
        /// Whether its certificate may be anybody's.
        insecure: bool,
    },
    /// A program that ends with 0.
    Program {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Its environment.
        env: Vec<(OsString, OsString)>,
        /// Its folder.
        cwd: PathBuf,
    },
}

impl Probe {
    /// Asks once.
    ///
    /// # Errors
    /// Why it is not well, in words.
    pub fn ask(&self, path: &str, limit: Duration) -> Result<(), String> {
        match self {
            Self::Address { url, insecure } => match url.split_once("://") {
                Some(("http", rest)) => http(rest, limit),
                Some(("https", rest)) => https(rest, *insecure, path, limit),
                Some(("tcp", rest)) => connect(authority(rest).0, None, limit).map(drop),
                _ => Err(format!("{url} is no address that can be asked")),
            },
            Self::Program { argv, env, cwd } => program(argv, env, cwd, limit),
        }
    }
}

/// The host and port of what follows `://`, and the rest, which begins with `/`.
fn authority(rest: &str) -> (&str, String) {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    (authority, if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

fn connect(authority: &str, default: Option<u16>, limit: Duration) -> Result<TcpStream, String> {
    let failed = |why: String| format!("nothing answers at {authority}: {why}");
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let named = match default {
        Some(port) if !has_port => format!("{authority}:{port}"),
        _ => authority.to_owned(),
    };
    let until = Instant::now() + limit;
    let mut last = "the name has no address".to_owned();
    for address in named.to_socket_addrs().map_err(|error| failed(plain(&error)))? {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = plain(&error),
        }
    }
    Err(failed(last))
}

fn http(rest: &str, limit: Duration) -> Result<(), String> {
    let until = Instant::now() + limit;
    let (authority, path) = authority(rest);
    let mut stream = connect(authority, Some(80), limit)?;
    let failed = |error: std::io::Error| format!("{authority} does not answer: {}", plain(&error));
    stream.set_write_timeout(Some(limit)).map_err(failed)?;
    let head = format!(
        "GET {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: kapell\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).map_err(failed)?;
    // The status is all that is wanted; a server that sends on without end is not read to it.
    let mut bytes = Vec::new();
    let mut piece = [0; 512];
    while !bytes.contains(&b'\n') && bytes.len() < 4096 {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{authority} takes the connection and does not answer"));
        }
        stream.set_read_timeout(Some(left)).map_err(failed)?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let line = String::from_utf8_lossy(&bytes);
    let status = line.strip_prefix("HTTP/1.").and_then(|line| line.split(' ').nth(1)?.get(..3)?.parse().ok());
    judged(authority, status)
}

fn judged(authority: &str, status: Option<u16>) -> Result<(), String> {
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("{authority} answers with status {status}")),
        None => Err(format!("{authority} speaks no HTTP")),
    }
}

/// By curl, where it is there: TLS in this program would weigh more than all of this.
fn https(rest: &str, insecure: bool, path: &str, limit: Duration) -> Result<(), String> {
    let (authority, page) = authority(rest);
    let curl = find_program("curl", path).ok_or(
        "an https address is asked by curl, which is not on the PATH; health_command can do without",
    )?;
    let seconds = format!("{:.3}", limit.as_secs_f64());
    let url = format!("https://{authority}{page}");
    let mut command = spawn::program(curl, Path::new("/"));
    command.args([
        "-q",
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--noproxy",
        "*",
        "--max-time",
        &seconds,
    ]);
    if insecure {
        command.arg("-k");
    }
    command.args(["--", &url]);
    let limits =
        Limits { timeout: Some(limit + Duration::from_secs(1)), max_output: 4096, ..Limits::default() };
    let output = spawn::run(&mut command, &[], &limits).map_err(|error| error.to_string())?;
    if !output.end.is_success() {
        let said = output.stderr.to_text();
        let said = said.lines().next().unwrap_or("curl says nothing");
        return Err(said.trim_start_matches("curl: ").to_owned());
    }
    judged(authority, output.stdout.to_text().trim().parse().ok())
}

fn program(argv: &[String], env: &[(OsString, OsString)], cwd: &Path, limit: Duration) -> Result<(), String> {
    let Some((name, args)) = argv.split_first() else { return Err("the command is empty".to_owned()) };
    let mut command = spawn::program(name, cwd);
    command.args(args).envs(env.iter().map(|(name, value)| (name, value)));
    let limits = Limits { timeout: Some(limit), max_output: 16 << 10, ..Limits::default() };
    let output = spawn::run(&mut command, &[], &limits).map_err(|error| error.to_string())?;
    let said = format!("{}{}", output.stdout.to_text(), output.stderr.to_text());
    let said = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .map(|line| format!(": {line}"))
        .unwrap_or_default();
    match output.end {
        End::Exited(0) => Ok(()),
        End::Exited(code) => Err(format!("{name} ended with {code}{said}")),
        End::Signaled(signal) => Err(format!("{name} died of signal {signal}")),
        End::TimedOut => Err(format!("{name} did not end within {} s", limit.as_secs().max(1))),
    }
}

fn plain(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "the connection is refused".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "it takes too long".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn address(url: String) -> Probe {
        Probe::Address { url, insecure: false }
    }

    fn serve(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer);
            }
        });
        port
    }

    #[test]
    fn a_status_decides() {
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\n\r\nfine"[..], None),
            (b"HTTP/1.0 302 Found\r\n\r\n", None),
            (b"HTTP/1.1 503 Busy\r\n\r\n", Some("answers with status 503")),
            (b"SSH-2.0-x\r\n", Some("speaks no HTTP")),
            (b"", Some("speaks no HTTP")),
        ] {
            let port = serve(answer);
            let outcome = address(format!("http://127.0.0.1:{port}/health?a=b")).ask("", LIMIT);
            match (outcome, expected) {
                (Ok(()), None) => {}
                (Err(why), Some(expected)) => assert!(why.contains(expected), "{why}"),
                other => panic!("{other:?}"),
            }
            assert_eq!(address(format!("tcp://127.0.0.1:{port}")).ask("", LIMIT), Ok(()));
        }
    }

    #[test]
    fn who_takes_the_connection_and_says_nothing_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let began = Instant::now();
        let why =
            address(format!("http://127.0.0.1:{port}/")).ask("", Duration::from_millis(200)).unwrap_err();
        assert!(why.contains("does not answer"), "{why}");
        assert!(began.elapsed() < LIMIT);
        // A port of the system's own, which no other test is given meanwhile.
        let why = address("tcp://127.0.0.1:1".to_owned()).ask("", LIMIT).unwrap_err();
        assert!(why.contains("refused"), "{why}");
    }

    #[test]
    fn a_program_decides() {
        let probe = |line: &str| Probe::Program {
            argv: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
            env: Vec::new(),
            cwd: "/".into(),
        };
        assert_eq!(probe("exit 0").ask("", LIMIT), Ok(()));
        assert_eq!(probe("echo no; exit 3").ask("", LIMIT), Err("/bin/sh ended with 3: no".to_owned()));
        let why = probe("while :; do :; done").ask("", Duration::from_millis(200)).unwrap_err();
        assert!(why.contains("did not end"), "{why}");
    }
}
