//! x
mod args; mod calls; mod follow; mod layout; mod params; mod print; mod screens;
