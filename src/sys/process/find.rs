//! Finding programs as a shell would, without one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file that `name` means: itself if it has a slash, else the first executable file
/// of that name in the folders of `path` (as in the variable `PATH`).
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return is_executable(Path::new(name)).then(|| PathBuf::from(name));
    }
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(name))
        .find(|file| is_executable(file))
}

/// The program behind an npm wrapper: a script for node that only starts a binary beside it.
/// A wrapper that is killed leaves that binary running, so it is started itself.
pub fn native_program(found: &Path) -> Option<PathBuf> {
    let script = found.canonicalize().ok()?;
    let package = script.ancestors().find(|folder| folder.join("package.json").is_file())?;
    let modules = package.ancestors().find(|folder| folder.ends_with("node_modules"))?;
    let candidates = [
        package.join("bin/claude.exe"),
        package.join("bin/opencode.exe"),
        modules.join("@openai").join(codex_package()).join("vendor").join(codex_target()).join("bin/codex"),
        package
            .join("node_modules/@openai")
            .join(codex_package())
            .join("vendor")
            .join(codex_target())
            .join("bin/codex"),
    ];
    let name = found.file_stem()?.to_str()?;
    candidates.into_iter().find(|file| {
        file.file_stem().is_some_and(|stem| stem == name) && *file != script && is_executable(file)
    })
}

fn codex_package() -> &'static str {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "codex-darwin-arm64",
        ("macos", _) => "codex-darwin-x64",
        (_, "aarch64") => "codex-linux-arm64",
        _ => "codex-linux-x64",
    }
}

fn codex_target() -> &'static str {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "aarch64-apple-darwin",
        ("macos", _) => "x86_64-apple-darwin",
        (_, "aarch64") => "aarch64-unknown-linux-musl",
        _ => "x86_64-unknown-linux-musl",
    }
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
