//! Lines as rows of a table.

use crate::line::told;
use crate::record::{AuditCaller, AuditLine, AuditOutcome};

/// The first row.
pub const CSV_HEADER: &str = "seq,at,event,caller_kind,caller_id,caller_name,issuer,role,address,method,route,\
     status,outcome,request_id,codebook,whole,edits,images,jobs,tokens,more,count,detail,hash\r\n";

/// A line as a row (RFC 4180).
pub(crate) fn row(line: &AuditLine) -> String {
    let record = &line.record;
    let caller = record.caller.as_ref();
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let cells = [
        line.seq.to_string(),
        told(line.at),
        record.event.name().to_owned(),
        text(caller.map(AuditCaller::kind)),
        text(caller.and_then(AuditCaller::id)),
        text(caller.and_then(AuditCaller::name)),
        text(caller.and_then(AuditCaller::issuer)),
        text(record.role.as_deref()),
        record.address.map(|address| address.to_string()).unwrap_or_default(),
        text(record.method.as_deref()),
        text(record.route.as_deref()),
        number(record.status.map(u64::from)),
        text(record.outcome.map(AuditOutcome::name)),
        text(record.request_id.as_deref()),
        text(record.codebook.as_deref()),
        if record.whole { "true".to_owned() } else { String::new() },
        record.edits.join(" "),
        record.images.join(" "),
        record.jobs.join(" "),
        record.tokens.join(" "),
        number(Some(record.more).filter(|more| *more > 0)),
        number(record.count),
        text(record.detail.as_deref()),
        line.hash.clone(),
    ];
    cells.map(|cell| quoted(&cell)).join(",") + "\r\n"
}

/// A cell. One that a spreadsheet would compute begins with an apostrophe: nobody's name is a formula.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        assert_eq!(quoted("Dr. Ada"), "Dr. Ada");
        assert_eq!(quoted("Ada, \"the\" first"), "\"Ada, \"\"the\"\" first\"");
        assert_eq!(quoted("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(quoted("@x,1"), "\"'@x,1\"");
    }

    #[test]
    fn every_row_has_the_cells_of_the_first() {
        let text =
            r#"{"seq":1,"at":"2026-11-30T09:00:00Z","event":"opened","detail":"x","prev":"","hash":"ab"}"#;
        let line: AuditLine = serde_json::from_str(text).unwrap();
        assert_eq!(row(&line).matches(',').count(), CSV_HEADER.matches(',').count());
        assert!(row(&line).starts_with("1,2026-11-30T09:00:00.000000Z,opened,,"), "{}", row(&line));
    }
}
