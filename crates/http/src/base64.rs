//! Base64 as it comes.

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padded or not, and careless about the bits that padding leaves over: encoders differ.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Fewer characters are no file in base64, whatever they are.
const LEAST: usize = 16;

/// Whether bytes are base64 (standard or URL-safe, padded or not, with line breaks or without) and nothing
/// else: no picture's file is.
pub fn is_base64(bytes: &[u8]) -> bool {
    let all = bytes.iter().all(|b| {
        b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'=') || b.is_ascii_whitespace()
    });
    all && bytes.len() >= LEAST
}

/// Whether a text is a digest of 256 bits, in lower-case hex.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
