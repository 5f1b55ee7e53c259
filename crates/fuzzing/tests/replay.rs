//! Every target on the corpus that is kept, and on mutations of it that are the same each time. With
//! `REASONEDIT_FUZZING_TIMES=100` as many times as much, with `REASONEDIT_FUZZING_ONLY=text` of one target.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it did"
)]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cpu_time::ProcessTime;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reasonedit_fuzzing::{Target, check, targets};

/// Most mutations for one target, and most time of the processor for them.
const MUTATIONS: usize = 3000;
const TIME: Duration = Duration::from_millis(900);
/// Longest input.
const LONGEST: usize = 8192;
/// Bytes of a file of the corpus, and of all of it.
const FILE: u64 = 64 << 10;
const CORPUS: u64 = 1 << 20;

/// What is allocated is counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Panics on whatever thread, caught or not.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/fuzz")
}

/// The files of a target's corpus by their names.
fn corpus(name: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = fuzz().join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let named =
        |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap());
    paths.map(named).collect()
}

fn mutated(all: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let pick = |rng: &mut ChaCha8Rng| all[rng.random_range(0..all.len())].clone();
    let mut bytes = pick(rng);
    for _ in 0..rng.random_range(1..=4) {
        let at = if bytes.is_empty() { 0 } else { rng.random_range(0..bytes.len()) };
        let some = rng.random_range(1..=8).min(bytes.len() - at);
        match rng.random_range(0..8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if !bytes.is_empty() => bytes[at] = rng.random(),
            2 => bytes.insert(at, rng.random()),
            3 => drop(bytes.drain(at..at + some)),
            4 => {
                let piece = bytes[at..at + some].repeat(rng.random_range(1..=30));
                bytes.splice(at..at, piece);
            }
            5 => bytes.truncate(at),
            6 if bytes.len() >= at + 4 => {
                let value: u32 = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xffff][rng.random_range(0..6)];
                let value = if rng.random() { value.to_le_bytes() } else { value.to_be_bytes() };
                bytes[at..at + 4].copy_from_slice(&value);
            }
            _ => {
                let other = pick(rng);
                let from = if other.is_empty() { 0 } else { rng.random_range(0..other.len()) };
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// Runs a target, and names the input that something is wrong with.
fn run(target: &Target, data: &[u8]) {
    let before = PANICS.load(Ordering::SeqCst);
    let done = catch_unwind(AssertUnwindSafe(|| check(target.name, data)));
    if done.is_err() || PANICS.load(Ordering::SeqCst) != before {
        let path = std::env::temp_dir().join(format!("reasonedit-fuzzing-{}", target.name));
        fs::write(&path, data).unwrap();
        panic!("{}: fails on {}", target.name, path.display());
    }
}

#[test]
fn the_corpus_and_mutations_of_it_break_nothing() {
    let _alone = ALONE.lock();
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        told(info);
    }));
    let times = std::env::var("REASONEDIT_FUZZING_TIMES").map_or(1, |times| times.parse().unwrap());
    let mut all = 0;
    let only = std::env::var("REASONEDIT_FUZZING_ONLY").ok();
    let wanted = |target: &&Target| only.as_ref().is_none_or(|only| only == target.name);
    for (seed, target) in targets().filter(wanted).enumerate() {
        let kept: Vec<Vec<u8>> = corpus(target.name).into_values().collect();
        assert!(!kept.is_empty(), "{}: no corpus", target.name);
        for data in &kept {
            run(target, data);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        let begun = ProcessTime::now();
        let mut done = 0;
        while done < MUTATIONS * times && begun.elapsed() < TIME * times as u32 {
            run(target, &mutated(&kept, &mut rng));
            done += 1;
        }
        println!("{}: {} of the corpus, {done} mutations in {:?}", target.name, kept.len(), begun.elapsed());
        all += done;
    }
    assert!(all > 3000 || only.is_some(), "{all} mutations in all");
}

#[test]
fn every_target_has_its_program_and_a_small_corpus() {
    let _alone = ALONE.lock();
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let mut bytes = 0;
    for target in targets() {
        let name = target.name;
        let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("check(\"{name}\", data)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not built");
        for (file, content) in corpus(name) {
            assert!(content.len() as u64 <= FILE, "{name}/{file} has {} bytes", content.len());
            bytes += content.len() as u64;
        }
    }
    assert!(bytes <= CORPUS, "the corpus has {bytes} bytes");
    let programs = fs::read_dir(fuzz().join("fuzz_targets")).unwrap().count();
    assert_eq!(programs, targets().count(), "a program without a target");
}
