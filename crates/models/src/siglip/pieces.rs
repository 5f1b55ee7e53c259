//! SentencePiece's own file, `spiece.model`: all that transformers saves of a `SigLIP`'s tokenizer.
//!
//! The file is a message of Protocol Buffers, of which three fields are read: the pieces with their scores,
//! how the model cuts texts, and the table that characters are made uniform with.

use tokenizers::Tokenizer;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::Precompiled;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

use crate::error::{ModelError, Result};

/// Name of the file.
pub(super) const FILE: &str = "spiece.model";
/// Greatest size that is believed: a quarter of a million pieces take 4 MB.
const GREATEST: usize = 64 << 20;

/// Kinds of pieces, as the file numbers them.
const UNKNOWN: u64 = 2;
const BYTE: u64 = 6;
/// The way of cutting that is read.
const UNIGRAM: u64 = 1;

fn fail(reason: impl Into<String>) -> ModelError {
    ModelError::load(FILE, reason)
}

fn broken() -> ModelError {
    fail("it is not a whole SentencePiece model; copy it again")
}

/// A field's value.
enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Single(f32),
    Double,
}

/// What is left of a message.
struct Message<'b>(&'b [u8]);

impl<'b> Message<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(broken)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(broken())
    }

    /// The next field with its number; `None` at the end.
    fn next(&mut self) -> Result<Option<(u64, Field<'b>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Double
            }
            2 => {
                let count = usize::try_from(self.varint()?).map_err(|_| broken())?;
                Field::Bytes(self.take(count)?)
            }
            5 => {
                let bytes = self.take(4)?.try_into().map_err(|_| broken())?;
                Field::Single(f32::from_le_bytes(bytes))
            }
            _ => return Err(broken()),
        };
        Ok(Some((key >> 3, field)))
    }
}

/// The tokenizer of a `spiece.model`.
///
/// # Errors
/// [`ModelError::load`] for a file that is no such model, or cuts texts in another way than by a unigram
/// model.
pub(super) fn read(bytes: &[u8]) -> Result<Tokenizer> {
    if bytes.len() > GREATEST {
        return Err(fail("it is larger than any SentencePiece model"));
    }
    let mut message = Message(bytes);
    let (mut pieces, mut unknown, mut bytewise) = (Vec::new(), None, false);
    let (mut kind, mut table) = (UNIGRAM, None);
    while let Some((number, field)) = message.next()? {
        let Field::Bytes(inner) = field else { continue };
        let mut inner = Message(inner);
        match number {
            1 => {
                let (text, score, class) = piece(&mut inner)?;
                if class == UNKNOWN {
                    unknown = Some(pieces.len());
                }
                bytewise |= class == BYTE;
                pieces.push((text, f64::from(score)));
            }
            2 => {
                while let Some((number, field)) = inner.next()? {
                    if let (3, Field::Number(value)) = (number, field) {
                        kind = value;
                    }
                }
            }
            3 => {
                while let Some((number, field)) = inner.next()? {
                    if let (2, Field::Bytes(value)) = (number, field) {
                        table = Some(value).filter(|t| !t.is_empty());
                    }
                }
            }
            _ => {}
        }
    }
    if kind != UNIGRAM {
        return Err(fail("it cuts texts by another model than unigram, which alone is read"));
    }
    let model = Unigram::from(pieces, unknown, bytewise).map_err(|_| broken())?;
    let mut tokenizer = Tokenizer::new(model);
    if let Some(table) = table {
        tokenizer.with_normalizer(Some(Precompiled::from(table).map_err(|_| broken())?));
    }
    tokenizer.with_pre_tokenizer(Some(Metaspace::new(super::text::MARK, PrependScheme::Always, true)));
    Ok(tokenizer)
}

/// Text, score and kind of a piece.
fn piece(message: &mut Message<'_>) -> Result<(String, f32, u64)> {
    let (mut text, mut score, mut class) = (String::new(), 0.0, 1);
    while let Some((number, field)) = message.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => text = String::from_utf8(bytes.to_vec()).map_err(|_| broken())?,
            (2, Field::Single(value)) => score = value,
            (3, Field::Number(value)) => class = value,
            _ => {}
        }
    }
    Ok((text, score, class))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field of bytes.
    fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, value.len() as u8], value].concat()
    }

    fn model(pieces: &[(&str, f32, u8)], kind: u8) -> Vec<u8> {
        let mut out = Vec::new();
        for (text, score, class) in pieces {
            let score = [&[2 << 3 | 5][..], &score.to_le_bytes()].concat();
            out.extend(bytes(1, &[bytes(1, text.as_bytes()), score, vec![3 << 3, *class]].concat()));
        }
        out.extend(bytes(2, &[3 << 3, kind]));
        out.extend(bytes(3, &[bytes(1, b"identity"), vec![3 << 3, 1]].concat()));
        out
    }

    const PIECES: [(&str, f32, u8); 5] =
        [("<unk>", 0.0, 2), ("</s>", 0.0, 3), ("\u{2581}a", -1.0, 1), ("\u{2581}b", -2.0, 1), ("b", -3.0, 1)];

    #[test]
    fn pieces_and_scores_are_read() {
        let tokenizer = read(&model(&PIECES, 1)).unwrap();
        let ids = |text: &str| tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec();
        assert_eq!(ids("a bb"), [2, 3, 4]);
        assert_eq!(ids("a?"), [2, 0]);
        assert_eq!(tokenizer.token_to_id("</s>"), Some(1));
    }

    #[test]
    fn other_models_and_broken_files_are_refused() {
        let good = model(&PIECES, 1);
        assert!(read(&model(&PIECES, 2)).unwrap_err().to_string().contains("unigram"));
        for cut in [1, 3, 7, good.len() - 1] {
            assert!(read(&good[..cut]).unwrap_err().to_string().contains("copy it again"), "{cut}");
        }
        assert!(read(&[0xff; 12]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, at in 0usize..60, byte: u8) {
            let _ = read(&bytes);
            let mut changed = model(&PIECES, 1);
            let at = at % changed.len();
            changed[at] = byte;
            let _ = read(&changed);
        }
    }
}
