//! What Kapell costs, held against a limit or a peer that is measured in the same run.
//!
//! `cargo bench` measures everything and prints one table; `README.md` beside this folder says what
//! each figure means. A figure over its gate is marked and is no failure: the exit code is 0 unless
//! something broke.

mod cases;
mod figure;
mod marks;
mod place;
mod rounds;
mod server;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use cases::{Around, CASES};

/// Measures what Kapell costs.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --")]
struct Arguments {
    /// Cases to measure; all of them unless named
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(CASES.map(|case| case.name)))]
    cases: Vec<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// A fifth of the rounds, to see whether all works
    #[arg(long)]
    quick: bool,
    /// Where to make folders; it decides which disk is measured
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// Name the cases
    #[arg(long)]
    list: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "kapell bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    if arguments.list {
        for case in CASES {
            writeln!(out, "{:12} {}", case.name, case.about)?;
        }
        return Ok(());
    }
    if cfg!(debug_assertions) {
        writeln!(err, "not optimised: the figures mean nothing")?;
    }
    marks::listen();
    std::fs::create_dir_all(&arguments.folder)?;
    let around = Around { folder: arguments.folder.canonicalize()?, quick: arguments.quick };
    let mut figures = Vec::new();
    for case in CASES {
        if arguments.cases.is_empty() || arguments.cases.iter().any(|name| name == case.name) {
            writeln!(err, "measuring {}: {}", case.name, case.about)?;
            figures.extend((case.run)(&around).map_err(|error| error.context(case.name))?);
        }
    }
    if arguments.json {
        figure::write_json(&mut out, &figures)
    } else {
        figure::write_table(&mut out, &figures)
    }
}
