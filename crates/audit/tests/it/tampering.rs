//! What is changed, removed, put between or cut off is found; what a killed process had begun is healed.

use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;
use reasonedit_audit::{AuditEvent, AuditFaultKind, AuditHead, AuditWait};

use crate::folder::{Folder, age, append_and_wait, request};

/// A trail of which everything but the last line is on the disk, as a process leaves it that is killed now.
fn killed() -> Folder {
    let folder = Folder::new();
    let trail = folder.open();
    append_and_wait(&trail, &request(1), AuditWait::Synced).unwrap();
    // The record of the end is brought back to what it was before the last line.
    let before = fs::read(folder.path().join("head")).unwrap();
    append_and_wait(&trail, &request(2), AuditWait::Synced).unwrap();
    let killed = folder.killed();
    fs::write(killed.path().join("head"), before).unwrap();
    killed
}

#[test]
fn a_line_that_a_killed_process_had_begun_is_healed_wherever_it_ends() {
    let whole = killed();
    let bytes = fs::read(whole.file()).unwrap();
    let last = bytes[..bytes.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    for end in last..=bytes.len() {
        let folder = whole.killed();
        fs::write(folder.file(), &bytes[..end]).unwrap();
        let before = folder.verify();
        assert_eq!(before.faults, [], "{end}");
        let trail = folder.open();
        append_and_wait(&trail, &request(3), AuditWait::Synced).unwrap();
        trail.close();
        let report = folder.verify();
        let torn = end > last && end < bytes.len();
        assert_eq!((report.faults, report.healed), (Vec::new(), u64::from(torn)), "{end}");
        let lines = folder.lines();
        let healed = lines.iter().find(|line| line.record.event == AuditEvent::Healed);
        assert_eq!(healed.and_then(|line| line.record.count), torn.then_some((end - last) as u64));
        assert_eq!(lines.iter().filter(|line| line.record.edits == ["01EDIT3"]).count(), 1);
        let kept = usize::from(end == bytes.len());
        assert_eq!(lines.iter().filter(|line| line.record.edits == ["01EDIT2"]).count(), kept, "{end}");
    }
}

#[test]
fn a_torn_line_of_an_earlier_day_is_healed_too() {
    let folder = killed();
    let bytes = fs::read(folder.file()).unwrap();
    let old = age(&folder, "2020-01-01");
    fs::write(&old, &bytes[..bytes.len() - 9]).unwrap();
    let trail = folder.open();
    append_and_wait(&trail, &request(3), AuditWait::Synced).unwrap();
    trail.close();
    assert!(fs::read(&old).unwrap().ends_with(b"}\n"));
    let report = folder.verify();
    assert_eq!((report.faults, report.healed, report.files), (Vec::new(), 1, 2));
}

#[test]
fn a_trail_that_is_cut_anywhere_is_found_and_stays_found() {
    let whole = Folder::closed(3);
    let bytes = fs::read(whole.file()).unwrap();
    for end in 0..bytes.len() {
        let folder = whole.killed();
        fs::write(folder.file(), &bytes[..end]).unwrap();
        assert!(folder.verify().fault_count > 0, "{end}");
        // A service that goes on with it covers nothing up.
        if end % 41 == 0 {
            let trail = folder.open();
            append_and_wait(&trail, &request(9), AuditWait::Synced).unwrap();
            trail.close();
            let report = folder.verify();
            assert!(report.faults.iter().any(|fault| fault.kind == AuditFaultKind::Reported), "{end}");
            assert!(report.fault_count > 1, "{end}: {report:?}");
            assert_eq!(report.healed, 0, "{end}");
        }
    }
}

#[test]
fn files_that_are_removed_are_found_and_stay_found() {
    for name in ["head", "lines", "all"] {
        let folder = Folder::closed(3);
        if name != "lines" {
            fs::remove_file(folder.path().join("head")).unwrap();
        }
        if name != "head" {
            fs::remove_file(folder.file()).unwrap();
        }
        if name == "all" {
            // Nothing is left that could tell: that is what a note of the last line elsewhere is for.
            let noted = AuditHead { seq: 5, hash: "ab".repeat(32) };
            let report = folder.reader().verify(Some(&noted)).unwrap();
            assert_eq!(report.faults[0].kind, AuditFaultKind::NotAsNoted);
            continue;
        }
        assert!(folder.verify().fault_count > 0, "{name}");
        folder.open().close();
        let report = folder.verify();
        assert!(
            report.faults.iter().any(|fault| fault.kind == AuditFaultKind::Reported),
            "{name}: {report:?}"
        );
    }
}

#[test]
fn a_trail_that_was_written_anew_is_told_by_a_line_that_was_noted() {
    let folder = Folder::closed(3);
    let head = folder.verify().head.unwrap();
    assert_eq!(folder.reader().verify(Some(&head)).unwrap().faults, []);
    folder.open().close();
    assert_eq!(folder.reader().verify(Some(&head)).unwrap().faults, [], "it has gone on since");
    let forged = Folder::closed(5);
    assert_eq!(forged.verify().faults, []);
    let report = forged.reader().verify(Some(&head)).unwrap();
    assert_eq!(report.faults[0].kind, AuditFaultKind::NotAsNoted);
}

fn lines(folder: &Folder) -> Vec<Vec<u8>> {
    fs::read(folder.file()).unwrap().split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_done_to_it_is_found(
        requests in 2usize..12,
        at in any::<Index>(),
        other in any::<Index>(),
        byte in any::<Index>(),
        flip in 1u8..,
        what in 0u8..6,
    ) {
        let folder = Folder::closed(requests);
        let mut lines = lines(&folder);
        let (at, other) = (at.index(lines.len()), other.index(lines.len()));
        match what {
            // A byte, the newline between two lines included.
            0 => {
                let byte = byte.index(lines[at].len());
                lines[at][byte] ^= flip;
            }
            1 => drop(lines.remove(at)),
            2 => {
                let copy = lines[other].clone();
                lines.insert(at, copy);
            }
            3 if at != other => lines.swap(at, other),
            // A line that says something else and has a hash of its own.
            4 => {
                let text = String::from_utf8(lines[at].clone()).unwrap();
                let (said, _) = text.rsplit_once("\",\"hash\":\"").unwrap();
                let said = said.replacen("\"at\":\"2", "\"at\":\"1", 1);
                let hash = blake3::hash(said.as_bytes()).to_hex();
                lines[at] = format!("{said}\",\"hash\":\"{hash}\"}}\n").into_bytes();
            }
            _ => lines.insert(at, b"\n".to_vec()),
        }
        let changed = lines.concat();
        prop_assume!(changed != fs::read(folder.file()).unwrap());
        fs::write(folder.file(), changed).unwrap();
        let report = folder.verify();
        prop_assert!(report.fault_count > 0, "{}", what);
        // Nor does going on with it cover it up.
        folder.open().close();
        prop_assert!(folder.verify().fault_count > 0, "{} after it was gone on with", what);
    }
}
