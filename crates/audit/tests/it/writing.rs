//! What is written is there, in order, for its owner alone, and is read and handed out.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use reasonedit_audit::{
    AuditConfig, AuditError, AuditEvent, AuditFaultKind, AuditFilter, AuditFormat, AuditReader, AuditRecord,
    AuditTrail, AuditWait, CSV_HEADER, moment,
};
use time::OffsetDateTime;

use crate::folder::{Folder, age, append_and_wait, request};

#[test]
fn lines_of_many_threads_are_one_chain() {
    let folder = Folder::new();
    let trail = folder.open();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let trail = trail.clone();
            scope.spawn(move || {
                for number in 0..200 {
                    trail.append(&request(thread * 1000 + number));
                }
            });
        }
    });
    trail.flush().unwrap();
    assert_eq!(folder.lines().len(), 1601, "they are read while it is written");
    assert_eq!(folder.verify().faults, []);
    trail.close();
    let lines = folder.lines();
    assert_eq!(lines.len(), 1602);
    assert!(lines.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq && pair[0].at <= pair[1].at));
    assert_eq!((lines[0].record.event, lines[1601].record.event), (AuditEvent::Opened, AuditEvent::Closed));
    let report = folder.verify();
    assert_eq!((report.lines, report.first, report.faults), (1602, Some(1), Vec::new()));
    assert_eq!(report.head.unwrap().seq, 1602);
}

#[test]
fn what_was_waited_for_is_on_the_disk_and_the_rest_within_a_second() {
    let folder = Folder::new();
    let trail = folder.open();
    append_and_wait(&trail, &request(1), AuditWait::Synced).unwrap();
    assert_eq!(folder.reader().head().unwrap().unwrap().seq, 2);
    append_and_wait(&trail, &request(2), AuditWait::Written).unwrap();
    let begun = Instant::now();
    while folder.reader().head().unwrap().unwrap().seq < 3 {
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
#[test]
fn files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::closed(1);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path()), 0o700);
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn one_process_writes_at_a_time_and_the_next_goes_on() {
    let folder = Folder::new();
    let trail = folder.open();
    let second = AuditTrail::open(&folder.path(), &AuditConfig::default());
    assert!(matches!(second, Err(AuditError::InUse(_))), "{second:?}");
    drop(trail);
    for _ in 0..3 {
        let trail = folder.open();
        trail.append(&request(7));
        drop(trail);
    }
    let report = folder.verify();
    assert_eq!((report.lines, report.faults), (2 + 3 * 3, Vec::new()));
}

#[test]
fn pages_lead_through_the_trail_and_filters_hold() {
    let folder = Folder::closed(25);
    let reader = folder.reader();
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page = reader.page(&AuditFilter::default(), before, 10).unwrap();
        seen.extend(page.lines.iter().map(|line| line.seq));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=27).rev().collect::<Vec<u64>>());
    let count = |filter: AuditFilter| reader.page(&filter, None, 100).unwrap().lines.len();
    let of = |change: fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        change(&mut filter);
        filter
    };
    assert_eq!(count(of(|filter| filter.caller = Some("Dr. Ada".to_owned()))), 25);
    assert_eq!(count(of(|filter| filter.caller = Some("01TOKEN3".to_owned()))), 1);
    assert_eq!(count(of(|filter| filter.caller = Some("Ada".to_owned()))), 0);
    assert_eq!(count(of(|filter| filter.caller = Some("token".to_owned()))), 0);
    assert_eq!(count(of(|filter| filter.edit = Some("01EDIT7".to_owned()))), 1);
    assert_eq!(count(of(|filter| filter.edit = Some("01EDIT".to_owned()))), 0, "whole ids");
    assert_eq!(count(of(|filter| filter.image = Some(format!("{:064x}", 12)))), 1);
    assert_eq!(count(of(|filter| filter.codebook = Some("ward-3".to_owned()))), 12);
    assert_eq!(count(of(|filter| filter.from = Some(moment("2020-01-01", false).unwrap()))), 27);
    assert_eq!(count(of(|filter| filter.to = Some(moment("2020-01-01", true).unwrap()))), 0);
    let now = OffsetDateTime::now_utc() + time::Duration::seconds(1);
    assert_eq!(count(AuditFilter { to: Some(now), ..AuditFilter::default() }), 27);
    assert_eq!(count(AuditFilter { from: Some(now), ..AuditFilter::default() }), 0);
}

#[test]
fn it_is_handed_out_as_it_stands_and_as_a_table() {
    let folder = Folder::closed(3);
    let mut out = Vec::new();
    let count = folder.reader().export(&AuditFilter::default(), AuditFormat::Lines, &mut out).unwrap();
    assert_eq!((count, &out), (5, &fs::read(folder.file()).unwrap()));
    let mut out = Vec::new();
    let filter = AuditFilter { edit: Some("01EDIT1".to_owned()), ..AuditFilter::default() };
    folder.reader().export(&filter, AuditFormat::Csv, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let rows: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!((rows.len(), rows[0]), (2, CSV_HEADER.trim_end()));
    assert!(
        rows[1].contains(",request,token,01TOKEN1,Dr. Ada,,reader,192.0.2.1,GET,/edits/{id},200,answered,")
    );
    // Where there is no trail there is nothing.
    let nowhere = AuditReader::new(&folder.path().join("nowhere"));
    assert_eq!(nowhere.export(&AuditFilter::default(), AuditFormat::Lines, &mut Vec::new()).unwrap(), 0);
    assert_eq!(nowhere.verify(None).unwrap().lines, 0);
}

#[test]
fn old_files_go_and_what_is_left_is_verified_from_there() {
    let folder = Folder::closed(3);
    age(&folder, "2020-01-01");
    let keeping = AuditConfig { keep_days: 30, ..AuditConfig::default() };
    let trail = AuditTrail::open(&folder.path(), &keeping).unwrap();
    append_and_wait(&trail, &request(9), AuditWait::Synced).unwrap();
    trail.close();
    assert!(!folder.path().join("2020-01-01.jsonl").exists());
    let report = folder.verify();
    assert_eq!((report.files, report.first), (1, Some(6)));
    assert_eq!(report.faults, []);
    let told: Vec<AuditEvent> = folder.lines().iter().map(|line| line.record.event).collect();
    assert!(told.contains(&AuditEvent::Pruned), "{told:?}");

    // Nobody else removes a beginning and is believed.
    let text = fs::read_to_string(folder.file()).unwrap();
    let cut: Vec<&str> = text.lines().skip(2).collect();
    fs::write(folder.file(), cut.join("\n") + "\n").unwrap();
    assert_eq!(folder.verify().faults[0].kind, AuditFaultKind::NoBeginning);
    let anchor = folder.path().join("anchor.json");
    let third: serde_json::Value = serde_json::from_str(cut[0]).unwrap();
    let (seq, prev) = (third["seq"].as_u64().unwrap() - 1, third["prev"].as_str().unwrap());
    let forged = format!(r#"{{"seq":{seq},"hash":"{prev}","before":"2020-02-02"}}"#);
    fs::write(anchor, forged).unwrap();
    assert!(folder.verify().faults.iter().any(|fault| fault.detail.contains("removed its beginning")));
}

#[test]
fn refused_requests_are_few_lines() {
    let folder = Folder::new();
    let trail = folder.open();
    let refused = AuditRecord { status: Some(401), ..request(0) };
    for _ in 0..10_000 {
        trail.refused(refused.clone());
    }
    trail.close();
    let lines = folder.lines();
    assert_eq!(lines.len(), 2 + 10 + 1);
    assert_eq!(lines[11].record.count, Some(9990));
    assert_eq!(folder.verify().faults, []);
}

#[test]
fn a_file_that_is_taken_away_while_it_is_written_is_found_missing() {
    let folder = Folder::new();
    let trail = folder.open();
    append_and_wait(&trail, &request(1), AuditWait::Synced).unwrap();
    fs::remove_file(folder.file()).unwrap();
    append_and_wait(&trail, &request(2), AuditWait::Synced).unwrap();
    trail.close();
    let report = folder.verify();
    assert_eq!(report.lines, 2, "{report:?}");
    assert_eq!(report.fault_count, 1, "{report:?}");
}

#[test]
fn a_file_that_others_write_to_is_found_out() {
    let folder = Folder::new();
    let trail = folder.open();
    append_and_wait(&trail, &request(1), AuditWait::Synced).unwrap();
    let mut other = fs::OpenOptions::new().append(true).open(folder.file()).unwrap();
    other.write_all(b"{\"seq\":3}\n").unwrap();
    append_and_wait(&trail, &request(2), AuditWait::Synced).unwrap();
    trail.close();
    assert!(folder.verify().fault_count > 0);
}
