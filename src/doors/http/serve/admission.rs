//! Who is let in: for which host and from which page a request comes, and whether it has the token.
//!
//! A page of somebody else's may send requests to any address, and have its own name mean this machine
//! (DNS rebinding). So the name in `Host` has to be one of ours, and a browser's `Origin` has to be that host.
//! No cookie is ever set, so that nothing is let in for who asks but for what they know.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, Uri};

use super::secret::Secret;

/// The subprotocol that a WebSocket of ours speaks.
pub const PROTOCOL: &str = "kapell";
/// What a browser, which can set no header, offers beside it, with the token behind.
pub const BEARER_PROTOCOL: &str = "kapell.bearer.";

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No name of this server is asked for, or several.
    NoHost,
    /// Another name is asked for.
    ForeignHost,
    /// Another page asks.
    ForeignOrigin,
    /// The token is missing.
    NoToken,
    /// It is another one.
    WrongToken,
}

/// The names under which this server is asked for.
#[derive(Debug, Clone)]
pub struct Names {
    /// The address at which it listens.
    pub address: IpAddr,
    /// Further names that it was told.
    pub told: Vec<String>,
}

impl Names {
    /// Whether `host`, with or without a port, means this server, at which `local` is the connection's own
    /// end. The port may be another one: it does where a tunnel leads here.
    fn is_own(&self, host: &str, local: Option<IpAddr>) -> bool {
        let Some(name) = name_of(host) else { return false };
        let name = name.strip_suffix('.').unwrap_or(name);
        if self.told.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return true;
        }
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => {
                // A number is no name: nobody can have it mean another machine.
                (self.address.is_loopback() && address.is_loopback())
                    || address == self.address
                    || Some(address) == local
            }
            Err(_) => local.unwrap_or(self.address).is_loopback() && name.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Looks at where a request is meant to go and where it comes from.
    pub fn admit(&self, uri: &Uri, headers: &HeaderMap, local: Option<IpAddr>) -> Result<(), Refused> {
        let said = only(headers, &HOST).map_err(|()| Refused::NoHost)?;
        // Where the whole address is asked for, that is where it is meant to go (RFC 9112, 3.2.2).
        let host = uri.authority().map(|authority| authority.as_str()).or(said).ok_or(Refused::NoHost)?;
        if !self.is_own(host, local) || said.is_some_and(|said| !self.is_own(said, local)) {
            return Err(Refused::ForeignHost);
        }
        match only(headers, &ORIGIN) {
            Ok(None) => Ok(()),
            Ok(Some(origin)) if is_of(origin, host) => Ok(()),
            _ => Err(Refused::ForeignOrigin),
        }
    }
}

/// The name in an authority, without its port; `None` where it is none.
fn name_of(authority: &str) -> Option<&str> {
    let is_port = |text: &str| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            let port = after.strip_prefix(':').unwrap_or(after);
            if !is_port(port) || (!after.is_empty() && !after.starts_with(':')) {
                return None;
            }
            &authority[..inside.len() + 2]
        }
        None => match authority.split_once(':') {
            Some((name, port)) if is_port(port) => name,
            Some(_) => return None,
            None => authority,
        },
    };
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_sound)).then_some(name)
}

/// Whether a page of `origin` is one that `host` served.
fn is_of(origin: &str, host: &str) -> bool {
    let with_port = |authority: &str, port: &str| match authority.rsplit_once(':') {
        Some((_, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            authority.to_ascii_lowercase()
        }
        _ => format!("{}:{port}", authority.trim_end_matches(':').to_ascii_lowercase()),
    };
    [("http://", "80"), ("https://", "443")].iter().any(|(scheme, port)| {
        origin
            .strip_prefix(scheme)
            .is_some_and(|authority| with_port(authority, port) == with_port(host, port))
    })
}

/// The one value of a header, if it is there.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Whether a request has the token; a WebSocket may have it among its subprotocols.
pub fn authorize(headers: &HeaderMap, is_websocket: bool, secret: &Secret) -> Result<(), Refused> {
    let said = match only(headers, &AUTHORIZATION) {
        Err(()) => return Err(Refused::WrongToken),
        Ok(Some(said)) => Some(bearer(said).ok_or(Refused::WrongToken)?),
        Ok(None) if is_websocket => {
            protocols(headers).find_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL))
        }
        Ok(None) => None,
    };
    match said {
        None => Err(Refused::NoToken),
        Some(said) if secret.is(said.as_bytes()) => Ok(()),
        Some(_) => Err(Refused::WrongToken),
    }
}

fn bearer(said: &str) -> Option<&str> {
    let (scheme, token) = said.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// The subprotocol of those that a WebSocket offers which is spoken then: a browser wants one of its own.
pub fn spoken(headers: &HeaderMap) -> Option<&str> {
    let is_ours = |protocol: &&str| *protocol == PROTOCOL || protocol.starts_with(BEARER_PROTOCOL);
    protocols(headers).filter(is_ours).min_by_key(|protocol| protocol.len())
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|protocol| protocol.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::path::PathBuf;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn names(address: &str, told: &[&str]) -> Names {
        Names { address: address.parse().unwrap(), told: told.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn only_own_hosts_are_served() {
        let table = [
            ("localhost", true),
            ("LocalHost:8080", true),
            ("localhost.", true),
            ("127.0.0.1", true),
            ("127.0.0.1:7777", true),
            ("127.9.9.9:1", true),
            ("[::1]:7777", true),
            ("board.example:443", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("evil.localhost", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1@evil.example", false),
            ("evil.example@127.0.0.1", false),
            ("10.0.0.1", false),
            ("0.0.0.0:7777", false),
            ("[::2]", false),
            ("[::1", false),
            ("[::1]x", false),
            ("::1", false),
            ("localhost:", true),
            ("localhost:7777777", false),
            ("localhost:80:80", false),
            ("localhost/", false),
            ("", false),
            (":80", false),
        ];
        let names = names("127.0.0.1", &["board.example"]);
        for (host, expected) in table {
            assert_eq!(names.is_own(host, None), expected, "{host}");
        }
        // Elsewhere the loopback's names say nothing; its own number does.
        let names = self::names("0.0.0.0", &[]);
        let local = Some("192.168.1.5".parse().unwrap());
        assert!(names.is_own("192.168.1.5:80", local) && !names.is_own("localhost", local));
        assert!(!names.is_own("192.168.1.6", local));
    }

    #[test]
    fn a_page_of_another_host_is_not_served() {
        use Refused::{ForeignHost, ForeignOrigin, NoHost};
        let own = "127.0.0.1:7";
        type Case<'c> = (&'c str, &'c [(HeaderName, &'c str)], Result<(), Refused>);
        let table: [Case<'_>; 14] = [
            ("/", &[(HOST, own)], Ok(())),
            ("/", &[(HOST, own), (ORIGIN, "http://127.0.0.1:7")], Ok(())),
            ("/", &[(HOST, "localhost:7"), (ORIGIN, "http://LOCALHOST:7")], Ok(())),
            ("/", &[(HOST, "localhost"), (ORIGIN, "http://localhost:80")], Ok(())),
            ("/", &[(HOST, "localhost:443"), (ORIGIN, "https://localhost")], Ok(())),
            ("/", &[(HOST, own), (ORIGIN, "http://127.0.0.1:8")], Err(ForeignOrigin)),
            ("/", &[(HOST, own), (ORIGIN, "http://localhost:7")], Err(ForeignOrigin)),
            ("/", &[(HOST, own), (ORIGIN, "null")], Err(ForeignOrigin)),
            ("/", &[(HOST, own), (ORIGIN, "")], Err(ForeignOrigin)),
            ("/", &[(HOST, own), (ORIGIN, "http://evil.example")], Err(ForeignOrigin)),
            ("/", &[], Err(NoHost)),
            ("/", &[(HOST, own), (HOST, own)], Err(NoHost)),
            ("http://evil.example/", &[(HOST, own)], Err(ForeignHost)),
            ("http://127.0.0.1:7/", &[(HOST, "evil.example")], Err(ForeignHost)),
        ];
        let names = names("127.0.0.1", &[]);
        for (uri, lines, expected) in table {
            let found = names.admit(&uri.parse().unwrap(), &headers(lines), None);
            assert_eq!(found, expected, "{uri} {lines:?}");
        }
    }

    #[test]
    fn the_token_comes_in_a_header_or_as_a_subprotocol() {
        use Refused::{NoToken, WrongToken};
        let secret = Secret { text: "abcdefghijklmnopqrst".to_owned(), path: PathBuf::new() };
        type Case<'c> = (&'c [(HeaderName, &'c str)], bool, Result<(), Refused>);
        let table: [Case<'_>; 12] = [
            (&[(AUTHORIZATION, "Bearer abcdefghijklmnopqrst")], false, Ok(())),
            (&[(AUTHORIZATION, "bearer  abcdefghijklmnopqrst ")], false, Ok(())),
            (&[(AUTHORIZATION, "Bearer abcdefghijklmnopqrsx")], false, Err(WrongToken)),
            (&[(AUTHORIZATION, "Bearer")], false, Err(WrongToken)),
            (&[(AUTHORIZATION, "Basic abcdefghijklmnopqrst")], false, Err(WrongToken)),
            (&[(AUTHORIZATION, "abcdefghijklmnopqrst")], false, Err(WrongToken)),
            (
                &[(AUTHORIZATION, "Bearer abcdefghijklmnopqrst"), (AUTHORIZATION, "Bearer x")],
                false,
                Err(WrongToken),
            ),
            (&[], false, Err(NoToken)),
            (&[], true, Err(NoToken)),
            (&[(SEC_WEBSOCKET_PROTOCOL, "kapell, kapell.bearer.abcdefghijklmnopqrst")], true, Ok(())),
            (&[(SEC_WEBSOCKET_PROTOCOL, "kapell.bearer.abcdefghijklmnopqrs")], true, Err(WrongToken)),
            (&[(SEC_WEBSOCKET_PROTOCOL, "kapell.bearer.abcdefghijklmnopqrst")], false, Err(NoToken)),
        ];
        for (lines, is_websocket, expected) in table {
            assert_eq!(authorize(&headers(lines), is_websocket, &secret), expected, "{lines:?}");
        }
        let spoken_of = |text| spoken(&headers(&[(SEC_WEBSOCKET_PROTOCOL, text)])).map(str::to_owned);
        assert_eq!(spoken_of("kapell.bearer.x, kapell").as_deref(), Some("kapell"));
        assert_eq!(spoken_of("kapell.bearer.x").as_deref(), Some("kapell.bearer.x"));
        assert_eq!(spoken_of("graphql-ws"), None);
    }
}
