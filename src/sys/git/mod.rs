//! git, by its program: explicit directories, own index, no hooks.

pub mod discover;
