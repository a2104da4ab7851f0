//! Plans as they are written in an editor.

pub mod actions;
pub mod checking;
pub mod completion;
pub mod format;
pub mod hover;
pub mod lenses;
pub mod navigation;
mod slot;
mod stored;
pub mod surroundings;
