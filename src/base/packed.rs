//! Texts that lie in the program compressed: `build.rs` packs them.

use std::io::Read as _;

use flate2::read::GzDecoder;

/// The text that was packed.
pub fn text(packed: &[u8]) -> String {
    let mut text = String::new();
    if let Err(error) = GzDecoder::new(packed).read_to_string(&mut text) {
        tracing::error!("bug: what is packed in this program cannot be unpacked: {error}");
    }
    text
}
