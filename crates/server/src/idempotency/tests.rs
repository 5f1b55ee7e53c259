use bytes::Bytes;
use reasonedit_editor::{ImageId, OnConflict, StatementInput};

use super::*;

fn request() -> EditRequest {
    EditRequest {
        warnings: Vec::new(),
        image: ImageSource::from(Bytes::from_static(b"png")),
        question: "q".to_owned(),
        answer: "a".to_owned(),
        reasoning: vec![StatementInput {
            statement: "s".to_owned(),
            evidence: vec![DrawnBox { x: 1.0, y: 2.0, width: 3.0, height: 4.0 }],
        }],
        choices: vec!["a".to_owned(), "b".to_owned()],
        author: None,
        tags: vec![],
        metadata: json!({"a": {"x": 1, "y": 2}, "b": 2}),
        verify: true,
        supersedes: Vec::new(),
        on_conflict: None,
        idempotency: None,
    }
}

#[test]
fn the_same_request_written_otherwise_has_the_same_digest() {
    let mut other = request();
    other.metadata = json!({"b": 2, "a": {"y": 2, "x": 1}});
    other.image = ImageSource::Known(ImageId(*blake3::hash(b"png").as_bytes()));
    assert_eq!(digest(&request(), None), digest(&other, None));
    assert_eq!(former_digest(&request(), None), former_digest(&other, None));
    other.question = "\u{200b}q\u{a0}".to_owned();
    other.author = Some("Jose\u{301}".to_owned());
    let mut composed = request();
    composed.author = Some("Jos\u{e9}".to_owned());
    assert_eq!(digest(&composed, None), digest(&other, None));
    assert_eq!(digest(&composed, Some("1. It is\u{a0}red.")), digest(&other, Some("1. It is red.")));
}

#[test]
fn what_was_sent_before_is_known_again() {
    // As stored by the last version that compared texts byte by byte.
    let of =
        |text: Option<&str>| blake3::Hash::from_bytes(former_digest(&request(), text)).to_hex().to_string();
    assert_eq!(of(None), "f77c5e679a954a86e725e274cd29b9201f6d9ea8e58c81dd04b69ee3a8d0042c");
    assert_eq!(
        of(Some("1. It is red. 2. See Abb. 3.")),
        "3386782db08cf6e40809eb45edca788478236d48bf6b0670991734fd6c4b46db"
    );
    let key = key_of(&headers(b"k"), &request(), None).unwrap().unwrap();
    assert_eq!(key.former, [former_digest(&request(), None)]);
    assert_ne!(key.body, key.former[0]);
}

fn headers(key: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(IDEMPOTENCY_KEY, axum::http::HeaderValue::from_bytes(key).unwrap());
    headers
}

#[test]
fn every_field_counts() {
    let changes: [fn(&mut EditRequest); 12] = [
        |r| r.image = ImageSource::from(Bytes::from_static(b"gif")),
        |r| r.question.push('?'),
        |r| r.answer.push('!'),
        |r| r.reasoning[0].statement.push('.'),
        |r| r.reasoning[0].evidence[0].x = 2.0,
        |r| r.choices.swap(0, 1),
        |r| r.author = Some(String::new()),
        |r| r.tags.push("t".to_owned()),
        |r| r.metadata["b"] = json!(3),
        |r| r.verify = false,
        |r| r.supersedes.push(EditId::from_bytes([1; 16])),
        |r| r.on_conflict = Some(OnConflict::KeepBoth),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut other = request();
        change(&mut other);
        assert_ne!(digest(&request(), None), digest(&other, None), "change {index}");
        if index < 10 {
            assert_ne!(former_digest(&request(), None), former_digest(&other, None), "change {index}");
        } else {
            let key = key_of(&headers(b"order 7"), &other, None).unwrap().unwrap();
            assert!(key.former.is_empty(), "no request of before said this");
        }
    }
}

#[test]
fn keys_are_checked() {
    let with = |key: &[u8]| key_of(&headers(key), &request(), None);
    assert_eq!(with(b"order 7").unwrap().unwrap().key, "order 7");
    assert_eq!(key_of(&HeaderMap::new(), &request(), None).unwrap(), None);
    for key in [&b""[..], b"\xff", &[b'x'; 256], b"a\tb"] {
        assert_eq!(with(key).unwrap_err().status().as_u16(), 400);
    }
}
