//! Keys, and sealing by them: XChaCha20-Poly1305, whose nonces are long enough to be drawn by chance for as
//! long as a key is in use (draft-irtf-cfrg-xchacha-03, §2).

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::{KeyringError, Result};

/// Bytes of a key.
pub(crate) const KEY: usize = 32;
/// Bytes of a nonce.
pub(crate) const NONCE: usize = 24;
/// Bytes that sealing adds beside the nonce.
pub(crate) const TAG: usize = 16;

/// A key's bytes, wiped when they are dropped.
pub(crate) type Secret = Zeroizing<[u8; KEY]>;

/// Bytes of the operating system's chance.
///
/// # Errors
/// `Random`.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyringError::Random)?;
    Ok(bytes)
}

/// Seals bytes by a key; `bound` has to be the same when they are unsealed.
pub(crate) fn seal(key: &Secret, nonce: &[u8; NONCE], bound: &[u8], plain: &[u8]) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new((&**key).into());
    // It fails for more than 256 GiB alone, which no slice that is sealed here has.
    cipher.encrypt(&XNonce::from(*nonce), Payload { msg: plain, aad: bound }).unwrap_or_default()
}

/// What was sealed.
///
/// # Errors
/// `Changed` if it wasn't sealed so.
pub(crate) fn unseal(key: &Secret, nonce: &[u8; NONCE], bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let payload = Payload { msg: sealed, aad: bound };
    cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| KeyringError::Changed)
}

/// The key that an operator keeps elsewhere than the data.
#[derive(Clone)]
pub struct OperatorKey(pub(crate) Secret);

impl OperatorKey {
    /// One made by chance.
    ///
    /// # Errors
    /// `Random`.
    pub fn generate() -> Result<Self> {
        loop {
            let key = Zeroizing::new(random()?);
            // What is made here is taken, however improbable it is that it wouldn't be.
            if guessed(&key).is_none() {
                return Ok(Self(key));
            }
        }
    }

    /// Reads 64 hexadecimal digits, or 32 bytes in base64; white space around them and a byte order mark are
    /// passed over. The bytes are to be random ones.
    ///
    /// # Errors
    /// `NoKey`, which says why and shows nothing of the text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_former(text)?.random()
    }

    /// As [`Self::parse`], also of bytes that are not random: they opened data before that was asked for. It
    /// is for getting at such data alone, to put it under another.
    ///
    /// # Errors
    /// As there.
    pub fn parse_former(text: &str) -> Result<Self> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let bytes = if text.len() == 2 * KEY { hexadecimal(text) } else { STANDARD.decode(text).ok() };
        let fault = || KeyringError::NoKey(fault(text));
        let bytes = Zeroizing::new(bytes.ok_or_else(fault)?);
        <[u8; KEY]>::try_from(bytes.as_slice()).map(|key| Self(Zeroizing::new(key))).map_err(|_| fault())
    }

    /// Reads one from a file; as [`Self::parse`].
    ///
    /// # Errors
    /// `NoKey`, also for a file that is no text; `Disk` for one that can't be read.
    pub fn read(file: &Path) -> Result<Self> {
        Self::read_former(file)?.random()
    }

    /// As [`Self::read`], of [`Self::parse_former`].
    ///
    /// # Errors
    /// As there.
    pub fn read_former(file: &Path) -> Result<Self> {
        Self::parse_bytes(&Zeroizing::new(std::fs::read(file).map_err(KeyringError::disk("read"))?))
    }

    /// This one, if its bytes may be random ones.
    ///
    /// # Errors
    /// `NoKey`, which says how it is guessed.
    pub fn random(self) -> Result<Self> {
        match guessed(&self.0) {
            None => Ok(self),
            Some(why) => Err(KeyringError::NoKey(why)),
        }
    }

    fn parse_bytes(bytes: &[u8]) -> Result<Self> {
        // As some editors and shells write it, with a mark or without.
        if bytes.contains(&0) || bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(KeyringError::NoKey("the file is in UTF-16, or no text: save it as ASCII or UTF-8"));
        }
        let no_text = |_| KeyringError::NoKey("the file is no text: write the key's bytes in hexadecimal");
        Self::parse_former(std::str::from_utf8(bytes).map_err(no_text)?)
    }

    /// The text that [`Self::parse`] reads: 64 hexadecimal digits.
    pub fn to_text(&self) -> Zeroizing<String> {
        let digits =
            |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[digit as usize]));
        Zeroizing::new(self.0.iter().flat_map(digits).collect())
    }

    /// What it is told from others by, and nothing else.
    pub(crate) fn fingerprint(&self) -> [u8; 8] {
        let whole = blake3::derive_key("reasonedit 2026-11-30 which operator key", &*self.0);
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&whole[..8]);
        fingerprint
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey(…)")
    }
}

/// Why bytes are no random ones, if that is plain. Of random ones fewer than one key in 10¹³ is like these.
fn guessed(key: &[u8; KEY]) -> Option<&'static str> {
    let [first, second, ..] = *key;
    let step = second.wrapping_sub(first);
    let values: BTreeSet<u8> = key.iter().copied().collect();
    if values.len() == 1 {
        Some("all bytes of this one are the same; `reasonedit keys new` makes a random one")
    } else if key.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        Some("the bytes of this one are a text; `reasonedit keys new` makes a random one")
    } else if values.len() <= KEY / 2 || key.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step) {
        Some("the bytes of this one repeat or count; `reasonedit keys new` makes a random one")
    } else {
        None
    }
}

/// Why a text is no key, without a word of it.
fn fault(text: &str) -> &'static str {
    let quoted = |mark| text.starts_with(mark) || text.ends_with(mark);
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.len() {
        0 => "this is empty",
        _ if ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{201e}'].into_iter().any(quoted) => {
            "this stands in quotation marks, which are no part of it"
        }
        _ if text.contains(char::is_whitespace) => "this has spaces or several lines",
        _ if text.contains('=') && text.find('=') < text.len().checked_sub(2) => {
            "this has more than the key: no name and no equals sign stand before it"
        }
        length if digits && length < 2 * KEY => "this has too few digits",
        length if digits && length > 2 * KEY => "this has too many digits",
        _ => "this is neither",
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// draft-irtf-cfrg-xchacha-03, A.3.1: the vector of the AEAD.
    #[test]
    fn it_is_the_cipher_of_the_draft() {
        let key: [u8; 32] = std::array::from_fn(|i| 0x80 + i as u8);
        let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + i as u8);
        let bound = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let plain =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                      sunscreen would be it.";
        let sealed = seal(&Zeroizing::new(key), &nonce, &bound, plain);
        assert_eq!(sealed[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        let tag =
            [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49];
        assert_eq!(sealed[plain.len()..], tag);
        assert_eq!(unseal(&Zeroizing::new(key), &nonce, &bound, &sealed).unwrap(), plain);
        assert!(unseal(&Zeroizing::new(key), &nonce, b"", &sealed).is_err());
    }

    #[test]
    fn an_operators_key_is_read_in_both_forms_and_never_shown() {
        let key = OperatorKey::generate().unwrap();
        let hex = key.to_text();
        let again = OperatorKey::parse(&format!("\u{feff} {}\r\n", *hex)).unwrap();
        assert_eq!(again.0, key.0);
        let base64 = STANDARD.encode(*key.0);
        assert_eq!(OperatorKey::parse(&base64).unwrap().0, key.0);
        for (bad, why) in [
            ("", "empty"),
            ("abc", "too few"),
            (&hex[1..], "too few"),
            (&format!("0{}", *hex), "too many"),
            (&format!("{}g", &hex[1..]), "neither"),
            ("é", "neither"),
            (&format!("\"{}\"", *hex), "quotation"),
            (&format!("'{base64}'\n"), "quotation"),
            (&format!("key={}", *hex), "equals"),
            (&format!("{}\n{}", *hex, *hex), "several lines"),
        ] {
            let error = OperatorKey::parse(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
            assert!(bad.len() < 8 || !error.contains(&bad[4..8]), "nothing of it is shown: {error}");
        }
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for bytes in [wide(&format!("\u{feff}{}", *hex)), wide(&hex)] {
            let error = OperatorKey::parse_bytes(&bytes).unwrap_err().to_string();
            assert!(error.contains("UTF-16"), "{error}");
        }
        assert!(OperatorKey::parse_bytes(&[0x80; KEY]).unwrap_err().to_string().contains("no text"));
        assert_eq!(OperatorKey::parse_bytes(format!("{}\n", *hex).as_bytes()).unwrap().0, key.0);
        assert_eq!(format!("{key:?}"), "OperatorKey(…)");
    }

    #[test]
    fn a_key_that_is_no_random_one_is_refused_in_both_forms_and_opens_what_it_did() {
        let counting: [u8; KEY] = std::array::from_fn(|i| i as u8);
        let down: [u8; KEY] = std::array::from_fn(|i| 7u8.wrapping_sub(5 * i as u8));
        let repeated: [u8; KEY] = std::array::from_fn(|i| [0xde, 0xad, 0xbe, 0xef, 0x11][i % 5]);
        let digits: [u8; KEY] = std::array::from_fn(|i| 0x11 * (i % 16) as u8);
        for (key, why) in [
            ([0; KEY], "the same"),
            ([0xff; KEY], "the same"),
            ([b'a'; KEY], "the same"),
            (counting, "count"),
            (down, "count"),
            (repeated, "repeat"),
            (digits, "repeat"),
            (*b"correct horse battery staple, 12", "a text"),
            (*b"Tr0ub4dor&3Tr0ub4dor&3xyzQWErty!", "a text"),
        ] {
            let hex = OperatorKey(Zeroizing::new(key)).to_text();
            for text in [&*hex, &STANDARD.encode(key)] {
                let error = OperatorKey::parse(text).unwrap_err().to_string();
                assert!(error.contains(why) && error.contains("`reasonedit keys new`"), "{key:?}: {error}");
                assert_eq!(*OperatorKey::parse_former(text).unwrap().0, key);
            }
        }
        // As near to them as may be.
        let mut random = counting;
        random[31] = 200;
        assert!(OperatorKey::parse(&STANDARD.encode(random)).is_ok());
        let mut text = *b"correct horse battery staple, 12";
        text[0] = 0x80;
        assert!(OperatorKey::parse(&STANDARD.encode(text)).is_ok());
        for _ in 0..1000 {
            assert!(OperatorKey::parse(&OperatorKey::generate().unwrap().to_text()).is_ok());
        }
    }
}
