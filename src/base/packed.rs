//! Texts that lie in the program compressed: `build.rs` packs them.

/// What gzip puts before what it compressed, where no name goes along.
const HEADER: usize = 10;
/// What it puts behind: a checksum, which the program's own file needs as little as any other part of it, and
/// the length.
const TRAILER: usize = 8;

/// The text that was packed.
pub fn text(packed: &[u8]) -> String {
    let deflated = packed.get(HEADER..packed.len().saturating_sub(TRAILER)).unwrap_or_default();
    let text = miniz_oxide::inflate::decompress_to_vec(deflated).ok().map(String::from_utf8);
    if let Some(Ok(text)) = text {
        return text;
    }
    tracing::error!("bug: what is packed in this program cannot be unpacked");
    String::new()
}
