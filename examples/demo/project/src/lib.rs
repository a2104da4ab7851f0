//! A small text toolkit.

pub mod slug;
pub mod words;
