//! What can be typed about the fleet.

use clap::Args;

use super::methods::COMPLEXITIES;
use super::one_of;
use crate::api::wire::Complexity;

/// `route`.
#[derive(Debug, Args)]
pub struct Route {
    /// What is to be done; - reads it from stdin
    pub text: String,
    /// Worker, group, provider, or auto
    #[arg(long)]
    pub target: Option<String>,
    /// How hard it is: simple, normal or complex
    #[arg(long, value_parser = one_of::<Complexity>(&COMPLEXITIES), value_name = "HOW")]
    pub complexity: Option<Complexity>,
}

/// `fleet`.
#[derive(Debug, Args)]
pub struct Fleet {
    /// By what to sort the workers
    #[arg(long, value_enum, default_value_t = By::Group, value_name = "WHAT")]
    pub by: By,
    /// Show it again whenever something happens, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// `health`.
#[derive(Debug, Args)]
pub struct Health {
    /// Show it again whenever something happens, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// By what workers are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Their groups; one of several groups is shown in each.
    Group,
    /// Their providers.
    Provider,
    /// The environments that they work in.
    Environment,
}
