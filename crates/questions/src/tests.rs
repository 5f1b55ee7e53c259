use reasonedit_codebook::store::{self, StoreKind};
use reasonedit_codebook::{CodebookConfig, Library};

use super::*;

fn library(folder: &std::path::Path) -> Library {
    let store = store::open(StoreKind::Sled, folder).unwrap();
    Library::open(store, CodebookConfig::default()).unwrap()
}

fn name(text: &str) -> CodebookName {
    text.parse().unwrap()
}

fn question(n: u64, codebook: &str) -> KeptQuestion {
    let vector: Arc<[f32]> = [n as f32, 0.1, f32::MIN_POSITIVE].into();
    KeptQuestion {
        id: Ulid::from_parts(1_700_000_000_000 + n, u128::from(n)),
        codebook: name(codebook),
        at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(n as i64),
        image: ImageId::of(&[n as u8 % 3]),
        question: format!("Question {n} of Mrs Adams?"),
        choices: vec!["yes".to_owned(), "no".to_owned()],
        expected: n.is_multiple_of(2).then(|| "yes".to_owned()),
        key: Some(QuestionKey { generation: GenerationId(Ulid::from_parts(1, 2)), vector }),
    }
}

fn ids(kept: &[Arc<KeptQuestion>]) -> Vec<u64> {
    kept.iter().map(|one| one.id.timestamp_ms() - 1_700_000_000_000).collect()
}

#[test]
fn questions_last_and_go_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let library = self::library(folder.path());
    let table = KeptQuestions::open(&library, "canaries", 9).unwrap();
    for n in 1..=4 {
        assert!(table.put(question(n, if n == 3 { "ward-3" } else { "default" })).unwrap().is_empty());
    }
    let key = QuestionKey { generation: GenerationId(Ulid::from_parts(7, 7)), vector: [2.5f32].into() };
    table.put_key(question(2, "default").id, key.clone()).unwrap();
    assert_eq!(table.remove(question(4, "default").id).unwrap().as_deref(), Some(&question(4, "default")));
    assert_eq!(table.remove(question(4, "default").id).unwrap(), None);
    drop((table, library));

    let library = self::library(folder.path());
    let table = KeptQuestions::open(&library, "canaries", 9).unwrap();
    let kept = table.of(&name("default"));
    assert_eq!(*kept[0], question(1, "default"));
    assert_eq!(*kept[1], KeptQuestion { key: Some(key), ..question(2, "default") });
    assert_eq!((kept.len(), table.has(&name("ward-3")), table.has(&name("ward-4"))), (2, true, false));
    assert!(table.about(question(3, "ward-3").image) && !table.about(ImageId::of(b"other")));
    assert_eq!(KeptQuestions::open(&library, "log", 9).unwrap().of(&name("default")), []);
    let gone = table.remove_where(|one| one.image == question(1, "default").image).unwrap();
    assert_eq!(ids(&gone), [1]);
    drop((table, library));

    let library = self::library(folder.path());
    let table = KeptQuestions::open(&library, "canaries", 9).unwrap();
    assert_eq!((ids(&table.of(&name("default"))), ids(&table.of(&name("ward-3")))), (vec![2], vec![3]));
    // What people asked lies nowhere in the open.
    drop((table, library));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(path).unwrap();
            assert!(!bytes.windows(5).any(|window| window == b"Adams"));
        }
    }
}

#[test]
fn the_same_stands_once_and_the_oldest_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path());
    let table = KeptQuestions::open(&library, "log", 3).unwrap();
    for n in 1..=3 {
        table.put(question(n, "default")).unwrap();
    }
    assert_eq!(ids(&table.put(question(4, "default")).unwrap()), [1]);
    // Another codebook has room of its own.
    assert!(table.put(question(5, "ward-3")).unwrap().is_empty());
    let again = KeptQuestion { id: question(6, "default").id, ..question(3, "default") };
    assert_eq!(ids(&table.put(again).unwrap()), [3]);
    assert_eq!(ids(&table.of(&name("default"))), [2, 4, 6]);
    let none = KeptQuestions::open(&library, "none", 0).unwrap();
    none.put(question(1, "default")).unwrap();
    none.put(question(2, "default")).unwrap();
    assert_eq!(ids(&none.of(&name("default"))), [2], "the last one stands until the next");
}

#[test]
fn what_is_half_written_is_no_question() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path());
    let journal = library.journal("log");
    let (half, whole) = (question(1, "default"), question(2, "default"));
    journal.put(half.id, 1, &[0; 20]).unwrap();
    row::write(&journal, &whole).unwrap();
    journal.put(whole.id, 1, &[0; 19]).unwrap();
    let table = KeptQuestions::open(&library, "log", 3).unwrap();
    assert_eq!(table.of(&name("default")), [Arc::new(KeptQuestion { key: None, ..whole })]);
    assert_eq!(journal.get(half.id, 1).unwrap(), None, "nothing of it is left");
}
