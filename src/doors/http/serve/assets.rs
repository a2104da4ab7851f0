//! The board's own files, which are part of the program.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::answer;
use crate::base::packed;

/// Nothing of another server, nothing that stands within the page, and in no other page's frame.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// A file of the board.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its path.
    pub path: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Its bytes, compressed with gzip by `build.rs`.
    pub packed: &'static [u8],
}

/// A file of `web/`: at its own path unless it is the page itself.
macro_rules! file {
    ($path:expr, $name:literal, $kind:literal) => {
        Asset { path: $path, kind: $kind, packed: include_bytes!(concat!(env!("OUT_DIR"), "/web/", $name)) }
    };
    ($name:literal, $kind:literal) => {
        file!(concat!("/assets/", $name), $name, $kind)
    };
}
macro_rules! script {
    ($name:literal) => {
        file!($name, "text/javascript; charset=utf-8")
    };
}

/// All of them.
pub const ASSETS: &[Asset] = &[
    file!("/", "index.html", "text/html; charset=utf-8"),
    file!("style.css", "text/css; charset=utf-8"),
    file!("icon.svg", "image/svg+xml"),
    script!("app.js"),
    script!("attempt.js"),
    script!("claims.js"),
    script!("cost.js"),
    script!("environments.js"),
    script!("events.js"),
    script!("graph.js"),
    script!("overview.js"),
    script!("plan.js"),
    script!("preact.js"),
    script!("store.js"),
    script!("ui.js"),
    script!("wire.js"),
];

impl Asset {
    /// The file, or that whoever asks has it already. It is sent as it lies in the program, or unpacked to who does
    /// not take that.
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        let mut answer =
            if takes(headers, &["gzip", "x-gzip"]).unwrap_or(headers.get(ACCEPT_ENCODING).is_none()) {
                let mut answer = self.answer_with(self.packed, headers);
                answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                answer
            } else if takes(headers, &["identity"]).unwrap_or(true) {
                self.answer_with(packed::text(self.packed), headers)
            } else {
                return answer::refused(
                    StatusCode::NOT_ACCEPTABLE,
                    "not-acceptable",
                    "this file is sent with gzip, or as it is",
                    "ask without Accept-Encoding, or with gzip in it (curl --compressed)",
                );
            };
        answer.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        answer
    }

    /// The same with other bytes.
    fn answer_with(&self, bytes: impl Into<Body> + AsRef<[u8]>, headers: &HeaderMap) -> Response {
        let digest = Sha256::digest(bytes.as_ref());
        let tag: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let tag = format!("\"{tag}\"");
        let is_known =
            headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok()).any(|line| {
                line.split(',').any(|known| {
                    let known = known.trim();
                    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
                })
            });
        let mut answer = match is_known {
            true => Response::new(Body::empty()),
            false => Response::new(bytes.into()),
        };
        if is_known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let fields = answer.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        fields.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            fields.insert(ETAG, tag);
        }
        answer
    }
}

/// Whether whoever asks takes a coding of one of these names; `None` where that is not said (RFC 9110, 12.5.3).
fn takes(headers: &HeaderMap, names: &[&str]) -> Option<bool> {
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let mut any = None;
    for coding in lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight: f32 =
            weight.trim().strip_prefix("q=").and_then(|text| text.trim().parse().ok()).unwrap_or(1.0);
        match name.trim().to_ascii_lowercase().as_str() {
            name if names.contains(&name) => return Some(weight > 0.0),
            "*" => any = Some(weight > 0.0),
            _ => {}
        }
    }
    any
}

/// A file of a folder, for whoever works on the board: `/` is its `index.html`, `/assets/NAME` its `NAME`.
#[cfg(debug_assertions)]
pub fn from_folder(folder: &std::path::Path, path: &str, headers: &HeaderMap) -> Option<Response> {
    let name = if path == "/" { "index.html" } else { path.strip_prefix("/assets/")? };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.starts_with('.') || !name.chars().all(is_plain) {
        return None;
    }
    let kind = match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => "application/octet-stream",
    };
    let bytes = std::fs::read(folder.join(name)).ok()?;
    Some(Asset { path: "", kind, packed: &[] }.answer_with(bytes, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_file_is_not_sent_it_again() {
        let page = ASSETS.iter().find(|asset| asset.path == "/").unwrap();
        let first = page.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].clone();
        for (known, status) in [
            (tag.to_str().unwrap().to_owned(), StatusCode::NOT_MODIFIED),
            (format!("\"x\", W/{}", tag.to_str().unwrap()), StatusCode::NOT_MODIFIED),
            ("*".to_owned(), StatusCode::NOT_MODIFIED),
            ("\"x\"".to_owned(), StatusCode::OK),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&known).unwrap());
            assert_eq!(page.answer(&headers).status(), status, "{known}");
        }
    }

    #[test]
    fn who_cannot_unpack_a_file_is_sent_it_as_it_is() {
        let page = ASSETS.iter().find(|asset| asset.path == "/").unwrap();
        let (packed, plain) = (Some("gzip"), None);
        for (accepted, coding) in [
            (None, Some(packed)),
            (Some("gzip, deflate, br"), Some(packed)),
            (Some("br;q=1.0, GZIP;q=0.1"), Some(packed)),
            (Some("*"), Some(packed)),
            (Some("*;q=0, gzip"), Some(packed)),
            (Some("gzip;q=0, *"), Some(plain)),
            (Some("identity"), Some(plain)),
            (Some("br"), Some(plain)),
            (Some(""), Some(plain)),
            (Some("*;q=0, identity"), Some(plain)),
            (Some("identity;q=0, br"), None),
            (Some("*;q=0"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accepted) = accepted {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(accepted).unwrap());
            }
            let answer = page.answer(&headers);
            let status = if coding.is_some() { StatusCode::OK } else { StatusCode::NOT_ACCEPTABLE };
            assert_eq!(answer.status(), status, "{accepted:?}");
            let sent = answer.headers().get(CONTENT_ENCODING).map(|coding| coding.to_str().unwrap());
            assert_eq!(sent, coding.flatten(), "{accepted:?}");
        }
        let text = packed::text(page.packed);
        assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"), "{text}");
    }

    #[test]
    fn every_file_has_a_path_of_its_own_and_a_type() {
        let mut paths: Vec<&str> = ASSETS.iter().map(|asset| asset.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), ASSETS.len());
        assert!(ASSETS.iter().all(|asset| asset.path == "/" || asset.path.starts_with("/assets/")));
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let there = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(ASSETS.len(), there, "web/ has other files than are served");
        // They are part of the program, which has to stay small.
        let bytes: usize = ASSETS.iter().map(|asset| asset.packed.len()).sum();
        assert!(bytes < 80_000, "{bytes} bytes");
    }
}
