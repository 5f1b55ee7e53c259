use axum::http::HeaderMap;

use super::*;
use reasonedit_http::body::BodyBudget;
use reasonedit_resilience::MemoryBudget;

const LIMIT: usize = 1_000_000;

fn body(sizes: &[usize]) -> Body {
    let pieces: Vec<io::Result<Bytes>> = sizes.iter().map(|&n| Ok(Bytes::from(vec![7; n]))).collect();
    Body::from_stream(stream::iter(pieces))
}

async fn read_all(body: Body, limit: usize) -> (Result<()>, io::Result<usize>) {
    let (sender, pieces) = mpsc::channel(1);
    let mut reader = PipeReader { pieces, current: Bytes::new(), ended: false };
    let reading =
        tokio::task::spawn_blocking(move || io::copy(&mut reader, &mut io::sink()).map(|n| n as usize));
    let budget =
        BodyBudget::new(MemoryBudget::new(limit as u64, Duration::ZERO), limit, Duration::from_secs(10));
    let body = budget.pieces(&HeaderMap::new(), body, limit as u64).unwrap();
    let pumped = pump(body, sender).await;
    (pumped, reading.await.unwrap())
}

#[tokio::test]
async fn a_body_is_read_to_its_end() {
    let (pumped, read) = read_all(body(&[10_000, 0, 1, 200_000]), LIMIT).await;
    assert!(pumped.is_ok());
    assert_eq!(read.unwrap(), 210_001);
}

#[tokio::test]
async fn too_much_and_broken_uploads_never_look_whole() {
    let (pumped, read) = read_all(body(&[900_000, 100_001]), LIMIT).await;
    assert_eq!(pumped.unwrap_err().status().as_u16(), 413);
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let broken =
        Body::from_stream(stream::iter([Ok(Bytes::from_static(b"x")), Err(io::Error::other("reset"))]));
    let (pumped, read) = read_all(broken, LIMIT).await;
    assert_eq!(pumped.unwrap_err().status().as_u16(), 400);
    assert!(read.is_err());
}

/// Writes until it fails, and says why.
fn write_endlessly(patience: Duration, pieces: mpsc::Sender<Bytes>) -> JoinHandle<io::ErrorKind> {
    let mut writer = PipeWriter { pieces, runtime: Handle::current(), patience };
    tokio::task::spawn_blocking(move || {
        loop {
            if let Err(error) = writer.write_all(&vec![1; PIECE_BYTES + 1]) {
                return error.kind();
            }
        }
    })
}

#[tokio::test]
async fn the_writer_fails_once_the_client_has_gone() {
    let (sender, mut pieces) = mpsc::channel(4);
    let writing = write_endlessly(Duration::from_mins(1), sender);
    assert_eq!(pieces.recv().await.map(|piece| piece.len()), Some(PIECE_BYTES));
    assert_eq!(pieces.recv().await.map(|piece| piece.len()), Some(1));
    drop(pieces);
    assert_eq!(writing.await.unwrap(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn the_writer_fails_when_the_client_takes_nothing() {
    let (sender, _pieces) = mpsc::channel(4);
    assert_eq!(write_endlessly(Duration::from_millis(20), sender).await.unwrap(), io::ErrorKind::TimedOut);
}
