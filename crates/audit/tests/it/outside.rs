//! Lines of programs beside the service.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use reasonedit_audit::{
    AuditCaller, AuditConfig, AuditEvent, AuditFailurePolicy, AuditFaultKind, AuditFilter, AuditOutcome,
    AuditReader, AuditRecord, AuditTrail, add, begin,
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

/// Another process that has the trail and doesn't write.
fn hanging(folder: &Path) -> File {
    std::fs::create_dir_all(folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

fn refusing() -> AuditConfig {
    AuditConfig { on_failure: AuditFailurePolicy::Refuse, ..AuditConfig::default() }
}

#[test]
fn a_line_is_in_the_trail_when_it_was_added_also_beside_others() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("audit");
    let trail = AuditTrail::open(&folder, &AuditConfig::default()).unwrap();
    for (number, config) in [AuditConfig::default(), refusing()].iter().enumerate() {
        begin(&folder, config, &command("token list")).unwrap();
        add(&folder, config, &command("token list")).unwrap();
        assert_eq!(told(&folder).len(), 1 + 2 * (number + 1), "nothing is closed, and they are there");
    }
    trail.close();
    drop(trail);
    // Who has the trail goes without having taken it in.
    let lock = hanging(&folder);
    std::thread::scope(|scope| {
        let beginning = scope.spawn(|| begin(&folder, &refusing(), &command("audit export")));
        while left(&folder) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!told(&folder).contains(&"audit export".to_owned()));
        drop(lock);
        beginning.join().unwrap().unwrap();
    });
    assert_eq!(told(&folder).last().unwrap(), "audit export");
    assert_eq!(left(&folder), 0);
}

#[test]
fn a_line_that_nobody_takes_in_is_refused_or_waits_as_the_settings_say() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("audit");
    let lock = hanging(&folder);
    let failed = |done: reasonedit_audit::Result<()>| done.unwrap_err().to_string();
    assert!(failed(begin(&folder, &refusing(), &command("refused"))).contains("not take the line in"));
    assert_eq!(left(&folder), 0, "nothing was done, and nothing is to be told");
    assert!(failed(begin(&folder, &AuditConfig::default(), &command("begun"))).contains("not take"));
    // What was done is to be told, whatever the settings.
    assert!(failed(add(&folder, &refusing(), &command("done"))).contains("not take"));
    assert_eq!((left(&folder), AuditReader::new(&folder).verify(None).unwrap().waiting), (2, 2));
    drop(lock);
    add(&folder, &AuditConfig::default(), &command("another")).unwrap();
    assert_eq!(told(&folder), ["begun", "done", "another"]);
    assert_eq!((left(&folder), AuditReader::new(&folder).verify(None).unwrap().waiting), (0, 0));
}

#[test]
fn a_command_without_an_outcome_is_counted() {
    let place = tempfile::tempdir().unwrap();
    let (folder, config) = (place.path().join("audit"), AuditConfig::default());
    let of = |id: &str, outcome| AuditRecord {
        request_id: Some(id.to_owned()),
        outcome,
        ..command("codebook export")
    };
    add(&folder, &config, &command("of before, with its outcome alone")).unwrap();
    for (id, outcome) in [("1", None), ("2", None), ("1", Some(AuditOutcome::Failed))] {
        add(&folder, &config, &of(id, outcome)).unwrap();
    }
    let report = AuditReader::new(&folder).verify(None).unwrap();
    assert_eq!((report.fault_count, report.lines, report.unended), (0, 4, 1));
    add(&folder, &config, &of("2", Some(AuditOutcome::Answered))).unwrap();
    assert_eq!(AuditReader::new(&folder).verify(None).unwrap().unended, 0);
}

#[test]
fn what_was_left_to_a_service_that_died_is_taken_in_by_the_next() {
    let place = tempfile::tempdir().unwrap();
    let (folder, config) = (place.path().join("audit"), AuditConfig::default());
    AuditTrail::open(&folder, &config).unwrap().close();
    let inbox = folder.join("inbox");
    std::fs::create_dir(&inbox).unwrap();
    std::fs::write(inbox.join("1-1.json"), serde_json::to_vec(&command("token create")).unwrap()).unwrap();
    let trail = AuditTrail::open(&folder, &config).unwrap();
    trail.flush().unwrap();
    trail.close();
    assert_eq!(told(&folder), ["opened", "closed", "opened", "token create", "closed"]);
    assert_eq!(left(&folder), 0);
}

#[test]
fn what_killed_processes_were_writing_is_removed_and_lines_are_not() {
    let whole = serde_json::to_vec(&command("token revoke")).unwrap();
    for by_a_service in [true, false] {
        let place = tempfile::tempdir().unwrap();
        let (folder, config) = (place.path().join("audit"), AuditConfig::default());
        add(&folder, &config, &command("token create")).unwrap();
        let inbox = folder.join("inbox");
        std::fs::create_dir(&inbox).unwrap();
        std::fs::write(inbox.join(".audit-cut"), &whole[..whole.len() - 1]).unwrap();
        std::fs::write(inbox.join(".audit-none"), b"").unwrap();
        // Killed before it had its name.
        std::fs::write(inbox.join(".audit-whole"), &whole).unwrap();
        std::fs::write(folder.join(".audit-anchor"), b"{\"seq\":").unwrap();
        // Whole, of a later version: it could be a line.
        let later = br#"{"event":"of_later","caller":{"kind":"cli","name":"ada"},"detail":"x"}"#;
        std::fs::write(inbox.join(".audit-later"), later).unwrap();
        // One that is at work.
        let live = File::create(inbox.join(".audit-live")).unwrap();
        live.lock().unwrap();
        assert_eq!(AuditReader::new(&folder).verify(None).unwrap().faults, [], "they go by themselves");
        let expected = if by_a_service {
            AuditTrail::open(&folder, &config).unwrap().close();
            vec!["token create", "opened", "token revoke", "closed"]
        } else {
            add(&folder, &config, &command("token list")).unwrap();
            vec!["token create", "token revoke", "token list"]
        };
        let named = AuditReader::new(&folder).verify(None).unwrap().faults;
        assert!(named.len() == 1 && named[0].kind == AuditFaultKind::NotTaken, "{named:?}");
        let later = folder.join(named[0].file.as_ref().unwrap());
        assert!(std::fs::read_to_string(&later).unwrap().contains("of_later"));
        std::fs::remove_file(later).unwrap();
        assert_eq!(told(&folder), expected);
        let names = |folder: &Path| {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            entries.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
        };
        let (here, beside): (Vec<String>, Vec<String>) = (names(&inbox), names(&folder));
        assert_eq!((here, beside), (vec![".audit-live".to_owned()], Vec::new()));
        assert_eq!(left(&folder), 1);
    }
}

#[test]
fn what_no_command_left_stays_and_is_named() {
    let place = tempfile::tempdir().unwrap();
    let (folder, config) = (place.path().join("audit"), AuditConfig::default());
    add(&folder, &config, &command("token create")).unwrap();
    let inbox = folder.join("inbox");
    std::fs::create_dir_all(inbox.join("4-1.json")).unwrap();
    std::fs::write(inbox.join("1-1.json"), b"{").unwrap();
    // A line of a request that nobody made, and an object of something else.
    std::fs::write(inbox.join("2-1.json"), b"{\"status\":200}").unwrap();
    std::fs::write(inbox.join("3-1.json"), vec![b' '; 2 << 20]).unwrap();
    std::fs::write(inbox.join("notes.txt"), b"to do").unwrap();
    std::fs::write(inbox.join("5-1.json"), serde_json::to_vec(&command("token revoke")).unwrap()).unwrap();
    let named = || {
        let report = AuditReader::new(&folder).verify(None).unwrap();
        assert!(report.faults.iter().all(|fault| fault.kind == AuditFaultKind::NotTaken), "{report:?}");
        (report.waiting, report.faults.into_iter().filter_map(|fault| fault.file).collect::<Vec<_>>())
    };
    let all = ["1-1.json", "2-1.json", "3-1.json", "4-1.json", "notes.txt"].map(|n| format!("inbox/{n}"));
    assert_eq!(named(), (1, all.to_vec()));
    AuditTrail::open(&folder, &config).unwrap().close();
    add(&folder, &config, &command("token list")).unwrap();
    assert_eq!(named(), (0, all.to_vec()), "the line was taken in");
    assert_eq!(left(&folder), 5);
    std::fs::remove_dir_all(&inbox).unwrap();
    assert_eq!(told(&folder), ["token create", "opened", "token revoke", "closed", "token list"]);
}

#[test]
fn what_is_left_long_after_the_last_is_taken_in_too() {
    let place = tempfile::tempdir().unwrap();
    let (folder, config) = (place.path().join("audit"), AuditConfig::default());
    let trail = AuditTrail::open(&folder, &config).unwrap();
    std::fs::create_dir_all(folder.join("inbox")).unwrap();
    std::fs::write(folder.join("inbox/notes.txt"), b"to do").unwrap();
    for _ in 0..2 {
        // The folder is not read again by then.
        std::thread::sleep(Duration::from_secs(3));
        let began = Instant::now();
        begin(&folder, &refusing(), &command("token list")).unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    std::fs::remove_file(folder.join("inbox/notes.txt")).unwrap();
    trail.close();
    assert_eq!(told(&folder), ["opened", "token list", "token list", "closed"]);
}
