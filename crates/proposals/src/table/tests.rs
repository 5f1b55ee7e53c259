use reasonedit_codebook::CodebookConfig;
use reasonedit_codebook::store::{self, StoreKind};
use reasonedit_editor_types::StatementInput;
use reasonedit_imaging::DrawnBox;

use super::*;
use crate::RequestKey;

fn library(folder: &std::path::Path) -> Library {
    let store = store::open(StoreKind::Sled, folder).unwrap();
    Library::open(store, CodebookConfig::default()).unwrap()
}

fn name(text: &str) -> CodebookName {
    text.parse().unwrap()
}

fn by(name: &str, seen: &[usize]) -> Reviewer {
    Reviewer { name: Some(name.to_owned()), seen: (!seen.is_empty()).then(|| seen.to_vec()) }
}

fn content(answer: &str) -> ProposedContent {
    let area = DrawnBox { x: 1.5, y: 2.0, width: -3.0, height: 4.0 };
    ProposedContent {
        image: ImageId::of(answer.as_bytes()),
        question: "What has Mrs Adams?".to_owned(),
        answer: answer.to_owned(),
        reasoning: vec![StatementInput { statement: "It is round.".to_owned(), evidence: vec![area] }],
        choices: Vec::new(),
        tags: vec!["ward".to_owned()],
        metadata: serde_json::json!({"task": 7}),
        supersedes: Vec::new(),
        on_conflict: None,
        verify: true,
        warnings: Vec::new(),
    }
}

fn proposal(n: u64, codebook: &str, by: &str) -> Proposal {
    let at = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(n as i64);
    let by = Some(by.to_owned());
    Proposal {
        id: Ulid::from_parts(1_700_000_000_000 + n, u128::from(n)),
        codebook: name(codebook),
        by: by.clone(),
        author: Some("said".to_owned()),
        amends: None,
        newest: ProposedVersion { number: 1, at, by: by.clone(), content: content("a"), made_of: None },
        state: ProposalState::Waiting,
        steps: vec![ProposalStep { at, by, what: StepKind::Proposed, version: 1 }],
        idempotency: Some(RequestKey { key: format!("key {n}"), body: [n as u8; 32] }),
    }
}

fn ids(page: &[Arc<Proposal>]) -> Vec<u64> {
    page.iter().map(|one| one.id.timestamp_ms() - 1_700_000_000_000).collect()
}

#[test]
fn what_was_said_and_done_lasts_and_goes_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let book = name("default");
    let library = self::library(folder.path());
    let table = Proposals::open(&library).unwrap();
    for n in 1..=4 {
        table.put(proposal(n, if n == 3 { "ward-3" } else { "default" }, "kim"), 9).unwrap();
    }
    let one = (&book, proposal(1, "default", "kim").id);
    table.approve(one, &by("ada", &[1]), false).unwrap();
    let amended = table.amend(one, (content("b"), None), &by("lee", &[2])).unwrap();
    assert!(amended.approvals().is_empty() && amended.newest.number == 2);
    table.approve(one, &by("ada", &[]), false).unwrap();
    assert!(matches!(table.approve(one, &by("ada", &[]), false), Err(ProposalError::ApprovedBefore(_))));
    let two = (&book, proposal(2, "default", "kim").id);
    let blurred = Some("blurred".to_owned());
    table.close(two, blurred.clone(), &by("ada", &[1])).unwrap();
    let before: Vec<_> = table.list(&book, &ProposalFilter::default(), None, 9).0;
    drop((table, library));

    let library = self::library(folder.path());
    let table = Proposals::open(&library).unwrap();
    assert_eq!(table.list(&book, &ProposalFilter::default(), None, 9).0, before, "all of it");
    let read = table.get(&book, one.1).unwrap();
    assert_eq!(table.earlier(&read).unwrap()[0].content, content("a"), "what was before is kept");
    assert_eq!(read.approvals().iter().map(|given| given.by).collect::<Vec<_>>(), [Some("ada")]);
    let what: Vec<&StepKind> = read.steps.iter().map(|step| &step.what).collect();
    assert_eq!(what, [&StepKind::Proposed, &StepKind::Approved, &StepKind::Amended, &StepKind::Approved]);
    // Closed is closed, and other codebooks have others.
    assert!(matches!(table.close(two, blurred, &Reviewer::default()), Err(ProposalError::Closed { .. })));
    assert!(matches!(
        table.amend(two, (content("c"), None), &Reviewer::default()),
        Err(ProposalError::Closed { .. })
    ));
    assert!(matches!(table.get(&name("ward-3"), one.1), Err(ProposalError::Unknown(_))));
    assert_eq!(table.under_key(&book, "key 2").unwrap().id, two.1);
    assert!(table.under_key(&name("ward-3"), "key 2").is_none());
    assert!(table.about(content("b").image) && table.about(content("a").image));
    assert_eq!(ids(&table.find(|one| !one.approvals().is_empty())), [1]);
    assert_eq!(table.settle(&book, one.1).unwrap().state, ProposalState::Approved);
    assert_eq!(ids(&table.remove_where(|one| one.state != ProposalState::Waiting).unwrap()), [1, 2]);
    drop((table, library));

    let library = self::library(folder.path());
    let table = Proposals::open(&library).unwrap();
    assert_eq!(ids(&table.list(&book, &ProposalFilter::default(), None, 9).0), [4]);
    drop((table, library));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(path).unwrap();
            assert!(!bytes.windows(5).any(|window| window == b"Adams"), "it lies nowhere in the open");
        }
    }
}

#[test]
fn who_has_seen_another_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path());
    let (table, book) = (Proposals::open(&library).unwrap(), name("default"));
    let one = (&book, table.put(proposal(1, "default", "kim"), 9).unwrap().id);
    table.amend(one, (content("b"), None), &by("lee", &[1])).unwrap();
    let before = table.get(&book, one.1).unwrap();
    let other = |outcome: Result<Arc<Proposal>>| matches!(outcome, Err(ProposalError::OtherVersion(_)));
    assert!(other(table.amend(one, (content("c"), None), &by("ada", &[1]))));
    assert!(other(table.approve(one, &by("ada", &[1, 3]), false)));
    assert!(other(table.close(one, None, &Reviewer { seen: Some(Vec::new()), name: None })));
    assert_eq!(table.get(&book, one.1).unwrap(), before);
    // An approval whose edit could not be made is as if it had not been given.
    table.approve(one, &by("ada", &[2]), false).unwrap();
    table.unapprove(one, &by("lee", &[])).unwrap();
    assert_eq!(table.get(&book, one.1).unwrap().approvals().len(), 1, "somebody else's stays");
    table.unapprove(one, &by("ada", &[])).unwrap();
    assert_eq!(table.get(&book, one.1).unwrap(), before);
}

#[test]
fn lists_have_pages_and_a_codebook_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path());
    let (table, book) = (Proposals::open(&library).unwrap(), name("default"));
    for n in 1..=5 {
        let by = if n % 2 == 0 { "kim" } else { "lee" };
        table.put(proposal(n, "default", by), 5).unwrap();
    }
    assert!(matches!(table.put(proposal(6, "default", "kim"), 5), Err(ProposalError::TooMany(5))));
    table.put(proposal(7, "ward-3", "kim"), 5).unwrap();
    let all = ProposalFilter::default();
    let (page, next) = table.list(&book, &all, None, 2);
    assert_eq!((ids(&page), next), (vec![5, 4], Some(page[1].id)));
    let (page, next) = table.list(&book, &all, next, 3);
    assert_eq!((ids(&page), next), (vec![3, 2, 1], None));
    let of = |state, author: &str| ProposalFilter { state, author: Some(author.to_owned()) };
    assert_eq!(ids(&table.list(&book, &of(None, "kim"), None, 9).0), [4, 2]);
    assert_eq!(ids(&table.list(&book, &of(Some(ProposalState::Waiting), "said"), None, 9).0).len(), 5);
    assert!(table.list(&book, &of(Some(ProposalState::Approved), "kim"), None, 9).0.is_empty());
}

#[test]
fn a_version_without_its_head_was_never_said() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path());
    let (book, journal) = (name("default"), library.journal("proposals"));
    let whole = Proposals::open(&library).unwrap().put(proposal(1, "default", "kim"), 9).unwrap();
    let next = ProposedVersion { number: 2, content: content("b"), ..whole.newest.clone() };
    journal.put(whole.id, 2, &serde_json::to_vec(&next).unwrap()).unwrap();
    let half = proposal(2, "default", "kim");
    journal.put(half.id, 1, &serde_json::to_vec(&half.newest).unwrap()).unwrap();
    let table = Proposals::open(&library).unwrap();
    assert_eq!(table.list(&book, &ProposalFilter::default(), None, 9).0, [Arc::clone(&whole)]);
    assert!(matches!(table.get(&book, half.id), Err(ProposalError::Unknown(_))));
    let amended = table.amend((&book, whole.id), (content("c"), None), &Reviewer::default()).unwrap();
    assert_eq!(amended.newest.content, content("c"));
    assert_eq!(Proposals::open(&library).unwrap().get(&book, whole.id).unwrap(), amended);
}
