//! Checkpoints: what they find that hashes alone don't.

use std::fs;

use reasonedit_audit::{
    AuditCheckpoint, AuditConfig, AuditError, AuditEvent, AuditFaultKind, AuditNotes, AuditTrail, AuditWait,
};

use crate::folder::{Folder, append_and_wait, request};

fn config() -> AuditConfig {
    AuditConfig { checkpoint_lines: 3, ..AuditConfig::default() }
}

fn open(folder: &Folder) -> AuditTrail {
    AuditTrail::open(&folder.path(), &config()).unwrap()
}

/// A trail of so many requests, closed in order.
fn trail_of(requests: usize) -> (Folder, String) {
    let folder = Folder::new();
    let trail = open(&folder);
    for number in 0..requests {
        append_and_wait(&trail, &request(number), AuditWait::Synced).unwrap();
    }
    let key = trail.public_key().unwrap().to_owned();
    trail.close();
    (folder, key)
}

fn checkpoints(folder: &Folder) -> Vec<AuditCheckpoint> {
    let lines = folder.lines().into_iter().filter(|line| line.record.event == AuditEvent::Checkpoint);
    lines.map(|line| line.record.detail.unwrap().parse().unwrap()).collect()
}

fn noted(checkpoint: &AuditCheckpoint) -> AuditNotes {
    AuditNotes { heads: vec![checkpoint.head.clone()], keys: vec![checkpoint.key.clone()] }
}

fn kinds(folder: &Folder, notes: &AuditNotes) -> Vec<AuditFaultKind> {
    folder.reader().verify_against(notes).unwrap().faults.into_iter().map(|fault| fault.kind).collect()
}

#[test]
fn every_so_many_lines_there_is_a_signed_one_and_any_byte_that_changes_is_found() {
    let (folder, key) = trail_of(9);
    let (report, signed) = (folder.verify(), checkpoints(&folder));
    assert_eq!((report.faults, report.checkpoints), (Vec::new(), signed.len() as u64));
    assert!((3..=4).contains(&signed.len()), "{signed:?}");
    assert_eq!(report.keys, [key]);
    for one in &signed {
        assert_eq!(kinds(&folder, &noted(one)), []);
    }
    let (path, bytes) = (folder.file(), fs::read(folder.file()).unwrap());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(folder.verify().fault_count > 0, "{at}");
    }
    fs::write(&path, bytes).unwrap();
    // It goes on under the same key.
    let trail = open(&folder);
    append_and_wait(&trail, &request(9), AuditWait::Synced).unwrap();
    trail.close();
    assert_eq!(kinds(&folder, &noted(signed.last().unwrap())), []);
    assert_eq!(folder.verify().keys.len(), 1);
}

#[test]
fn a_tail_that_was_cut_off_with_the_record_of_the_end_is_found_against_a_checkpoint() {
    let folder = Folder::new();
    let trail = open(&folder);
    for number in 0..4 {
        append_and_wait(&trail, &request(number), AuditWait::Synced).unwrap();
    }
    // As somebody leaves it who puts back what was there.
    let earlier = folder.killed();
    for number in 4..9 {
        append_and_wait(&trail, &request(number), AuditWait::Synced).unwrap();
    }
    trail.close();
    let (first, last) = (checkpoints(&folder).remove(0), checkpoints(&folder).pop().unwrap());
    assert_eq!(earlier.verify().faults, [], "by itself it says nothing");
    assert_eq!(kinds(&earlier, &noted(&first)), []);
    assert_eq!(kinds(&earlier, &noted(&last)), [AuditFaultKind::NotAsNoted]);
}

/// Writes lines anew so that each follows from the one before.
fn chained(lines: &[String]) -> String {
    let (mut text, mut prev) = (String::new(), "0".repeat(64));
    for line in lines {
        let said = line.split(",\"prev\":\"").next().unwrap();
        let said = format!("{said},\"prev\":\"{prev}");
        prev = blake3::hash(said.as_bytes()).to_hex().to_string();
        text.push_str(&said);
        text.push_str("\",\"hash\":\"");
        text.push_str(&prev);
        text.push_str("\"}\n");
    }
    text
}

#[test]
fn who_writes_lines_anew_without_the_key_is_found() {
    let (folder, key) = trail_of(9);
    let text = fs::read_to_string(folder.file()).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(chained(&lines), text, "the hashes alone can be made by anybody");
    let changed: Vec<String> = lines.iter().map(|line| line.replacen("01EDIT0", "01EDIT7", 1)).collect();
    fs::write(folder.file(), chained(&changed)).unwrap();
    assert!(kinds(&folder, &AuditNotes::default()).contains(&AuditFaultKind::NotSigned));
    // Another key signs well, and is not this one.
    let (forged, other) = trail_of(9);
    assert_ne!(other, key);
    assert_eq!(forged.verify().faults, []);
    let notes = AuditNotes { keys: vec![key], ..AuditNotes::default() };
    let found = kinds(&forged, &notes);
    assert!(found.len() >= 3 && found.iter().all(|kind| *kind == AuditFaultKind::NotSigned), "{found:?}");
}

#[test]
fn a_key_that_is_none_is_told_and_without_checkpoints_none_is_made() {
    let folder = Folder::new();
    let off = AuditConfig { checkpoint_lines: 0, checkpoint_minutes: 0, ..AuditConfig::default() };
    let trail = AuditTrail::open(&folder.path(), &off).unwrap();
    assert_eq!(trail.public_key(), None);
    trail.close();
    assert!(!folder.path().join("signing-key").exists());
    let file = folder.path().with_file_name("elsewhere");
    let elsewhere = AuditConfig { signing_key_file: file.clone(), ..config() };
    AuditTrail::open(&folder.path(), &elsewhere).unwrap().close();
    assert!(file.exists() && !folder.path().join("signing-key").exists());
    fs::write(&file, "no key").unwrap();
    assert!(matches!(AuditTrail::open(&folder.path(), &elsewhere), Err(AuditError::SigningKey(_))));
    assert_eq!(folder.verify().faults, []);
}
