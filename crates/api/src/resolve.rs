//! Pictures of request bodies to what the editor takes.

use base64::{DecodeError, Engine as _};
use bytes::Bytes;
use reasonedit_access::CodebookScope;
use reasonedit_editor::{Editor, ImageId, ImageSource};
use reasonedit_http::base64::{BASE64, is_digest};
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::problem::{Problem, Result};
use reasonedit_resilience::blocking;

use crate::image::ImageInput;
use crate::require_image;

/// Base64 above this many characters is decoded beside the async threads.
const LONG_TO_DECODE: usize = 64 << 10;

/// Decodes or fetches the picture, or finds it where a codebook of the scope holds it.
///
/// # Errors
/// 422 for base64 that is none and ids that can't be any; what [`Fetcher::fetch`] says for URLs; 404 for a
/// picture that no codebook of the scope holds.
pub async fn resolve(
    image: ImageInput,
    fetcher: &Fetcher,
    scope: &CodebookScope,
    editor: &Editor,
) -> Result<ImageSource> {
    match image {
        ImageInput::Id(id) => {
            let id = image_id(&id)
                .ok_or_else(|| Problem::invalid("/image/id", "An image id is 64 hexadecimal digits."))?;
            require_image(scope, editor, id)?;
            Ok(ImageSource::Known(id))
        }
        other => sent(other, fetcher).await,
    }
}

/// Decodes or fetches a picture that is not named by its id.
///
/// # Errors
/// As [`resolve`]; 422 for an id.
pub async fn sent(image: ImageInput, fetcher: &Fetcher) -> Result<ImageSource> {
    match image {
        ImageInput::Bytes(bytes) => Ok(ImageSource::from(bytes)),
        ImageInput::Data(text) if text.len() < LONG_TO_DECODE => decode(text).map(ImageSource::from),
        ImageInput::Data(text) => blocking(move || decode(text)).await.map(ImageSource::from),
        ImageInput::Id(_) => Err(Problem::invalid("/image/id", "A picture is not named by its id here.")),
        ImageInput::Url(url) => fetcher.fetch(&url).await.map(ImageSource::from),
    }
}

/// In words what keeps a text from being base64.
fn not_base64(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::InvalidByte(..) => "`data` is not base64: it has characters that base64 doesn't have.",
        DecodeError::InvalidLength(_) | DecodeError::InvalidLastSymbol(..) | DecodeError::InvalidPadding => {
            "`data` is not base64: its end is not as it has to be; it may be cut short."
        }
    }
}

/// An image id from outside, in lower-case hex.
pub fn image_id(text: &str) -> Option<ImageId> {
    if is_digest(text) { text.parse().ok() } else { None }
}

/// Base64 (standard or URL-safe, padded or not, with line breaks or without) or a `data:` URL of it.
fn decode(text: String) -> Result<Bytes> {
    let mut text = text.into_bytes();
    if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"data:")) {
        let comma = text.iter().position(|&b| b == b',');
        let Some(comma) = comma.filter(|&c| text[..c].to_ascii_lowercase().ends_with(b";base64")) else {
            return Err(Problem::invalid(
                "/image/data",
                "A data: URL must hold base64 (data:image/png;base64,…).",
            ));
        };
        text.drain(..=comma);
    }
    text.retain(|b| !b.is_ascii_whitespace());
    for byte in &mut text {
        match *byte {
            b'-' => *byte = b'+',
            b'_' => *byte = b'/',
            _ => {}
        }
    }
    match BASE64.decode(&text) {
        Ok(bytes) if bytes.is_empty() => Err(Problem::invalid("/image/data", "The image is empty.")),
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Problem::invalid("/image/data", not_base64(&error))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        decode(text.to_owned()).ok().map(|bytes| bytes.to_vec())
    }

    #[test]
    fn base64_of_every_habit() {
        let bytes = [0xfb_u8, 0xff, 0xfe, 0x01];
        for text in ["+//+AQ==", "+//+AQ", "-__-AQ==", "-__-AQ", "+//+\r\nAQ==\n", "+//+AR=="] {
            assert_eq!(decoded(text).as_deref(), Some(&bytes[..]), "{text}");
        }
        for head in ["data:image/png;base64,", "DATA:;base64,", "data:image/svg+xml;charset=utf-8;BASE64,"] {
            assert_eq!(decoded(&format!("{head}+//+AQ==")).as_deref(), Some(&bytes[..]), "{head}");
        }
    }

    #[test]
    fn what_is_not_base64_is_422() {
        for text in [
            "",
            "=",
            "a",
            "äöü",
            "ab*c",
            "data:image/png,abcd",
            "data:abcd",
            "data:image/png;base64,",
            "A=AA",
        ] {
            let problem = decode(text.to_owned()).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), &*problem.body().errors[0].pointer),
                (422, "/image/data"),
                "{text}"
            );
        }
    }

    #[test]
    fn ids_are_lower_case_hex() {
        assert!(image_id(&"0f".repeat(32)).is_some());
        for text in ["", "0f", &"0F".repeat(32), &"0g".repeat(32), &"é".repeat(32), "../../etc/passwd"] {
            assert!(image_id(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_agree(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                prop_assert_eq!(decoded(&engine.encode(&bytes)), Some(bytes.clone()));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = decoded(&text);
        }
    }
}
