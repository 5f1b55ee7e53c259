//! One part of a form: its head as clients write it, and its content as text, JSON or bytes.

use base64::Engine as _;
use bytes::Bytes;
use encoding_rs::Encoding;
use serde_json::Value;

use crate::base64::BASE64;
use crate::problem::{Problem, ProblemKind, Result};

/// Longest boundary (RFC 2046).
const MAX_BOUNDARY: usize = 70;

/// A part, read to its end.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    /// Whether it has the name of a file.
    pub(super) file: bool,
    /// Whether it says that it is JSON.
    pub(super) json: bool,
    /// What it says its text is written in.
    charset: Option<String>,
    pub(super) bytes: Bytes,
}

impl Part {
    /// Reads the part to its end.
    ///
    /// # Errors
    /// 400 for a form that is damaged or cut short; 422 for a part that says it is base64 and is none.
    pub(super) async fn read(field: multer::Field<'_>) -> Result<Self> {
        let head =
            |name: &str| field.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = field.name().unwrap_or_default().to_owned();
        let media_type = head("content-type");
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json =
            essence.starts_with("application/") && (essence.ends_with("/json") || essence.ends_with("+json"));
        let charset = parameter(media_type, "charset");
        // `filename*` alone is one too.
        let file = field.file_name().is_some() || head("content-disposition").contains("filename");
        let transfer = head("content-transfer-encoding").trim().to_ascii_lowercase();
        let bytes = field.bytes().await.map_err(|error| damaged(&error))?;
        let bytes = match transfer.as_str() {
            "base64" => {
                let mut text = bytes.to_vec();
                text.retain(|byte| !byte.is_ascii_whitespace());
                let decoded = BASE64.decode(&text);
                decoded
                    .map_err(|_| {
                        Problem::invalid(place(&name), "The part says that it is base64, and is none.")
                    })?
                    .into()
            }
            "quoted-printable" => unquoted(&bytes).into(),
            _ => bytes,
        };
        Ok(Self { name, file, json, charset, bytes })
    }

    /// The text; `charset` is what the form's texts are written in if the part doesn't say.
    ///
    /// # Errors
    /// 400 when it is not written in what it says, or else in UTF-8.
    pub(super) fn text(&self, charset: Option<&str>) -> Result<String> {
        let named = self.charset.as_deref().or(charset);
        // Who says US-ASCII and has other characters means UTF-8 more often than not.
        let encoding = named.filter(|name| !name.eq_ignore_ascii_case("us-ascii"));
        let encoding = match encoding.map(|name| (name, Encoding::for_label(name.as_bytes()))) {
            None => encoding_rs::UTF_8,
            Some((_, Some(encoding))) => encoding,
            Some((name, None)) => {
                return Err(self
                    .malformed(&format!("The part is written in `{name}`, which is not read; send UTF-8.")));
            }
        };
        let read = if encoding == encoding_rs::UTF_8 {
            std::str::from_utf8(&self.bytes).ok().map(str::to_owned)
        } else {
            encoding
                .decode_without_bom_handling_and_without_replacement(&self.bytes)
                .map(std::borrow::Cow::into_owned)
        };
        read.ok_or_else(|| self.malformed(&format!("The part is not {}.", encoding.name())))
    }

    fn malformed(&self, detail: &str) -> Problem {
        Problem::at(ProblemKind::Malformed, place(&self.name), detail)
    }

    /// Whether a part for a file holds JSON in its place: it says so, or isn't the file and looks like it.
    pub(super) fn is_object(&self) -> bool {
        let start = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.bytes).trim_ascii_start();
        self.json || (!self.file && start.starts_with(b"{"))
    }

    /// The JSON that the part says it is.
    ///
    /// # Errors
    /// 422 when it is none.
    pub(super) fn value(&self) -> Result<Value> {
        let bytes = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.bytes);
        serde_json::from_slice(bytes)
            .map_err(|_| Problem::invalid(place(&self.name), "The part is not JSON."))
    }
}

/// The JSON pointer of a part.
pub(super) fn place(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The form can't be read on.
pub(super) fn damaged(error: &multer::Error) -> Problem {
    use multer::Error as E;
    let detail = match error {
        E::IncompleteStream | E::IncompleteFieldData { .. } => {
            "The form ends too early, or its boundary is not the one that the content type names."
        }
        _ => "The head of a part of the form can't be read.",
    };
    Problem::new(ProblemKind::Malformed, detail)
}

/// The boundary of a form, quoted or not: characters that ask for quotes are sent without by some clients.
///
/// # Errors
/// 400 when there is none, or it has characters that a boundary can't have.
pub(super) fn boundary(content_type: &str) -> Result<String> {
    let malformed = |detail: &str| Problem::new(ProblemKind::Malformed, detail);
    let boundary = parameter(content_type, "boundary").ok_or_else(|| {
        malformed("The form's content type names no boundary; leave the header to your HTTP library, which knows it.")
    })?;
    let plain = boundary.bytes().all(|b| {
        b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b) || b"#$%&*;<>@[]^`{|}~!".contains(&b)
    });
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY || !plain || boundary.ends_with(' ') {
        return Err(malformed("The form's boundary is not 1 to 70 characters that a boundary may have."));
    }
    Ok(boundary)
}

/// A parameter of a media type, without its quotes.
fn parameter(media_type: &str, name: &str) -> Option<String> {
    let mut rest = media_type.split_once(';')?.1;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (key, after) = rest.split_once('=')?;
        let (value, next) = if let Some(quoted) = after.trim_start().strip_prefix('"') {
            unescaped(quoted)?
        } else {
            let (value, next) = after.split_once(';').unwrap_or((after, ""));
            (value.trim().to_owned(), next)
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next;
    }
}

/// A text up to the quote that ends it, and what follows.
fn unescaped(quoted: &str) -> Option<(String, &str)> {
    let (mut value, mut characters) = (String::new(), quoted.char_indices());
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, &quoted[at + 1..])),
            (_, '\\') => value.push(characters.next()?.1),
            (_, other) => value.push(other),
        }
    }
}

/// Content that was sent as quoted-printable (RFC 2045). What is not written as it has to be stays as it is.
fn unquoted(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at + 1..];
        if byte != b'=' {
            out.push(byte);
            at += 1;
        } else if let (Some(high), Some(low)) = (digit(rest.first()), digit(rest.get(1))) {
            out.push((high * 16 + low) as u8);
            at += 3;
        } else if rest.starts_with(b"\r\n") {
            at += 3;
        } else if rest.starts_with(b"\n") {
            at += 2;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_as_clients_write_them() {
        for (parameters, expected) in [
            ("; boundary=XX", "XX"),
            ("; boundary=\"XX\"", "XX"),
            (";boundary=----WebKitFormBoundaryAb12", "----WebKitFormBoundaryAb12"),
            ("; boundary=a/b=c:d?e", "a/b=c:d?e"),
            ("; boundary=\"a/b (1) c\"; charset=utf-8", "a/b (1) c"),
            ("; charset=\"a;boundary=no\"; Boundary = yes", "yes"),
            ("; charset=utf-8; boundary=(x),+_'.-", "(x),+_'.-"),
            ("; boundary=\"q\\\"q\"", "q\"q"),
        ] {
            let read = boundary(&format!("multipart/form-data{parameters}"));
            if expected.contains('"') {
                assert_eq!(read.unwrap_err().status().as_u16(), 400, "{parameters}");
            } else {
                assert_eq!(read.unwrap(), expected, "{parameters}");
            }
        }
        let long = format!("; boundary={}", "x".repeat(71));
        for parameters in [
            "",
            ";",
            "; charset=utf-8",
            "; boundary=",
            "; boundary=\"\"",
            "; boundary=\"open",
            "; boundary=é",
            "; boundary=\"a \"",
            &long,
        ] {
            let problem = boundary(&format!("multipart/form-data{parameters}")).unwrap_err();
            assert_eq!(problem.status().as_u16(), 400, "{parameters}");
        }
    }

    #[test]
    fn texts_in_what_they_are_written_in() {
        let part = |bytes: &[u8], charset: Option<&str>| Part {
            name: "question".to_owned(),
            file: false,
            json: false,
            charset: charset.map(str::to_owned),
            bytes: Bytes::copy_from_slice(bytes),
        };
        assert_eq!(part("Größe".as_bytes(), None).text(None).unwrap(), "Größe");
        assert_eq!(part("Größe".as_bytes(), Some("US-ASCII")).text(None).unwrap(), "Größe");
        assert_eq!(part(b"Gr\xf6\xdfe", Some("ISO-8859-1")).text(None).unwrap(), "Größe");
        assert_eq!(part(b"Gr\xf6\xdfe", None).text(Some("windows-1252")).unwrap(), "Größe");
        assert_eq!(part(b"\x82\xa0", Some("Shift_JIS")).text(None).unwrap(), "あ");
        for (bytes, charset) in [
            (&b"Gr\xf6\xdfe"[..], None),
            (b"\xff", Some("utf-8")),
            (b"a", Some("klingon")),
            (b"\x82", Some("shift_jis")),
        ] {
            let problem = part(bytes, charset).text(None).unwrap_err();
            assert_eq!((problem.status().as_u16(), &*problem.body().errors[0].pointer), (400, "/question"));
        }
    }

    #[test]
    fn quoted_printable() {
        assert_eq!(
            unquoted(b"Gr=C3=B6=C3=9Fe =3D 5=\r\n mm=\n, = and =G0"),
            "Größe = 5 mm, = and =G0".as_bytes()
        );
        assert_eq!(unquoted(b"="), b"=");
        assert_eq!(unquoted(b"=4"), b"=4");
    }
}
