//! Counting words.
