use std::io::Read as _;
use std::time::Duration;
use std::{fs, io};

use axum::body::Body;
use axum::http::HeaderMap;
use futures::stream;

use super::*;
use reasonedit_http::body::BodyBudget;
use reasonedit_keyring::Keyring;
use reasonedit_resilience::MemoryBudget;

fn body(pieces: &[&'static [u8]], whole: bool) -> Body {
    let mut pieces: Vec<io::Result<&'static [u8]>> = pieces.iter().map(|&piece| Ok(piece)).collect();
    if !whole {
        pieces.push(Err(io::Error::other("reset")));
    }
    Body::from_stream(stream::iter(pieces))
}

#[tokio::test]
async fn uploads_are_received_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), Keyring::ephemeral().unwrap()).unwrap();
    let receive = async |body: Body, limit| {
        let budget = BodyBudget::new(MemoryBudget::new(0, Duration::ZERO), 0, Duration::from_secs(5));
        super::receive(&spool, budget.pieces(&HeaderMap::new(), body, limit).unwrap()).await
    };
    let status = |result: Result<SpooledUpload>| result.unwrap_err().status().as_u16();
    assert_eq!(status(receive(body(&[b"abc", b"def"], true), 5).await), 413);
    assert_eq!(status(receive(body(&[b"abc"], false), 5).await), 400);
    drop(receive(body(&[b"abc"], true), 5).await.unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of any");

    let upload = receive(body(&[b"abc", b"", b"de"], true), 5).await.unwrap();
    assert_eq!(upload.digest(), blake3::hash(b"abcde"));
    let mut bytes = Vec::new();
    upload.file().open().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"abcde");
}
