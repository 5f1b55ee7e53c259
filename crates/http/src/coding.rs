//! `Content-Encoding` of requests (RFC 9110, section 8.4): bodies are decoded as they arrive, so that every
//! limit is one of the decoded size.
//!
//! `tower-http` could decode requests too, but knows one coding at a time, takes `deflate` for zlib alone and
//! lets a zstd frame ask for a window of 128 MiB.

use std::error::Error;
use std::fmt;
use std::io;

use async_compression::tokio::bufread::{DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::problem::{Problem, ProblemKind, Result};

/// What is decoded, as `Accept-Encoding` of a 415 says it.
pub(crate) const ACCEPTED: &str = "gzip, zstd, deflate";

/// Most codings on top of each other.
const MAX_CODINGS: usize = 3;
/// Largest window of a zstd frame, as RFC 9659 has it: 8 MiB, as a power of two.
const ZSTD_WINDOW_LOG: u32 = 23;
/// Bytes that are decoded at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes that may arrive beyond the limit of the decoded ones: what codings add to what can't be made
/// smaller.
const SLACK: u64 = 64 << 10;

/// How a body was made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Zstd,
    /// In the zlib format, as it should be, or without, as some clients have it.
    Deflate,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }
}

/// A body as it is to be read.
pub(crate) struct Incoming {
    /// Decoded.
    pub(crate) body: Body,
    /// Its length in bytes, where the head tells it; not of what is to be decoded.
    pub(crate) announced: Option<u64>,
    /// Memory in bytes that decoding may take beside what comes out of it.
    pub(crate) window: usize,
}

/// Why a body ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The connection breaks.
    Broken,
    /// It is not what its coding says.
    Undecodable(&'static str),
    /// More bytes arrive than any body of the size allowed has.
    TooLarge,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => f.write_str("the connection broke"),
            Self::Undecodable(coding) => write!(f, "the body is not {coding}"),
            Self::TooLarge => f.write_str("the body is too large"),
        }
    }
}

impl Error for Interrupted {}

impl From<Interrupted> for io::Error {
    fn from(why: Interrupted) -> Self {
        Self::other(why)
    }
}

/// Why a piece of a body is an error.
pub(crate) fn interruption(error: &axum::Error) -> Interrupted {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(why) = inner.and_then(|inner| inner.downcast_ref()) {
            return *why;
        }
        cause = error.source();
    }
    Interrupted::Broken
}

/// The body without its codings; `limit` is that of the decoded bytes, which whoever reads them has to keep.
///
/// # Errors
/// 415 for a coding that is not decoded.
pub(crate) fn decoded(headers: &HeaderMap, body: Body, limit: u64) -> Result<Incoming> {
    let codings = codings(headers)?;
    if codings.is_empty() {
        return Ok(Incoming { body, announced: content_length(headers), window: 0 });
    }
    let window = if codings.contains(&Coding::Zstd) { 1 << ZSTD_WINDOW_LOG } else { 0 };
    let most = limit.saturating_add(limit / 8).saturating_add(SLACK);
    let mut arrived = 0;
    let raw = body.into_data_stream().map(move |piece| {
        let piece = piece.map_err(|_| Interrupted::Broken)?;
        arrived += piece.len() as u64;
        if arrived > most { Err(Interrupted::TooLarge.into()) } else { Ok(piece) }
    });
    // They stand in the order in which they were applied.
    let pieces = codings.into_iter().rev().fold(raw.boxed(), decode);
    Ok(Incoming { body: Body::from_stream(pieces), announced: None, window })
}

/// The length that the head announces.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The codings that a head names, in the order in which they were applied.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>> {
    let unsupported =
        |detail: String| Problem::new(ProblemKind::UnsupportedMediaType, detail).accept_encoding();
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        for name in value.split(',').map(str::trim) {
            codings.push(match name {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "zstd" => Coding::Zstd,
                "deflate" => Coding::Deflate,
                other => {
                    let detail =
                        format!("The content encoding `{other}` is not decoded; there are: {ACCEPTED}.");
                    return Err(unsupported(detail));
                }
            });
        }
    }
    if codings.len() > MAX_CODINGS {
        return Err(unsupported(format!("At most {MAX_CODINGS} content encodings are decoded.")));
    }
    Ok(codings)
}

type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// What the pieces are without a coding.
fn decode(pieces: Pieces, coding: Coding) -> Pieces {
    let opened = async move {
        let (mut pieces, mut head) = (pieces, BytesMut::new());
        while head.len() < 2 {
            match pieces.next().await {
                Some(piece) => head.extend_from_slice(&piece?),
                None => break,
            }
        }
        // Nothing at all is nothing at all, whatever it is said to be.
        if head.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let is_zlib = is_zlib(&head);
        let head = stream::once(std::future::ready(Ok(head.freeze())));
        let reader = StreamReader::new(head.chain(pieces));
        // Files of several members are one body, and what is none of them is an error and not passed over.
        macro_rules! read {
            ($decoder:expr) => {{
                let mut decoder = $decoder;
                decoder.multiple_members(true);
                read(decoder, coding)
            }};
        }
        io::Result::Ok(match coding {
            Coding::Gzip => read!(GzipDecoder::new(reader)),
            Coding::Zstd => {
                read!(ZstdDecoder::with_params(reader, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]))
            }
            Coding::Deflate if is_zlib => read!(ZlibDecoder::new(reader)),
            Coding::Deflate => read!(DeflateDecoder::new(reader)),
        })
    };
    stream::once(opened).try_flatten().boxed()
}

/// Whether the first two bytes are those of a zlib stream (RFC 1950).
fn is_zlib(head: &[u8]) -> bool {
    let &[method, flags, ..] = head else { return false };
    method & 0x0f == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]) % 31 == 0
}

fn read(decoder: impl AsyncRead + Send + 'static, coding: Coding) -> Pieces {
    let name = coding.name();
    let pieces = ReaderStream::with_capacity(decoder, PIECE_BYTES);
    // What interrupted the bytes before they were decoded is passed on.
    let ours = |error: &io::Error| {
        let inner = error.get_ref();
        inner.and_then(|inner| inner.downcast_ref::<Interrupted>()).is_some()
    };
    pieces
        .map_err(move |error| if ours(&error) { error } else { Interrupted::Undecodable(name).into() })
        .boxed()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use async_compression::tokio::bufread as encode;
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::body::{WholeBody, next_piece};

    const TEXT: &[u8] =
        br#"{"question": "Is the border irregular, and is the colour dark? Is the border irregular?"}"#;

    async fn encoded(bytes: &[u8], coding: &str) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            "gzip" => encode::GzipEncoder::new(bytes).read_to_end(&mut out).await,
            "zstd" => encode::ZstdEncoder::new(bytes).read_to_end(&mut out).await,
            "zlib" => encode::ZlibEncoder::new(bytes).read_to_end(&mut out).await,
            _ => encode::DeflateEncoder::new(bytes).read_to_end(&mut out).await,
        }
        .unwrap();
        out
    }

    fn headers(coding: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in coding {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        }
        headers
    }

    /// Reads a body that arrives in pieces of this many bytes.
    async fn read_in(coding: &[&str], bytes: &[u8], piece: usize) -> Result<Vec<u8>> {
        let pieces: Vec<io::Result<Bytes>> =
            bytes.chunks(piece).map(|p| Ok(Bytes::copy_from_slice(p))).collect();
        let incoming = decoded(&headers(coding), Body::from_stream(stream::iter(pieces)), 1 << 20)?;
        let (mut body, mut out) = (incoming.body, Vec::new());
        while let Some(piece) = next_piece(&mut body, Duration::from_secs(5), 1 << 20).await? {
            out.extend_from_slice(&piece);
        }
        Ok(out)
    }

    #[tokio::test]
    async fn every_coding_is_decoded_however_it_arrives() {
        for (name, made) in [
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("GZIP", "gzip"),
            ("zstd", "zstd"),
            ("deflate", "zlib"),
            ("deflate", "raw"),
        ] {
            let bytes = encoded(TEXT, made).await;
            for piece in [1, 2, 7, bytes.len()] {
                assert_eq!(read_in(&[name], &bytes, piece).await.unwrap(), TEXT, "{made} in {piece}");
            }
            for cut in [1, bytes.len() / 2, bytes.len() - 1] {
                let problem = read_in(&[name], &bytes[..cut], 16).await.unwrap_err();
                assert_eq!(problem.status().as_u16(), 400, "{made} cut at {cut}");
                assert!(problem.body().detail.contains("Content-Encoding"), "{problem:?}");
            }
            let mut more = bytes.clone();
            more.extend(b"what is this?");
            assert_eq!(read_in(&[name], &more, 16).await.unwrap_err().status().as_u16(), 400, "{made}");
            assert_eq!(read_in(&[name], TEXT, 16).await.unwrap_err().status().as_u16(), 400, "{made}");
            assert_eq!(read_in(&[name], b"", 16).await.unwrap(), b"");
        }
        for none in [&["identity"][..], &[""], &["identity, , identity"], &[]] {
            assert_eq!(read_in(none, TEXT, 16).await.unwrap(), TEXT);
        }
    }

    #[tokio::test]
    async fn codings_may_stand_on_top_of_each_other() {
        let twice = encoded(&encoded(TEXT, "zstd").await, "gzip").await;
        for names in [&["zstd, gzip"][..], &["zstd", "gzip"], &["zstd, identity", "x-gzip"]] {
            assert_eq!(read_in(names, &twice, 5).await.unwrap(), TEXT, "{names:?}");
        }
        assert_eq!(read_in(&["gzip, zstd"], &twice, 5).await.unwrap_err().status().as_u16(), 400);
        // Members of a gzip file, as `cat a.gz b.gz` makes them.
        let mut members = encoded(&TEXT[..20], "gzip").await;
        members.extend(encoded(&TEXT[20..], "gzip").await);
        assert_eq!(read_in(&["gzip"], &members, 5).await.unwrap(), TEXT);
    }

    #[tokio::test]
    async fn other_codings_are_415_and_say_which_there_are() {
        for names in [&["br"][..], &["gzip, br"], &["compress"], &["gzip;q=1"], &["gzip, gzip, gzip, gzip"]] {
            let problem = read_in(names, TEXT, 16).await.unwrap_err();
            assert_eq!(problem.status().as_u16(), 415, "{names:?}");
            let response = axum::response::IntoResponse::into_response(problem);
            assert_eq!(response.headers()[header::ACCEPT_ENCODING], ACCEPTED);
        }
    }

    #[tokio::test]
    async fn the_decoded_size_counts() {
        let memory = reasonedit_resilience::MemoryBudget::new(4 << 20, Duration::ZERO);
        let budget = crate::body::BodyBudget::new(memory, 100_000, Duration::from_secs(5));
        for (name, made) in [("gzip", "gzip"), ("zstd", "zstd"), ("deflate", "raw")] {
            let fits = encoded(&vec![b' '; 100_000], made).await;
            let whole: WholeBody = budget.read(&headers(&[name]), Body::from(fits)).await.unwrap();
            assert_eq!(whole.bytes.len(), 100_000);
            let bomb = encoded(&vec![b' '; 50_000_000], made).await;
            assert!(bomb.len() < 100_000, "{}", bomb.len());
            let problem = budget.read(&headers(&[name]), Body::from(bomb)).await.unwrap_err();
            assert_eq!(problem.status().as_u16(), 413, "{made}");
        }
        // What says that it is larger than what is allowed may be smaller when it is decoded.
        let mut head = headers(&["gzip"]);
        head.insert(header::CONTENT_LENGTH, "100020".parse().unwrap());
        let stored = encoded(TEXT, "gzip").await;
        assert!(budget.read(&head, Body::from(stored)).await.is_ok());
    }

    #[tokio::test]
    async fn bytes_that_bring_nothing_come_to_an_end() {
        // Empty members, one after the other.
        let empty = Bytes::from(encoded(b"", "gzip").await.repeat(100));
        let endless = stream::repeat_with(move || io::Result::Ok(empty.clone()));
        let memory = reasonedit_resilience::MemoryBudget::new(4 << 20, Duration::ZERO);
        let budget = crate::body::BodyBudget::new(memory, 100_000, Duration::from_secs(5));
        let problem = budget.read(&headers(&["gzip"]), Body::from_stream(endless)).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 413);
    }

    #[tokio::test]
    async fn a_window_that_is_too_large_is_refused() {
        // A frame that asks for a window of 16 MiB: descriptor without content size, window descriptor, one
        // empty last block.
        let mut frame = Vec::new();
        frame.write_all(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x01, 0x00, 0x00]).unwrap();
        assert_eq!(read_in(&["zstd"], &frame, 16).await.unwrap_err().status().as_u16(), 400);
        frame[5] = 13 << 3;
        assert_eq!(read_in(&["zstd"], &frame, 16).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_broken_connection_is_none_of_the_coding() {
        let bytes = encoded(TEXT, "gzip").await;
        let pieces = [Ok(Bytes::copy_from_slice(&bytes[..20])), Err(io::Error::other("reset"))];
        let incoming =
            decoded(&headers(&["gzip"]), Body::from_stream(stream::iter(pieces)), 1 << 20).unwrap();
        let mut body = incoming.body;
        let problem = loop {
            match next_piece(&mut body, Duration::from_secs(5), 1 << 20).await {
                Ok(Some(_)) => {}
                other => break other.unwrap_err(),
            }
        };
        assert!(!problem.body().detail.contains("Content-Encoding"), "{problem:?}");
    }
}
