//! Files that are sealed and read piece by piece, however large they are: the STREAM construction (Hoang,
//! Reyhanitabar, Rogaway and Vizár, 2015) over the cipher of everything else. A piece that is changed, moved
//! or missing is found where it is read, and so is an end that was cut off.
//!
//! A stream begins with 19 bytes of chance. Pieces of 64 KiB follow, each longer by 16 when sealed; the last,
//! which may be shorter, says that it is.

use std::io::{self, Read, Seek, SeekFrom};

use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::KeyInit as _;

use crate::block::KeyId;
use crate::cipher::{Secret, TAG, random};
use crate::error::{KeyringError, Result};
use crate::ring::Keyring;

/// Bytes of a piece.
const PIECE: usize = 64 << 10;
/// Bytes of chance at the beginning: a nonce without what STREAM puts there itself.
const NONCE: usize = 19;
const SEALED: usize = PIECE + TAG;

fn stream(key: &Secret, nonce: [u8; NONCE]) -> StreamBE32<XChaCha20Poly1305> {
    StreamBE32::from_aead(XChaCha20Poly1305::new((&**key).into()), &nonce.into())
}

/// Seals a stream as it comes. Holds one piece.
pub struct StreamSealer {
    stream: StreamBE32<XChaCha20Poly1305>,
    position: u32,
    pending: Vec<u8>,
}

impl std::fmt::Debug for StreamSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSealer").field("position", &self.position).finish_non_exhaustive()
    }
}

impl StreamSealer {
    /// Takes the next bytes; what is sealed of the stream by then is added to `sealed`.
    ///
    /// # Errors
    /// `TooLong` after 2^32 pieces.
    pub fn push(&mut self, mut plain: &[u8], sealed: &mut Vec<u8>) -> Result<()> {
        while !plain.is_empty() {
            // The last piece is told from others, so that a full one waits for what comes.
            if self.pending.len() == PIECE {
                self.seal(false, sealed)?;
            }
            let (taken, rest) = plain.split_at(plain.len().min(PIECE - self.pending.len()));
            self.pending.extend_from_slice(taken);
            plain = rest;
        }
        Ok(())
    }

    /// Ends the stream; the rest of it is added to `sealed`.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn finish(mut self, sealed: &mut Vec<u8>) -> Result<()> {
        self.seal(true, sealed)
    }

    fn seal(&mut self, last: bool, sealed: &mut Vec<u8>) -> Result<()> {
        let piece = self.stream.encrypt(self.position, last, &self.pending[..]);
        sealed.extend(piece.map_err(|_| KeyringError::TooLong)?);
        self.position = self.position.checked_add(1).ok_or(KeyringError::TooLong)?;
        self.pending.clear();
        Ok(())
    }
}

/// Reads a sealed stream, from any place of it. Holds one piece. What isn't as it was written is an error of
/// the kind `InvalidData`.
pub struct StreamReader<R> {
    inner: R,
    stream: StreamBE32<XChaCha20Poly1305>,
    /// Where pieces begin in `inner`, and how many bytes they are.
    begin: u64,
    sealed: u64,
    /// Where is read next.
    at: u64,
    /// The piece that was read last, by its number.
    piece: Option<(u64, Vec<u8>)>,
}

impl<R> std::fmt::Debug for StreamReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<R: Read + Seek> StreamReader<R> {
    fn new(mut inner: R, key: &Secret) -> io::Result<Self> {
        let mut nonce = [0; NONCE];
        inner.read_exact(&mut nonce).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => changed(),
            _ => error,
        })?;
        let begin = inner.stream_position()?;
        let sealed = inner.seek(SeekFrom::End(0))?.saturating_sub(begin);
        // There is a last piece, and none is shorter than what sealing adds.
        let last = sealed % SEALED as u64;
        if sealed == 0 || (1..TAG as u64).contains(&last) {
            return Err(changed());
        }
        Ok(Self { inner, stream: stream(key, nonce), begin, sealed, at: 0, piece: None })
    }

    fn pieces(&self) -> u64 {
        self.sealed.div_ceil(SEALED as u64)
    }

    /// How many bytes were sealed.
    pub fn length(&self) -> u64 {
        self.sealed - self.pieces() * TAG as u64
    }

    /// The piece with this number.
    fn load(&mut self, number: u64) -> io::Result<&[u8]> {
        if self.piece.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            let from = number * SEALED as u64;
            let length = (self.sealed - from).min(SEALED as u64);
            self.inner.seek(SeekFrom::Start(self.begin + from))?;
            let mut sealed = vec![0; length as usize];
            self.inner.read_exact(&mut sealed)?;
            let last = number + 1 == self.pieces();
            let position = u32::try_from(number).map_err(|_| changed())?;
            let plain = self.stream.decrypt(position, last, &sealed[..]).map_err(|_| changed())?;
            self.piece = Some((number, plain));
        }
        Ok(self.piece.as_ref().map_or(&[], |(_, plain)| plain))
    }
}

impl<R: Read + Seek> Read for StreamReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.at > self.length() {
            return Ok(0);
        }
        // At the end as well: that the last piece is the last is known once it was read.
        let (number, within) = if self.at == self.length() {
            (self.pieces() - 1, None)
        } else {
            (self.at / PIECE as u64, Some((self.at % PIECE as u64) as usize))
        };
        let piece = self.load(number)?;
        let Some(rest) = within.and_then(|within| piece.get(within..)) else { return Ok(0) };
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for StreamReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::End(by) => self.length().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, KeyringError::Changed)
}

impl Keyring {
    /// Begins to seal a stream, of which a key seals one alone: what it begins with is added to `sealed`.
    ///
    /// # Errors
    /// `Unknown` if there is no key, `Erased`, `Changed` if the key can't be read, `Random`.
    pub fn seal_stream(&self, id: KeyId, sealed: &mut Vec<u8>) -> Result<StreamSealer> {
        let (key, nonce) = (self.secret(id)?, random::<NONCE>()?);
        sealed.extend(nonce);
        Ok(StreamSealer { stream: stream(&key, nonce), position: 0, pending: Vec::with_capacity(PIECE) })
    }

    /// Reads a stream that begins where `inner` is and ends where that ends.
    ///
    /// # Errors
    /// What `inner` says; `InvalidData` if there is no key for it, or what is there is too short.
    pub fn open_stream<R: Read + Seek>(&self, id: KeyId, inner: R) -> io::Result<StreamReader<R>> {
        let key = self.secret(id).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        StreamReader::new(inner, &key)
    }
}

#[cfg(test)]
mod tests;
