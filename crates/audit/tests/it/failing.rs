//! What can't be written waits, and is told of.

use std::fs;
use std::time::{Duration, Instant};

use reasonedit_audit::{AuditConfig, AuditEvent, AuditFailurePolicy, AuditTrail, AuditWait};

use crate::folder::{Folder, append_and_wait, request};

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn lines_wait_while_the_folder_is_away_and_are_written_once_it_is_back() {
    let folder = Folder::new();
    let refusing = AuditConfig { on_failure: AuditFailurePolicy::Refuse, ..AuditConfig::default() };
    let trail = AuditTrail::open(&folder.path(), &refusing).unwrap();
    append_and_wait(&trail, &request(1), AuditWait::Synced).unwrap();
    let away = folder.path().with_extension("away");
    fs::rename(folder.path(), &away).unwrap();
    let failed = append_and_wait(&trail, &request(2), AuditWait::Synced).unwrap_err();
    assert!(failed.to_string().contains("can't be written"), "{failed}");
    until("it says so", || trail.state().failing.is_some());
    assert!(trail.ready().is_err() && trail.flush().is_err());
    for number in 3..50 {
        trail.append(&request(number));
    }
    fs::rename(&away, folder.path()).unwrap();
    until("it is written again", || trail.ready().is_ok());
    trail.close();
    let edits: Vec<String> = folder.lines().into_iter().flat_map(|line| line.record.edits).collect();
    assert_eq!(edits, (1..50).map(|number| format!("01EDIT{number}")).collect::<Vec<_>>());
    assert_eq!(folder.verify().faults, []);
}

#[test]
fn what_finds_no_room_is_counted_in_the_trail() {
    let folder = Folder::new();
    let trail = folder.open();
    append_and_wait(&trail, &request(1), AuditWait::Synced).unwrap();
    let away = folder.path().with_extension("away");
    fs::rename(folder.path(), &away).unwrap();
    let mut large = request(2);
    large.edits = (0..1000).map(|number| format!("01EDIT{number:020}")).collect();
    for _ in 0..2000 {
        trail.append(&large);
    }
    let state = trail.state();
    assert!(state.lost > 500 && state.lost < 2000, "{state:?}");
    assert!(trail.ready().is_ok(), "requests are served meanwhile");
    fs::rename(&away, folder.path()).unwrap();
    until("it is written again", || trail.state().failing.is_none());
    trail.close();
    let report = folder.verify();
    assert_eq!((report.faults, report.lost), (Vec::new(), state.lost));
    let lost = folder.lines().into_iter().find(|line| line.record.event == AuditEvent::Lost).unwrap();
    assert_eq!(lost.record.count, Some(state.lost));
}
