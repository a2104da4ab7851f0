//! The model server of this machine: where it is, whether it answers, and what it serves.
//!
//! Ollama needs no key. It is asked over plain HTTP/1.0, whose answers have neither pieces nor a
//! connection that stays open; any server that answers `/api/tags` or `/v1/models` will do.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The variable that says where the server is; also the server's own.
pub const HOST: &str = "OLLAMA_HOST";
/// Variables of the caller's that say something about it.
pub const VARIABLES: &str = "OLLAMA_*";

const PORT: u16 = 11434;
/// A server of this machine takes a connection at once or never.
const KNOCK: Duration = Duration::from_millis(100);
/// The longest that a question may take altogether.
const ANSWER: Duration = Duration::from_secs(3);
/// A list of models is far shorter.
const MOST_BYTES: u64 = 4 << 20;
/// The first version that speaks the Responses API, which is all that Codex speaks.
const RESPONSES_SINCE: [u64; 3] = [0, 13, 4];

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    /// A path that a proxy put before its own, without a slash at its end.
    path: String,
}

impl Default for Address {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: PORT, path: String::new() }
    }
}

impl Address {
    /// Reads `OLLAMA_HOST` as the server does: `host`, `host:port`, `:port`, `http://host`, `[::1]:port`.
    ///
    /// # Errors
    /// Why it cannot be asked, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_matches(['"', '\'']);
        let (rest, port) = match text.split_once("://") {
            Some(("http", rest)) => (rest, 80),
            Some((scheme, _)) => {
                return Err(format!("{HOST} is {text}: only http can be asked, not {scheme}"));
            }
            None => (text, PORT),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, said) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            // An address of version 6 without brackets has no port.
            None if authority.matches(':').count() > 1 => (authority, None),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match said.filter(|port| !port.is_empty()) {
            Some(said) => said.parse().map_err(|_| format!("{HOST} is {text}: {said} is no port"))?,
            None => port,
        };
        if host.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '?' | '#' | '"'))
        {
            return Err(format!("{HOST} is {text:?}, which is no address"));
        }
        // What a server listens to as "everything" is reached at this machine.
        let host = match host {
            "" | "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { host: host.to_owned(), port, path })
    }

    /// Whether it is on this machine, so that asking cannot take long.
    pub fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// `HOST:PORT`.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The host alone, as it is named in `NO_PROXY`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where its OpenAI-like API begins.
    pub fn base_url(&self) -> String {
        format!("http://{}{}/v1", self.authority(), self.path)
    }

    /// Whether something takes a connection there. Nothing is asked.
    pub fn is_open(&self) -> bool {
        self.connect(Instant::now() + KNOCK).is_ok()
    }

    fn connect(&self, until: Instant) -> Result<TcpStream, String> {
        let failed = |why: String| format!("nothing answers at {}: {why}", self.authority());
        let addresses: Vec<SocketAddr> = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|error| failed(error.to_string()))?
            .collect();
        let mut last = "the name has no address".to_owned();
        for address in addresses {
            let left = until.saturating_duration_since(Instant::now());
            match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = plain(&error),
            }
        }
        Err(failed(last))
    }

    /// The answer to a question: its status, and its body.
    fn get(&self, path: &str) -> Result<(u16, String), String> {
        let until = Instant::now() + ANSWER;
        let mut stream = self.connect(until)?;
        let failed =
            |error: std::io::Error| format!("{} does not answer: {}", self.authority(), plain(&error));
        let head = format!(
            "GET {}{path} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
            self.path,
            self.authority()
        );
        stream.set_write_timeout(Some(ANSWER)).map_err(failed)?;
        stream.write_all(head.as_bytes()).map_err(failed)?;
        let mut bytes = Vec::new();
        let mut piece = [0; 8192];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{} does not answer within {} s", self.authority(), ANSWER.as_secs()));
            }
            stream.set_read_timeout(Some(left)).map_err(failed)?;
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
            // Some servers leave the connection open for all that they were told.
            if bytes.len() as u64 > MOST_BYTES || is_whole(&bytes) {
                break;
            }
        }
        parsed(&bytes).ok_or_else(|| format!("{} speaks no HTTP", self.authority()))
    }

    /// What it serves.
    ///
    /// # Errors
    /// Why it cannot be had, in words.
    pub fn look(&self) -> Result<Found, String> {
        let (status, body) = self.get("/api/tags")?;
        let mut models = if status == 200 { listed(&body, "models", &["name", "model"]) } else { None };
        if models.is_none() {
            let (status, body) = self.get("/v1/models")?;
            models = if status == 200 { listed(&body, "data", &["id"]) } else { None };
        }
        let models = models.ok_or_else(|| {
            format!("what answers at {} is no Ollama: it lists no models (status {status})", self.authority())
        })?;
        let version = self.get("/api/version").ok().filter(|(status, _)| *status == 200);
        let version = version.and_then(|(_, body)| {
            let body: Value = serde_json::from_str(&body).ok()?;
            Some(body["version"].as_str()?.chars().take(40).collect())
        });
        Ok(Found { models, version })
    }
}

/// What a server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The names of its models, in its own order.
    pub models: Vec<String>,
    /// Its version, where it tells one.
    pub version: Option<String>,
}

impl Found {
    /// The model to ask for: the one that is wished for, else the first that can talk.
    ///
    /// # Errors
    /// Why there is none, in words, with what helps.
    pub fn choose(&self, wished: Option<&str>) -> Result<String, String> {
        let Some(wished) = wished else {
            // Those that only turn texts into numbers answer nobody.
            let talks = |name: &&String| !name.contains("embed") && !name.contains("bge-");
            let first = self.models.iter().find(talks);
            return first
                .cloned()
                .ok_or_else(|| "it has no model yet; get one: ollama pull qwen3".to_owned());
        };
        // A name without a tag means the newest.
        let newest = format!("{wished}:latest");
        let found = self.models.iter().find(|name| *name == wished || **name == newest);
        found.cloned().ok_or_else(|| {
            let has = if self.models.is_empty() { "none".to_owned() } else { self.models.join(", ") };
            format!("it has no model {wished}, but {has}; get it: ollama pull {wished}")
        })
    }

    /// Whether it is too old for Codex. One that tells no version is taken for new enough.
    pub fn is_too_old_for_codex(&self) -> bool {
        let Some(version) = &self.version else { return false };
        let numbers: Vec<u64> =
            version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).take(3).collect();
        <[u64; 3]>::try_from(numbers).is_ok_and(|version| version < RESPONSES_SINCE)
    }
}

/// The names in a list of models; nothing where there is no such list.
fn listed(body: &str, list: &str, names: &[&str]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_str(body).ok()?;
    // A server without models says null.
    let models = match &body[list] {
        Value::Null if body.get(list).is_some() => return Some(Vec::new()),
        models => models.as_array()?,
    };
    let name = |model: &Value| names.iter().find_map(|name| model[*name].as_str().map(str::to_owned));
    // A name becomes an argument of a program.
    let is_name =
        |name: &String| !name.is_empty() && !name.starts_with('-') && !name.contains(char::is_control);
    Some(models.iter().filter_map(name).filter(is_name).collect())
}

/// Where the head of an answer ends.
fn head_of(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]))
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some((head, body)) = head_of(bytes) else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    length.is_some_and(|length| body.len() >= length)
}

fn parsed(bytes: &[u8]) -> Option<(u16, String)> {
    let (head, body) = head_of(bytes)?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, String::from_utf8_lossy(body).into_owned()))
}

/// The system's words without its numbers.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_address_is_read_as_the_server_reads_it() {
        for (text, base) in [
            ("", "http://127.0.0.1:11434/v1"),
            ("127.0.0.1", "http://127.0.0.1:11434/v1"),
            (":4000", "http://127.0.0.1:4000/v1"),
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0:80", "http://127.0.0.1:80/v1"),
            ("box.lan:4000", "http://box.lan:4000/v1"),
            ("http://box.lan", "http://box.lan:80/v1"),
            ("http://box.lan:4000/", "http://box.lan:4000/v1"),
            ("http://box.lan:4000/models/", "http://box.lan:4000/models/v1"),
            ("[::1]", "http://[::1]:11434/v1"),
            ("[::]:4000", "http://[::1]:4000/v1"),
            ("::1", "http://[::1]:11434/v1"),
            (" \"127.0.0.1:4000\" ", "http://127.0.0.1:4000/v1"),
        ] {
            let address = Address::parse(text);
            assert_eq!(address.as_ref().map(Address::base_url).as_deref(), Ok(base), "{text}");
        }
        assert_eq!(Address::parse("").unwrap(), Address::default());
        for text in ["https://box.lan", "box:port", "box:99999", "a b", "me@box"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for (text, is_here) in [("", true), ("[::1]:1", true), ("localhost", true), ("box.lan", false)] {
            assert_eq!(Address::parse(text).unwrap().is_here(), is_here, "{text}");
        }
    }

    #[test]
    fn a_model_is_chosen() {
        let found = |models: &[&str]| Found {
            models: models.iter().map(|&name| name.to_owned()).collect(),
            version: None,
        };
        let some = found(&["nomic-embed-text:latest", "qwen3:8b", "llama3:latest"]);
        assert_eq!(some.choose(None).unwrap(), "qwen3:8b");
        assert_eq!(some.choose(Some("llama3")).unwrap(), "llama3:latest");
        assert_eq!(some.choose(Some("qwen3:8b")).unwrap(), "qwen3:8b");
        let why = some.choose(Some("qwen3")).unwrap_err();
        assert_eq!(
            why,
            "it has no model qwen3, but nomic-embed-text:latest, qwen3:8b, llama3:latest; get it: ollama pull qwen3"
        );
        assert!(found(&[]).choose(None).unwrap_err().contains("ollama pull"));
        assert!(found(&["all-minilm-embed"]).choose(None).is_err());
    }

    #[test]
    fn an_old_server_is_known() {
        let of = |version: &str| Found { models: Vec::new(), version: Some(version.to_owned()) };
        for (version, is_old) in
            [("0.12.11", true), ("0.13.3", true), ("0.13.4", false), ("1.0.0-rc1", false), ("head", false)]
        {
            assert_eq!(of(version).is_too_old_for_codex(), is_old, "{version}");
        }
    }

    /// A server that gives one answer to each question, by path.
    fn serve(answers: &'static [(&str, &str)]) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address { port: listener.local_addr().unwrap().port(), ..Address::default() };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = [0; 1000];
                let read = stream.read(&mut asked).unwrap_or_default();
                let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
                // Who only looks whether somebody is there asks nothing.
                let Some(path) = asked.split(' ').nth(1) else { continue };
                let answer = answers.iter().find(|(of, _)| *of == path);
                let answer = answer.map_or("HTTP/1.0 404 Not Found\r\n\r\n404", |(_, answer)| answer);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn what_answers_is_asked_what_it_serves() {
        let ollama = serve(&[
            (
                "/api/tags",
                "HTTP/1.0 200 OK\r\n\r\n{\"models\":[{\"name\":\"a:1\"},{\"model\":\"b\"},{\"name\":\"-c\"}]}",
            ),
            ("/api/version", "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"version\":\"0.20.1\"}"),
        ]);
        assert!(ollama.is_open());
        let found = ollama.look().unwrap();
        assert_eq!(found.models, ["a:1", "b"]);
        let other = serve(&[("/v1/models", "HTTP/1.0 200 OK\r\n\r\n{\"data\":[{\"id\":\"c\"}]}")]);
        assert_eq!(other.look().unwrap(), Found { models: vec!["c".to_owned()], version: None });
        let empty = serve(&[("/api/tags", "HTTP/1.0 200 OK\r\n\r\n{\"models\":null}")]);
        assert_eq!(empty.look().unwrap().models, [""; 0]);
        let stranger = serve(&[]);
        assert!(stranger.look().unwrap_err().contains("is no Ollama"));
        let nonsense = serve(&[("/api/tags", "nothing of the kind")]);
        assert!(nonsense.look().unwrap_err().contains("speaks no HTTP"));
    }

    #[test]
    fn a_dead_port_is_told_with_its_place() {
        // A port of the system's own, which no other test is given meanwhile.
        let address = Address { port: 1, ..Address::default() };
        assert!(!address.is_open());
        let why = address.look().unwrap_err();
        assert_eq!(why, format!("nothing answers at 127.0.0.1:{}: connection refused", address.port));
    }
}
