use proptest::prelude::*;
use reasonedit_codebook::{
    CodebookConfig, EditId, EditRecord, Embedding, EntryKind, Generation, GenerationId, ImageId, Member,
    MemberId, MemoryStore,
};
use serde_json::json;

use super::*;
use crate::config::{EventKind, SigningSecret};

const BOOKS: [&str; 3] = ["default", "skin", "ward-3"];

fn library(store: &Arc<MemoryStore>) -> Arc<Library> {
    Arc::new(Library::open(Arc::clone(store) as Arc<_>, CodebookConfig::default()).unwrap())
}

fn edit_id(number: u64) -> EditId {
    EditId(Ulid::from_parts(1_700_000_000_000 + number, 0))
}

fn edit(library: &Library, book: &str, number: u64) {
    let embedding = Embedding {
        id: GenerationId(Ulid::from_parts(1, 1)),
        model_fingerprint: "model".to_owned(),
        tap: "vision.0".to_owned(),
        pooling: "mean".to_owned(),
        lambda: 1.0,
        encoder_fingerprint: "encoder".to_owned(),
        vision_dim: 1,
        sentence_dim: 1,
        pixels: reasonedit_imaging::PixelRules::CURRENT,
        seeds: reasonedit_editor::Seeds::CURRENT,
    };
    let id = edit_id(number);
    let record: EditRecord = serde_json::from_value(json!({
        "id": id, "created_at": "2026-11-20T08:00:00Z", "image": {"id": ImageId([0; 32]), "width": 1, "height": 1},
        "question": "What is it?", "answer": "a square", "choices": [], "reasoning": [], "author": null, "tags": [],
        "metadata": {}, "embedding": embedding.id, "before": null, "timings_ms": {}, "idempotency": null,
    }))
    .unwrap();
    let member = Member {
        id: MemberId::derive(id, 0),
        edit: id,
        ordinal: 0,
        kind: EntryKind::Answer,
        statement: None,
        image: ImageId([0; 32]),
        area: None,
        sentence: "It is a square.".to_owned(),
        key: vec![number as f32, 0.0],
        radius: 0.1,
    };
    let generation = Generation { embedding, chosen: false };
    let book = library.get_or_create(&book.parse().unwrap()).unwrap();
    book.apply(record, vec![member], &generation).unwrap();
}

/// A receiver of the books whose bits are set; of all if all are.
fn endpoints(mask: u8) -> BTreeMap<String, EndpointConfig> {
    let mut endpoint = EndpointConfig::new("https://hooks.example.org/in", SigningSecret::new("whsec_"));
    if mask != 7 {
        let taken = BOOKS.iter().enumerate().filter(|(bit, _)| mask & 1 << bit != 0);
        endpoint.codebooks = taken.map(|(_, book)| book.parse().unwrap()).collect();
    }
    // None at all can't be said by a list: then there is no receiver.
    (mask != 0).then(|| ("audit".to_owned(), endpoint)).into_iter().collect()
}

#[test]
fn what_nobody_wants_is_passed_over() {
    let library = library(&Arc::default());
    let book = library.get_or_create(&"skin".parse().unwrap()).unwrap();
    for number in 0..300 {
        edit(&library, "skin", number);
    }
    book.revert(edit_id(7)).unwrap();
    let mut config = endpoints(7).remove("audit").unwrap();
    config.events = vec![EventKind::EditReverted];
    let Next::Message(300, message) = look(&book, &config, 3).unwrap() else { panic!("the revert is found") };
    assert!(String::from_utf8_lossy(&message.body).contains(&edit_id(7).to_string()));
    assert!(matches!(look(&book, &config, 301).unwrap(), Next::Nothing(301)));
    config.events = vec![EventKind::SelectionApplied];
    assert!(matches!(look(&book, &config, 0).unwrap(), Next::Nothing(301)));
    // Whoever asks, it is the same message.
    config.events = Vec::new();
    let id = |config: &EndpointConfig, from| match look(&book, config, from).unwrap() {
        Next::Message(_, message) => message.id,
        Next::Nothing(_) => String::new(),
    };
    let first = id(&config, 0);
    config.texts = true;
    assert_eq!(id(&config, 0), first);
    assert_ne!(id(&config, 1), first);

    // Whoever is late is told of what was erased, and of nothing that it said.
    let made = id(&config, 8);
    book.erase(edit_id(8), Some("Dr. Ada")).unwrap();
    let Next::Message(8, message) = look(&book, &config, 8).unwrap() else { panic!("it was made") };
    let body = String::from_utf8_lossy(&message.body).into_owned();
    assert!(
        message.id == made && body.contains(&edit_id(8).to_string()) && !body.contains("question"),
        "{body}"
    );
    config.events = vec![EventKind::EditErased];
    let Next::Message(302, message) = look(&book, &config, 0).unwrap() else { panic!("it was erased") };
    assert!(String::from_utf8_lossy(&message.body).contains("\"edit.erased\""));
}

#[test]
fn places_of_before_are_read_as_they_were_written() {
    let library = library(&Arc::default());
    for number in 0..5 {
        edit(&library, "skin", number);
    }
    let endpoints = endpoints(7);
    let address = blake3::hash(endpoints["audit"].url.as_bytes()).to_hex().to_string();
    // Byte for byte as the first version wrote them.
    let receiver = format!(r#"{{"row":"receiver","endpoint":"audit","codebooks":[],"address":"{address}"}}"#);
    let place = r#"{"row":"place","endpoint":"audit","codebook":"skin","next":3}"#;
    let journal = library.journal(TABLE);
    for bytes in [receiver.as_str(), place] {
        let row: Row = serde_json::from_str(bytes).unwrap();
        assert_eq!(serde_json::to_string(&row).unwrap(), bytes);
        journal.put(row.id(), 0, bytes.as_bytes()).unwrap();
    }
    let kept = take_up(&library, &endpoints).unwrap();
    assert_eq!(kept["audit"].places[&"skin".parse().unwrap()].next, 3, "it goes on where it was");
}

#[test]
fn what_a_later_version_wrote_is_not_written_over() {
    let library = library(&Arc::default());
    library.journal(TABLE).put(Ulid::new(), 0, br#"{"row": "ledger", "endpoint": "audit"}"#).unwrap();
    assert!(matches!(take_up(&library, &endpoints(7)), Err(OutboxError::Row(_))));
    assert_eq!(library.journal(TABLE).all().unwrap().len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Edit(usize),
    Told(usize),
    Restart(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize).prop_map(Step::Edit),
        4 => (0..3usize).prop_map(Step::Told),
        2 => (0..8u8).prop_map(Step::Restart),
    ]
}

proptest! {
    /// Every event that falls into a time in which the receiver was told about its codebook is told once, in
    /// order, and no other.
    #[test]
    fn each_event_is_told_once_while_the_receiver_is_there(first in 0..8u8, steps in prop::collection::vec(step(), 0..60)) {
        let store = Arc::new(MemoryStore::new());
        let mut library = library(&store);
        let (mut mask, mut kept) = (first, take_up(&library, &endpoints(first)).unwrap());
        // For each book: events there are, those to be told, those told.
        let mut events = [0u64; 3];
        let mut owed: [Vec<u64>; 3] = Default::default();
        let mut told: [Vec<u64>; 3] = Default::default();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Edit(at) => {
                    edit(&library, BOOKS[at], number);
                    number += 1;
                    if mask & 1 << at != 0 {
                        owed[at].push(events[at]);
                    }
                    events[at] += 1;
                }
                Step::Told(at) => {
                    let (Some(kept), name) = (kept.get_mut("audit"), BOOKS[at].parse().unwrap()) else { continue };
                    let config = &endpoints(mask)["audit"];
                    let Ok(book) = library.get(&name) else { continue };
                    if !about(&config.codebooks, &name) {
                        continue;
                    }
                    let place = kept.places.entry(name.clone()).or_insert_with(|| kept.outbox.place(&name, 0));
                    if let Next::Message(event, _) = look(&book, config, place.next).unwrap() {
                        told[at].push(event);
                        place.next = event + 1;
                        kept.outbox.keep(place).unwrap();
                    }
                }
                Step::Restart(next) => {
                    library = self::library(&store);
                    kept = take_up(&library, &endpoints(next)).unwrap();
                    // What was owed to a receiver that is no longer told is forgotten.
                    for at in (0..3).filter(|at| next & 1 << at == 0) {
                        owed[at].retain(|event| told[at].contains(event));
                    }
                    mask = next;
                }
            }
        }
        for at in 0..3 {
            prop_assert_eq!(&owed[at][..told[at].len()], &told[at][..], "{}", BOOKS[at]);
            let pending = kept.get("audit").and_then(|kept| {
                let name: CodebookName = BOOKS[at].parse().unwrap();
                (mask & 1 << at != 0).then(|| kept.places.get(&name).map_or(0, |place| place.next))
            });
            if let Some(next) = pending {
                let left: Vec<u64> = (next..events[at]).collect();
                prop_assert_eq!(&owed[at][told[at].len()..], &left[..], "{}", BOOKS[at]);
            }
        }
    }
}
