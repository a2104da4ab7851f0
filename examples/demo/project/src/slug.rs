//! Titles as parts of addresses.
