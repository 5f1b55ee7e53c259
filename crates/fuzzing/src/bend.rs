//! JSON that is nearly right: bytes that say what is wrong with it.

use reasonedit_resilience::tree_bytes;
use serde_json::{Map, Number, Value, json};

use crate::input::Input;

/// Most changes to one document.
const CHANGES: usize = 8;
/// Bytes of a document's tree from which on it doesn't grow: copies of copies of copies would have no end,
/// and what the targets themselves take would hide what is called.
const LARGE: usize = 512 << 10;
/// Texts that mean something somewhere, or have cost somebody an evening.
const TEXTS: [&str; 20] = [
    "",
    " ",
    "\0",
    "null",
    "-1",
    "1e999",
    "NaN",
    "../../etc/passwd",
    "http://127.0.0.1/",
    "https://[::ffff:10.0.0.1]/a.png",
    "data:image/png;base64,",
    "data:text/plain,abc",
    "<|im_end|><|vision_start|>",
    "{{ messages }}{% for a in b %}",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59.999999999+23:59",
    "\u{202e}\u{feff}\u{fffd}",
    "e\u{301}\u{301}\u{301}\u{301}",
    "\u{1f469}\u{200d}\u{1f469}",
    "00000000000000000000000000",
];

/// The document after the changes that the bytes name.
pub(crate) fn bent(document: &Value, input: &mut Input<'_>) -> Value {
    let mut document = document.clone();
    for _ in 0..CHANGES {
        if input.0.is_empty() {
            break;
        }
        if weight(&document) > LARGE {
            break;
        }
        let all = pointers(&document);
        let at = &all[usize::from(input.u16()) % all.len()];
        change(&mut document, at, &all, input);
    }
    document
}

/// The same, as bytes; an odd first byte says that the rest stands for itself.
pub(crate) fn body(documents: &[Value], data: &[u8]) -> Vec<u8> {
    let mut input = Input(data);
    let kind = input.byte();
    if kind & 1 == 1 {
        return input.0.to_vec();
    }
    let document = &documents[usize::from(kind >> 1) % documents.len()];
    bent(document, &mut input).to_string().into_bytes()
}

fn weight(document: &Value) -> usize {
    tree_bytes(document.to_string().as_bytes()) as usize
}

fn pointers(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), document)];
    while let Some((at, value)) = open.pop() {
        match value {
            Value::Array(items) => {
                open.extend(items.iter().enumerate().map(|(n, item)| (format!("{at}/{n}"), item)));
            }
            Value::Object(fields) => {
                let name = |key: &str| key.replace('~', "~0").replace('/', "~1");
                open.extend(fields.iter().map(|(key, item)| (format!("{at}/{}", name(key)), item)));
            }
            _ => {}
        }
        found.push(at);
    }
    found
}

fn change(document: &mut Value, at: &str, all: &[String], input: &mut Input<'_>) {
    let how = input.byte() % 16;
    if how == 0 {
        remove(document, at);
        return;
    }
    let other = document.pointer(&all[usize::from(input.byte()) % all.len()]).cloned();
    let Some(place) = document.pointer_mut(at) else { return };
    match how {
        1 => *place = Value::Null,
        2 => *place = json!(input.byte() & 1 == 1),
        3 => *place = number(input),
        4 => *place = json!(input.pick(&TEXTS)),
        5 => *place = json!(String::from_utf8_lossy(input.short(64))),
        6 => {
            let (many, piece) = (usize::from(input.byte()), input.short(16));
            *place = json!(String::from_utf8_lossy(piece).repeat(many));
        }
        7 => *place = json!([]),
        8 => *place = json!({}),
        9 => {
            for _ in 0..input.byte() {
                *place =
                    if input.byte() & 1 == 0 { json!([place.take()]) } else { json!({"a": place.take()}) };
            }
        }
        10 => {
            let most = LARGE / weight(place);
            let many = usize::from(input.byte()).min(most);
            *place = Value::Array((0..many).map(|_| place.clone()).collect());
        }
        11 => *place = other.unwrap_or(Value::Null),
        12 => {
            let (name, value) = (String::from_utf8_lossy(input.short(16)).into_owned(), number(input));
            match place {
                Value::Object(fields) => drop(fields.insert(name, value)),
                Value::Array(items) => items.push(json!(name)),
                other => *other = json!({name: value}),
            }
        }
        _ => match place {
            Value::String(text) => {
                let mut cut = usize::from(input.byte()).min(text.len());
                while !text.is_char_boundary(cut) {
                    cut -= 1;
                }
                text.insert_str(cut, &String::from_utf8_lossy(input.short(24)));
            }
            Value::Array(items) => {
                if let Some(first) = items.first().cloned() {
                    items.push(first);
                }
            }
            Value::Object(fields) => {
                let renamed: Map<String, Value> = std::mem::take(fields)
                    .into_iter()
                    .map(
                        |(key, value)| {
                            if input.byte() & 3 == 3 { (key.to_uppercase(), value) } else { (key, value) }
                        },
                    )
                    .collect();
                *fields = renamed;
            }
            other => *other = number(input),
        },
    }
}

fn number(input: &mut Input<'_>) -> Value {
    match input.byte() % 8 {
        0 => json!(0),
        1 => json!(-1),
        2 => json!(i64::MIN),
        3 => json!(u64::MAX),
        4 => json!(input.u16()),
        5 => json!(f64::MAX),
        6 => Number::from_f64(input.f64()).map_or(Value::Null, Value::Number),
        _ => json!(f64::from(input.u16()) / 256.0),
    }
}

fn remove(document: &mut Value, at: &str) {
    let Some((parent, name)) = at.rsplit_once('/') else { return };
    let name = name.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&name)),
        Some(Value::Array(items)) => {
            if let Some(at) = name.parse::<usize>().ok().filter(|at| *at < items.len()) {
                items.remove(at);
            }
        }
        _ => {}
    }
}
