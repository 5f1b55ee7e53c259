//! Bodies that come compressed.

use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use reasonedit_http::body::BodyBudget;
use reasonedit_resilience::{MemoryBudget, MemoryPermit};
use tokio::runtime::Runtime;

use crate::input::Input;
use crate::limits::MIB;

/// Bytes that a body may have here.
const LONGEST: usize = MIB;

static CLOCK: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&CLOCK);
}

/// A body in any codings: what comes out is within the limit, and takes memory of the budget alone.
pub(crate) fn coding(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let named: Vec<&str> = (0..kind % 4)
        .map(|_| input.pick(&["gzip", "x-gzip", "deflate", "zstd", "identity", "br", "compress", "*"]))
        .collect();
    let announced = kind & 0x10 != 0;
    let rest = input.0;
    let plain = if kind & 0x20 != 0 { rest.repeat(usize::from(kind >> 6) * 200 + 1) } else { rest.to_vec() };
    // From here on as it is, or really coded, the last coding outermost.
    let honest = kind & 0x40 != 0;
    let bytes = if honest { coded(&named, plain.clone()) } else { Some(plain.clone()) };
    let Some(bytes) = bytes else { return };

    let budget = MemoryBudget::new(16 * MIB as u64, Duration::ZERO);
    let bodies = BodyBudget::new(budget.clone(), LONGEST, Duration::from_secs(1));
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&named.join(", "))
        && !named.is_empty()
    {
        headers.insert(header::CONTENT_ENCODING, value);
    }
    if announced {
        headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    }
    let result = CLOCK.block_on(bodies.read(&headers, Bytes::from(bytes).into()));
    match result {
        Ok(whole) => {
            assert!(whole.bytes.len() <= LONGEST);
            let held = whole.held.as_ref().map_or(0, MemoryPermit::bytes);
            assert!(held >= whole.bytes.len() as u64, "{held} bytes held for {}", whole.bytes.len());
            if honest {
                assert!(whole.bytes == plain, "{named:?}: another body came out than went in");
            }
        }
        Err(problem) => {
            let status = problem.status().as_u16();
            assert!([400, 413, 415, 503].contains(&status), "{status} for codings {named:?}");
            assert!(!(honest && plain.len() <= LONGEST / 4), "{status} for a good body in {named:?}");
        }
    }
    assert_eq!(budget.free(), 16 * MIB as u64, "memory of a body that has gone is not given back");
}

/// These codings of a body; `None` where one of them is not made here.
fn coded(named: &[&str], mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    for name in named {
        bytes = match *name {
            "gzip" | "x-gzip" => {
                let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                coder.write_all(&bytes).ok()?;
                coder.finish().ok()?
            }
            "deflate" => {
                let mut coder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                coder.write_all(&bytes).ok()?;
                coder.finish().ok()?
            }
            "zstd" => zstd::encode_all(&bytes[..], 1).ok()?,
            "identity" => bytes,
            _ => return None,
        };
    }
    Some(bytes)
}
