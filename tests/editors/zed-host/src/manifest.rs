//! What Zed reads of an extension's folder before it runs anything of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use toml::Table;

/// The newest version of the extension API that the stable Zed of November 2026 takes.
const NEWEST_API: [u16; 3] = [0, 7, 0];

/// The fields of Zed's `ExtensionManifest` that ours has. Zed passes over what it does not know, so that a name
/// with a mistake would do nothing: here it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    id: String,
    name: String,
    version: String,
    schema_version: i32,
    description: String,
    authors: Vec<String>,
    language_servers: BTreeMap<String, LanguageServer>,
    context_servers: BTreeMap<String, ContextServer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LanguageServer {
    name: String,
    languages: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextServer {}

/// The manifest, against what Zed's loader, its builder and its list of extensions want.
pub fn check(folder: &Path) -> Result<()> {
    let manifest: Manifest = toml::from_str(&fs::read_to_string(folder.join("extension.toml"))?)?;
    ensure!(manifest.id == "kapell" && manifest.name == "Kapell", "it is called {}", manifest.id);
    ensure!(manifest.schema_version == 1, "schema_version is {}", manifest.schema_version);
    ensure!(!manifest.authors.is_empty() && !manifest.description.is_empty(), "nobody, or nothing said");
    let numbers: Vec<Option<u32>> = manifest.version.split('.').map(|part| part.parse().ok()).collect();
    ensure!(numbers.len() == 3 && numbers.iter().all(Option::is_some), "no version: {}", manifest.version);

    // Zed builds with Cargo what has a Cargo.toml, and takes the package's name with underscores for the file.
    let cargo: Table = toml::from_str(&fs::read_to_string(folder.join("Cargo.toml"))?)?;
    let version = cargo["package"]["version"].as_str().context("no version")?;
    ensure!(version == manifest.version, "the package is {version}, the manifest {}", manifest.version);
    let kinds = cargo["lib"]["crate-type"].as_array().context("no crate-type")?;
    ensure!(kinds.iter().any(|kind| kind.as_str() == Some("cdylib")), "it is no cdylib");
    ensure!(!folder.join("extension.json").exists(), "extension.json would be read in its place");
    Ok(())
}

/// The languages are those that Kapell is about, each once.
pub fn check_servers(folder: &Path) -> Result<()> {
    let manifest: Manifest = toml::from_str(&fs::read_to_string(folder.join("extension.toml"))?)?;
    ensure!(manifest.context_servers.keys().eq(["kapell"]), "other context servers");
    ensure!(manifest.language_servers.keys().eq(["kapell"]), "other language servers");
    let server = &manifest.language_servers["kapell"];
    ensure!(server.name == "Kapell", "it is called {}", server.name);
    let once: BTreeSet<&str> = server.languages.iter().map(String::as_str).collect();
    ensure!(once.len() == server.languages.len(), "a language stands twice");
    // Plans and settings, what persons write, and all languages that Zed itself has.
    let needed = [
        "C",
        "C++",
        "CSS",
        "Diff",
        "Go",
        "Go Mod",
        "Go Work",
        "JSON",
        "JSONC",
        "JavaScript",
        "Markdown",
        "Plain Text",
        "Python",
        "Rust",
        "Shell Script",
        "TOML",
        "TSX",
        "TypeScript",
        "YAML",
    ];
    let missing: Vec<&str> = needed.into_iter().filter(|name| !once.contains(name)).collect();
    ensure!(missing.is_empty(), "without {missing:?}");
    Ok(())
}

/// The version of the API that stands in the component: Zed reads it there, and refuses what it does not know.
pub fn check_api(folder: &Path, wasm: &Path) -> Result<()> {
    let bytes = fs::read(wasm)?;
    // The section's name with its length before it, and the six bytes behind it.
    let mark = b"\x0fzed:api-version";
    let at =
        bytes.windows(mark.len()).position(|bytes| bytes == mark).context("no version of the API in it")?;
    let version = bytes.get(at + mark.len()..at + mark.len() + 6).context("it is cut off")?;
    let parts: Vec<u16> = version.chunks(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
    ensure!(parts.as_slice() <= NEWEST_API.as_slice(), "Zed takes {NEWEST_API:?} at most, not {parts:?}");
    let lock: Table = toml::from_str(&fs::read_to_string(folder.join("Cargo.lock"))?)?;
    let packages = lock["package"].as_array().context("an empty Cargo.lock")?;
    let locked = packages.iter().find(|it| it["name"].as_str() == Some("zed_extension_api"));
    let locked = locked.and_then(|it| it["version"].as_str()).context("no zed_extension_api")?;
    let found = parts.iter().map(u16::to_string).collect::<Vec<_>>().join(".");
    ensure!(locked == found, "{locked} is locked, {found} is in it");
    Ok(())
}
