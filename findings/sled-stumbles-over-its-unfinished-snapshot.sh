#!/usr/bin/env bash
# A process that dies while sled opens may leave a store that sled doesn't open any more.
#
# Package: sled 0.34.7 (crates.io). Needs cargo.
# As it opens, sled writes where its pages lie to `snap.NUMBER.generating` and renames that when it is whole, which should make a death in
# between harmless. But whoever reads snapshots leaves out names that end with `.in___motion`, which nothing writes, and takes the unfinished file for
# the newest snapshot: too short, so `open` says corruption, at every start from then on. No row is harmed. Removing
# the unfinished file is enough; whoever keeps a store in sled does that before they open it, as long as no other process has it open.
#
# The file is put there as a death right after its making leaves it: empty.
# Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "unfinished"
version = "0.0.0"
edition = "2021"

[dependencies]
sled = "=0.34.7"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use std::fs;

fn main() {
    let folder = std::env::args().nth(1).unwrap();
    {
        let db = sled::open(&folder).unwrap();
        for number in 0..1000u32 {
            db.insert(number.to_be_bytes(), vec![7; 100]).unwrap();
        }
        db.flush().unwrap();
    }
    let unfinished = format!("{folder}/snap.00000000FFFFFFFF.generating");
    fs::write(&unfinished, b"").unwrap();
    let first = sled::open(&folder).err().map(|error| error.to_string());
    let second = sled::open(&folder).err().map(|error| error.to_string());
    fs::remove_file(&unfinished).unwrap();
    let rows = sled::open(&folder).unwrap().len();
    println!("with the unfinished snapshot: {first:?}, then {second:?}; without it {rows} rows");
    assert!(first.is_some() && second.is_some() && rows == 1000, "this has changed");
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo run --quiet --manifest-path "$folder/Cargo.toml" -- "$folder/data"
