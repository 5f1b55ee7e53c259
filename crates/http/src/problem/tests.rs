use super::*;

const ALL: [ProblemKind; 26] = [
    ProblemKind::Malformed,
    ProblemKind::Unsupported,
    ProblemKind::Unauthorized,
    ProblemKind::Forbidden,
    ProblemKind::NotFound,
    ProblemKind::MethodNotAllowed,
    ProblemKind::RequestTimeout,
    ProblemKind::Conflict,
    ProblemKind::Contradicted,
    ProblemKind::OtherVersion,
    ProblemKind::TooLarge,
    ProblemKind::UnsupportedMediaType,
    ProblemKind::Invalid,
    ProblemKind::QueueFull,
    ProblemKind::TooManyAttempts,
    ProblemKind::RateLimited,
    ProblemKind::Internal,
    ProblemKind::Upstream,
    ProblemKind::Overloaded,
    ProblemKind::NotReady,
    ProblemKind::Damaged,
    ProblemKind::StorageFull,
    ProblemKind::Erased,
    ProblemKind::HeadTooLarge,
    ProblemKind::Unwritable,
    ProblemKind::DeadlineExceeded,
];

#[test]
fn the_table_of_statuses_types_and_titles() {
    let rows: Vec<String> = ALL
        .iter()
        .map(|kind| {
            let (status, slug, title) = kind.row();
            format!("{} {slug}: {title}", status.as_u16())
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
    let mut slugs: Vec<&str> = ALL.iter().map(|kind| kind.row().1).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), ALL.len());
}

#[test]
fn details_stay_short() {
    let problem = Problem::invalid("/question", "é".repeat(100_000));
    assert_eq!(problem.body().detail.chars().count(), DETAIL_CHARS + 1);
    assert_eq!(problem.body().errors[0].detail.chars().count(), DETAIL_CHARS + 1);
}
