//! How the program is linked.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut cargo = std::io::stdout();
    writeln!(cargo, "cargo::rerun-if-changed=build.rs")?;
    // The program starts for every attempt (the shim) and for every edit of an agent (the hook). At a
    // fixed address the loader need not move its 15,000 pointers first, which copies 90 pages and
    // takes as long as starting `true`.
    #[expect(clippy::disallowed_methods, reason = "cargo tells the target by the environment")]
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        writeln!(cargo, "cargo::rustc-link-arg-bin=kapell=-no-pie")?;
    }
    Ok(())
}
