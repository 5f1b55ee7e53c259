use proptest::prelude::*;
use reasonedit_codebook::{CodebookConfig, CodebookName, EditId, Library, MemoryStore};

use super::*;

fn library() -> Library {
    Library::open(Arc::new(MemoryStore::new()), CodebookConfig::default()).unwrap()
}

fn edit(n: u8) -> EditId {
    EditId::from_bytes([n; 16])
}

fn word(answer: &str, by: Option<&str>, edits: &[u8], verdict: FeedbackVerdict) -> NewFeedback {
    NewFeedback {
        codebook: CodebookName::default(),
        answer: answer.to_owned(),
        edits: edits.iter().copied().map(edit).collect(),
        verdict,
        by: by.map(str::to_owned),
    }
}

const AGREE: FeedbackVerdict = FeedbackVerdict::Agree;
const DISAGREE: FeedbackVerdict = FeedbackVerdict::Disagree;

#[test]
fn a_person_has_one_word_on_an_answer() {
    let library = library();
    let log = FeedbackLog::open(&library).unwrap();
    let name = CodebookName::default();
    let FeedbackOutcome::New(first) = log.give(word("a", Some("Ada"), &[1, 2, 1], AGREE)).unwrap() else {
        panic!("it is the first");
    };
    assert_eq!(first.edits, [edit(1), edit(2)]);
    let FeedbackOutcome::Changed(second) = log.give(word("a", Some("Ada"), &[2, 3], DISAGREE)).unwrap()
    else {
        panic!("it is the second");
    };
    assert_eq!((second.id, log.list(&FeedbackFilter::default(), None, 9).unwrap().0.len()), (first.id, 1));
    let tally = |n| log.of_edit(&name, edit(n));
    assert_eq!(tally(1), FeedbackTally::default());
    assert_eq!(tally(2), FeedbackTally { agree: 0, disagree: 1 });
    // Another person, another answer, nobody known.
    for (answer, by) in [("a", Some("Grace")), ("b", Some("Ada")), ("a", None)] {
        assert!(matches!(log.give(word(answer, by, &[2], AGREE)).unwrap(), FeedbackOutcome::New(_)));
    }
    assert_eq!(tally(2), FeedbackTally { agree: 3, disagree: 1 });
    log.take_back(second.id).unwrap();
    assert!(matches!(log.take_back(second.id), Err(FeedbackError::Unknown(id)) if id == second.id));
    assert_eq!(tally(2), FeedbackTally { agree: 3, disagree: 0 });
    assert_eq!(log.tallies(&name).len(), 1);
}

#[test]
fn pages_are_newest_first_and_filtered() {
    let log = FeedbackLog::open(&library()).unwrap();
    for n in 0..7u8 {
        let verdict = if n % 2 == 0 { AGREE } else { DISAGREE };
        log.give(word(&n.to_string(), None, &[n % 3], verdict)).unwrap();
    }
    let answers = |filter: &FeedbackFilter, cursor, limit| {
        let (page, next) = log.list(filter, cursor, limit).unwrap();
        (page.iter().map(|word| word.answer.clone()).collect::<String>(), next)
    };
    let (first, next) = answers(&FeedbackFilter::default(), None, 4);
    assert_eq!((first.as_str(), next.is_some()), ("6543", true));
    assert_eq!(answers(&FeedbackFilter::default(), next, 4), ("210".to_owned(), None));
    let disagreed = FeedbackFilter { verdict: Some(DISAGREE), ..FeedbackFilter::default() };
    assert_eq!(answers(&disagreed, None, 9).0, "531");
    let of_edit = FeedbackFilter { edit: Some(edit(0)), ..FeedbackFilter::default() };
    assert_eq!(answers(&of_edit, None, 9).0, "630");
    let elsewhere = FeedbackFilter { codebook: Some("ward-3".parse().unwrap()), ..FeedbackFilter::default() };
    assert_eq!(answers(&elsewhere, None, 9).0, "");
}

#[test]
fn what_names_no_answer_is_refused() {
    let log = FeedbackLog::open(&library()).unwrap();
    let long = "a".repeat(129);
    for answer in ["", "a\nb", long.as_str()] {
        let refused = log.give(word(answer, None, &[], AGREE));
        assert!(matches!(refused, Err(FeedbackError::Invalid { pointer: "/answer_id", .. })), "{answer}");
    }
    let edits: Vec<EditId> =
        (0..257u16).map(|n| EditId::from_bytes([n.to_le_bytes(); 8].concat().try_into().unwrap())).collect();
    let refused = log.give(NewFeedback { edits, ..word("a", None, &[], AGREE) });
    assert!(matches!(refused, Err(FeedbackError::Invalid { pointer: "/edits", .. })));
    assert!(log.list(&FeedbackFilter::default(), None, 9).unwrap().0.is_empty());
}

proptest! {
    /// Whatever was said, changed and taken back: what is known after a start is what is known before it, and
    /// what the words that are left add up to.
    #[test]
    fn counts_are_those_of_the_words(
        steps in prop::collection::vec((0u8..4, 0u8..3, prop::collection::vec(0u8..4, 0..4), any::<bool>(), any::<bool>()), 0..40),
    ) {
        let library = library();
        let log = FeedbackLog::open(&library).unwrap();
        for (answer, by, edits, agrees, back) in steps {
            let by = ["", "Ada", "Grace"][usize::from(by)];
            let new = word(&answer.to_string(), Some(by).filter(|by| !by.is_empty()), &edits, if agrees { AGREE } else { DISAGREE });
            let (FeedbackOutcome::New(given) | FeedbackOutcome::Changed(given)) = log.give(new).unwrap();
            if back {
                log.take_back(given.id).unwrap();
            }
        }
        let name = CodebookName::default();
        let (words, _) = log.list(&FeedbackFilter::default(), None, usize::MAX).unwrap();
        let mut expected = BTreeMap::<EditId, FeedbackTally>::new();
        for word in &words {
            for edit in &word.edits {
                *expected.entry(*edit).or_default().count(word.verdict) += 1;
            }
        }
        prop_assert_eq!(&log.tallies(&name), &expected);
        let again = FeedbackLog::open(&library).unwrap();
        prop_assert_eq!(&again.tallies(&name), &expected);
        prop_assert_eq!(again.list(&FeedbackFilter::default(), None, usize::MAX).unwrap().0, words);
    }
}
