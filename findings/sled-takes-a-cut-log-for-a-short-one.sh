#!/usr/bin/env bash
# sled opens a log that lost its end without a word: it is shorter then, and nothing says so.
#
# Package: sled 0.34.7 (crates.io). Needs cargo.
# Every message of the log bears a CRC, so one expects a file that lost some of what was flushed to be told of: by an
# error, by `was_recovered`, by `verify_integrity`, or by a line through `log`. What can't be read is taken for the place where
# writing ended when the process died, since a crash looks the same. Rows that `flush` had acknowledged are gone; the store opens,
# says that it was recovered (as it does of every store that was there), and `verify_integrity` finds nothing. Whoever needs to know
# has to count by themselves, beside the store.
#
# Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "cut"
version = "0.0.0"
edition = "2021"

[dependencies]
log = { version = "0.4", features = ["std"] }
sled = "=0.34.7"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use std::fs::OpenOptions;
use std::sync::atomic::{AtomicUsize, Ordering};

const ROWS: u32 = 5000;

/// Lines of warnings and errors.
static TOLD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

impl log::Log for Counting {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        if record.level() <= log::Level::Warn {
            TOLD.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

fn main() {
    log::set_logger(&Counting).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let folder = std::env::args().nth(1).unwrap();
    {
        let db = sled::open(&folder).unwrap();
        for number in 0..ROWS {
            db.insert(number.to_be_bytes(), vec![7; 400]).unwrap();
            if number % 100 == 99 {
                db.flush().unwrap();
            }
        }
    }
    let path = format!("{folder}/db");
    let log = OpenOptions::new().write(true).open(&path).unwrap();
    let bytes = log.metadata().unwrap().len();
    log.set_len(bytes * 7 / 10).unwrap();
    let before = TOLD.load(Ordering::Relaxed);
    let db = sled::open(&folder).expect("it opens");
    let found = db.len();
    let checked = db.verify_integrity().is_ok();
    let told = TOLD.load(Ordering::Relaxed) - before;
    println!("flushed {ROWS} rows, found {found}; recovered {}, verified {checked}, {told} warnings", db.was_recovered());
    assert!(found < ROWS as usize && checked && told == 0, "this has changed");
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo run --quiet --manifest-path "$folder/Cargo.toml" -- "$folder/data"
