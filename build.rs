//! How the program is linked: statically, and at a fixed address, where the system allows it; and the
//! board's files, compressed.
//!
//! The program starts for every attempt (the shim) and for every edit of an agent (the hook), so the
//! loader's work counts: finding three libraries and moving 15,000 pointers takes as long as starting
//! `true` does. cargo's own way to a static program (`crt-static`) needs `--target` on every command
//! line, because it would hold for procedural macros too; so the linker is told here.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> io::Result<()> {
    let mut cargo = io::stdout();
    writeln!(cargo, "cargo::rerun-if-changed=build.rs")?;
    compress(&mut cargo)?;
    if variable("CARGO_CFG_TARGET_OS") != "linux" || variable("CARGO_CFG_TARGET_ENV") != "gnu" {
        return Ok(());
    }
    writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-no-pie")?;
    // For another machine than this one the compiler here does not know the libraries.
    if variable("HOST") == variable("TARGET")
        && let Some(libraries) = Libraries::find()
    {
        let folder = Path::new(&variable("OUT_DIR")).join("static");
        libraries.stand_in(&folder)?;
        writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-L{}", folder.display())?;
        writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-static")?;
        // The standard library starts programs by posix_spawn where it finds these, and else by a fork,
        // which copies the page tables of a conductor for every git. It looks for them by weak symbols,
        // for which the linker takes nothing out of an archive.
        for found in ["gnu_get_libc_version", "posix_spawn_file_actions_addchdir_np"] {
            writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-Wl,--undefined={found}")?;
        }
    }
    if is_lld() {
        // A copy, since a target folder may be used for another checkout later.
        let symbols = Path::new(&variable("OUT_DIR")).join("hot.symbols");
        std::fs::copy(Path::new(&variable("CARGO_MANIFEST_DIR")).join(HOT), &symbols)?;
        writeln!(cargo, "cargo::rerun-if-changed={HOT}")?;
        writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-Wl,--symbol-ordering-file={}", symbols.display())?;
        // Another compiler names them otherwise; then they lie where they lie.
        writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-Wl,--no-warn-symbol-ordering")?;
        // Functions that are the same to the byte are one: 100 KB. Nothing here compares their addresses.
        writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-Wl,--icf=all")?;
        // Strings that end alike are one.
        writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-Wl,-O2")?;
        // For `benches/hot.py`, which makes that list.
        writeln!(cargo, "cargo::rerun-if-env-changed=KAPELL_LINK_MAP")?;
        let map = variable("KAPELL_LINK_MAP");
        if !map.is_empty() {
            writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-Wl,-Map={map},--no-demangle")?;
        }
    }
    Ok(())
}

/// Large texts that are part of the program and seldom read.
const SCHEMAS: [(&str, &str); 4] = [
    ("protocol/openapi.json", "openapi.json"),
    ("src/api/schema/all.json", "all.json"),
    ("src/sys/config/schema.json", "config.json"),
    ("src/doors/mcp/tools.json", "tools.json"),
];

/// Folders of such texts, and where they are compressed to: the board's files, as which they are sent, and the
/// steps of the database, of which the program never reads the comments.
const FOLDERS: [(&str, &str); 2] = [("web", "web"), ("src/store/migrations", "migrations")];

/// Compresses what is part of the program so.
fn compress(cargo: &mut impl Write) -> io::Result<()> {
    let top = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));
    for (from, to) in FOLDERS {
        let folder = top.join(from);
        writeln!(cargo, "cargo::rerun-if-changed={}", folder.display())?;
        std::fs::create_dir_all(out.join(to))?;
        for file in std::fs::read_dir(&folder)? {
            let file = file?;
            pack(&file.path(), &out.join(to).join(file.file_name()))?;
        }
    }
    for (file, name) in SCHEMAS {
        writeln!(cargo, "cargo::rerun-if-changed={file}")?;
        pack(&top.join(file), &out.join(name))?;
    }
    Ok(())
}

fn pack(from: &Path, to: &Path) -> io::Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&std::fs::read(from)?)?;
    std::fs::write(to, packed.finish()?)
}

/// What the hook and the shim run, by the names that the linker knows, laid side by side in the
/// program. Scattered over ten megabytes they cost a hook 112 page faults instead of 56, and with them three
/// tenths of its processor time (2.8 ms instead of 2.0, both in one run on a busy machine).
const HOT: &str = "benches/hot.symbols";

/// Whether the linker is lld, the only one here that takes such a list: the compiler brings its own for
/// this target, unless somebody asked for another.
fn is_lld() -> bool {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    variable("TARGET") == "x86_64-unknown-linux-gnu"
        && variable("RUSTC_LINKER").is_empty()
        && !["linker", "fuse-ld", "self-contained"].iter().any(|word| flags.contains(word))
}

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script everything by the environment")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The archives of the C library and of the compiler's runtime.
struct Libraries {
    c: PathBuf,
    math: PathBuf,
    runtime: PathBuf,
    unwinder: PathBuf,
}

impl Libraries {
    /// `None` where one of them is not installed; the program is linked dynamically then.
    fn find() -> Option<Self> {
        Some(Self {
            c: file_of_compiler("libc.a")?,
            math: file_of_compiler("libm.a")?,
            runtime: file_of_compiler("libgcc.a")?,
            unwinder: file_of_compiler("libgcc_eh.a")?,
        })
    }

    /// Has the linker take the archives for the shared libraries that the standard library names:
    /// a linker script of the shared library's name is found first.
    fn stand_in(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let Self { c, math, runtime, unwinder } = self;
        for name in ["libc.so", "libgcc_s.so"] {
            let group = [c, runtime, unwinder].map(|archive| archive.display().to_string()).join(" ");
            std::fs::write(folder.join(name), format!("GROUP({group})\n"))?;
        }
        std::fs::write(folder.join("libm.so"), format!("INPUT({})\n", math.display()))
    }
}

/// Where the C compiler finds a file of its own.
#[expect(clippy::disallowed_methods, reason = "a build script runs the compiler")]
fn file_of_compiler(name: &str) -> Option<PathBuf> {
    let answer = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim_end());
    path.is_absolute().then_some(path).filter(|path| path.is_file())
}
