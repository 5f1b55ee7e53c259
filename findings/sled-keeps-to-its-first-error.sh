#!/usr/bin/env bash
# Once a write of sled has failed for want of room, the store takes nothing more, however much room there is by then.
#
# Packages: sled 0.34.7, libc 0.2 (crates.io). Needs cargo, on Linux.
# A full disk is a state that passes: one expects what is written after room was made to be kept, as with SQLite or PostgreSQL. sled notes
# its first input or output error for the whole store and answers every later `flush` with it. Reads go on, and inserts
# may still say that all is well, since they are flushed later. Dropping the store and opening it anew in the same process helps (its lock
# outlasts the drop by milliseconds): everything that had been flushed is there, and writes are taken again. A service that runs for
# months has to do that by itself.
#
# The disk is full here by a limit on the size of files, which is raised again.
# Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "full"
version = "0.0.0"
edition = "2021"

[dependencies]
libc = "0.2"
sled = "=0.34.7"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Bytes that a file may have; as many as it likes with `None`.
fn limit(bytes: Option<u64>) {
    unsafe {
        let mut now: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &mut now), 0);
        now.rlim_cur = bytes.unwrap_or(now.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &now), 0);
    }
}

/// Inserts a hundred rows and flushes them.
fn write(db: &sled::Db) -> sled::Result<usize> {
    for _ in 0..100 {
        db.insert(NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes(), vec![7; 4000])?;
    }
    db.flush()
}

fn main() {
    // A write beyond the limit is an error and not a signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let folder = std::env::args().nth(1).unwrap();
    let db = sled::Config::new().path(&folder).flush_every_ms(None).open().unwrap();
    write(&db).unwrap();
    let flushed = db.len();
    limit(Some(3 << 20));
    let first = (0..100).find_map(|_| write(&db).err()).expect("it runs out of room");
    limit(None);
    let refused = (0..10).filter(|_| write(&db).is_err()).count();
    drop(db);
    let dropped = Instant::now();
    let db = loop {
        match sled::open(&folder) {
            Ok(db) => break db,
            Err(error) if dropped.elapsed() > Duration::from_secs(20) => panic!("it stays locked: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let locked = dropped.elapsed().as_millis();
    let kept = db.len();
    let taken = (0..10).filter(|_| write(&db).is_ok()).count();
    println!("first: {first}; with room again {refused} of 10 flushes fail; opened anew {locked} ms after it was dropped: {kept} rows, {taken} of 10 are taken");
    assert!(refused == 10 && kept >= flushed && taken == 10, "this has changed");
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo run --quiet --manifest-path "$folder/Cargo.toml" -- "$folder/data"
