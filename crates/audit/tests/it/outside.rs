//! Lines of programs beside the service.

use std::path::Path;
use std::time::{Duration, Instant};

use reasonedit_audit::{
    AuditCaller, AuditConfig, AuditEvent, AuditFilter, AuditOutcome, AuditReader, AuditRecord, AuditTrail,
    add,
};

fn command(what: &str) -> AuditRecord {
    AuditRecord {
        event: AuditEvent::Command,
        caller: Some(AuditCaller::Cli { name: "ada".to_owned() }),
        outcome: Some(AuditOutcome::Answered),
        detail: Some(what.to_owned()),
        ..AuditRecord::default()
    }
}

/// The events of the trail, the oldest first, and what commands they name.
fn told(folder: &Path) -> Vec<String> {
    let reader = AuditReader::new(folder);
    let report = reader.verify(None).unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    let page = reader.page(&AuditFilter::default(), None, 100).unwrap();
    let lines = page.lines.into_iter().rev().map(|line| line.record);
    lines
        .map(|record| {
            record
                .detail
                .filter(|_| record.event == AuditEvent::Command)
                .unwrap_or_else(|| record.event.name().to_owned())
        })
        .collect()
}

fn left(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("inbox")).map_or(0, Iterator::count)
}

#[test]
fn a_command_adds_its_line_where_no_service_runs() {
    let place = tempfile::tempdir().unwrap();
    let (folder, config) = (place.path().join("audit"), AuditConfig::default());
    add(&folder, &config, &command("keys rotate")).unwrap();
    AuditTrail::open(&folder, &config).unwrap().close();
    add(&folder, &config, &command("codebook export")).unwrap();
    assert_eq!(told(&folder), ["keys rotate", "opened", "closed", "codebook export"]);
    let off = AuditConfig { enabled: false, ..config };
    add(&folder, &off, &command("codebook import")).unwrap();
    assert_eq!(told(&folder).len(), 4);
}

#[test]
fn a_service_takes_in_what_commands_leave_beside_it() {
    let place = tempfile::tempdir().unwrap();
    let (folder, config) = (place.path().join("audit"), AuditConfig::default());
    let trail = AuditTrail::open(&folder, &config).unwrap();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (folder, config) = (&folder, &config);
            scope.spawn(move || {
                for _ in 0..10 {
                    add(folder, config, &command(&format!("command {number}"))).unwrap();
                }
            });
        }
    });
    let began = Instant::now();
    while left(&folder) > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "{} lines are left", left(&folder));
        std::thread::sleep(Duration::from_millis(20));
    }
    trail.close();
    let told = told(&folder);
    assert_eq!(told.len(), 2 + 40, "{told:?}");
    assert_eq!(told.iter().filter(|line| *line == "command 3").count(), 10);
}

#[test]
fn what_was_left_to_a_service_that_died_is_taken_in_by_the_next() {
    let place = tempfile::tempdir().unwrap();
    let (folder, config) = (place.path().join("audit"), AuditConfig::default());
    AuditTrail::open(&folder, &config).unwrap().close();
    let inbox = folder.join("inbox");
    std::fs::create_dir(&inbox).unwrap();
    std::fs::write(inbox.join("1-1.json"), serde_json::to_vec(&command("token create")).unwrap()).unwrap();
    // What a killed command had begun, and what nobody here wrote.
    std::fs::write(inbox.join(".audit-x"), b"{").unwrap();
    std::fs::write(inbox.join("2-1.json"), b"{").unwrap();
    let trail = AuditTrail::open(&folder, &config).unwrap();
    trail.flush().unwrap();
    trail.close();
    assert_eq!(told(&folder), ["opened", "closed", "opened", "token create", "closed"]);
    assert_eq!(left(&folder), 2);
}
