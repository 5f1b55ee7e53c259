//! Bodies of requests: JSON and forms.

use std::sync::LazyLock;

use bytes::Bytes;
use futures::executor::block_on;
use reasonedit_api::query::QueryInput;
use reasonedit_dto::backup::BackupRequestDto;
use reasonedit_dto::edit_input::{AmendInput, EditInput};
use reasonedit_dto::evidence::EvidenceInput;
use reasonedit_dto::job::BatchLineDto;
use reasonedit_dto::modularity::ModularityRequestDto;
use reasonedit_dto::token::{SignInCodeInput, TokenInput};
use reasonedit_http::json::from_slice;
use reasonedit_http::multipart::{FormBody, parse};
use reasonedit_http::problem::{Problem, Result};
use reasonedit_resilience::tree_bytes;
use serde_json::{Value, json};

use crate::bend;
use crate::input::Input;
use crate::limits::{MIB, peak};

/// Bytes that a body may have here.
const LONGEST: usize = MIB;
/// Bytes beside a tree: its text in other characters, texts that were moved into fields, and what is fixed.
const COPIES: usize = 4;
const BESIDE: usize = 64 << 10;
/// Bytes of what is told of a refusal, beside what it repeats of the request.
const TOLD: usize = 2000;

/// Bodies of every kind as they should be.
static BODIES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let image = json!({"data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="});
    vec![
        json!({
            "image": image, "question": "What is it?", "answer": "a square", "choices": ["a square", "a circle"],
            "reasoning": [
                "It has four sides.",
                {"statement": "They are equal.", "evidence": [{"x": 1, "y": 2.5, "width": -3, "height": 4}]},
            ],
            "author": "a", "tags": ["b"], "metadata": {"c": [1, {"d": null}]}, "verify": false,
            "supersedes": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"], "on_conflict": "keep_both",
        }),
        json!({"image": {"id": "00"}, "question": "q", "answer": "a", "reasoning": "One. Two.\n- three"}),
        json!({
            "image": {"url": "https://example.org/a.png"}, "question": "What is it?", "choices": ["a", "b"],
            "compare": true, "explain": true, "max_tokens": 3, "max_thinking_tokens": 4,
            "stream": false, "retrieval": {"k": 5, "enabled": true, "verify": true, "reject_percentile": 10},
        }),
        json!({"image": {"data": "data:image/png;base64,AAAA"}, "statements": ["It is.", "It was."]}),
        json!({
            "samples": 20, "runs": 10, "weight_samples": 10, "weight_runs": 10, "mismatched": 20, "pooling": ["mean", "last"],
            "taps": ["vision.1", "language.2"], "weights": [0.1, 1, 100], "source": "codebook", "apply": "if_better", "seed": 7,
        }),
        json!({"taps": "all", "apply": "never"}),
        json!({"name": "ward", "role": "contributor", "codebooks": ["a", "b"], "expires_at": "2030-01-01T00:00:00Z"}),
        json!({"check": true}),
        json!({"code": "a", "code_verifier": "b", "redirect_uri": "http://localhost/"}),
        json!({
            "answer": "a circle", "reasoning": ["It is round."], "tags": ["b"], "metadata": {"c": 1}, "author": "a",
            "verify": false,
        }),
        json!({"line": 1, "status": 201, "edit": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "problem": null}),
    ]
});

/// What a refusal may say: a problem of the client's, in a few words.
fn refused(problem: &Problem, length: usize) {
    let told = serde_json::to_string(&problem.body()).expect("a problem is JSON").len();
    assert!(problem.status().is_client_error(), "{:?} for a body of {length} bytes", problem.status());
    assert!(told <= TOLD + 8 * length, "{told} bytes about a body of {length}");
}

fn read<T>(result: Result<T>, length: usize) -> Option<T> {
    result.inspect_err(|problem| refused(problem, length)).ok()
}

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&BODIES);
}

/// Every JSON body as its type; white space around it changes nothing.
pub(crate) fn json(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let bytes = bend::body(&BODIES, input.0);
    match kind % 9 {
        0 => as_json::<EditInput>(&bytes),
        1 => as_json::<QueryInput>(&bytes),
        2 => as_json::<EvidenceInput>(&bytes),
        3 => as_json::<ModularityRequestDto>(&bytes),
        4 => as_json::<TokenInput>(&bytes),
        5 => as_json::<BackupRequestDto>(&bytes),
        6 => as_json::<SignInCodeInput>(&bytes),
        7 => as_json::<AmendInput>(&bytes),
        _ => as_json::<BatchLineDto>(&bytes),
    }
}

fn as_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) {
    let mut could = false;
    let taken = peak(|| could = read(from_slice::<T>(bytes), bytes.len()).is_some());
    // Of UTF-16 there is the same in UTF-8 too.
    let most = tree_bytes(bytes) as usize + COPIES * bytes.len() + BESIDE;
    assert!(taken <= most, "{taken} bytes of memory for a body of {}, told were {most}", bytes.len());
    if !bytes.starts_with(&[0xff]) && !bytes.starts_with(&[0xfe]) && !bytes.starts_with(&[0xef]) {
        let wide = [b" \r\n", bytes, b"\t "].concat();
        assert_eq!(could, from_slice::<T>(&wide).is_ok(), "white space around a body changes what it is");
    }
}

/// A form as a body; and the values of a form that is well made.
pub(crate) fn multipart(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    match kind % 3 {
        0 => form::<EditInput>(kind, input),
        1 => form::<QueryInput>(kind, input),
        _ => form::<EvidenceInput>(kind, input),
    }
}

fn form<T: FormBody>(kind: u8, mut input: Input<'_>) {
    let (content_type, bytes) = if kind & 0x80 == 0 {
        ("multipart/form-data; boundary=XX".to_owned(), written::<T>(&mut input))
    } else {
        let line = input.short(120);
        (format!("multipart/form-data; {}", String::from_utf8_lossy(line)), input.0.to_vec())
    };
    let length = bytes.len() + content_type.len();
    drop(read(block_on(parse::<T>(&content_type, Bytes::from(bytes))), length));
}

/// A form of parts of the names that the body knows, and of others.
fn written<T: FormBody>(input: &mut Input<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let names: Vec<&str> =
        T::FIELDS.iter().map(|(name, _)| *name).chain([T::FILE.name, "_charset_", "other"]).collect();
    while !input.0.is_empty() && out.len() < LONGEST {
        let name = input.pick(&names);
        let name = match input.byte() % 8 {
            0 => format!("{name}[]"),
            1 => format!("{name}[{}]", input.byte()),
            2 => format!("{name}[{}][evidence]", input.byte()),
            3 => format!("{name}.{}.statement", input.byte()),
            _ => name.to_owned(),
        };
        let file = input.pick(&["", "", "; filename=\"a.png\"", "; filename=\"\"", "; filename*=UTF-8''%41"]);
        let kind = input.pick(&[
            "",
            "Content-Type: application/json\r\n",
            "Content-Type: image/png\r\n",
            "Content-Type: text/plain; charset=utf-16\r\n",
            "Content-Type: text/plain; charset=iso-8859-1\r\n",
            "Content-Transfer-Encoding: base64\r\n",
            "Content-Transfer-Encoding: quoted-printable\r\n",
        ]);
        let value = input.short(255);
        out.extend(
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n{kind}\r\n")
                .into_bytes(),
        );
        out.extend(value);
        out.extend(b"\r\n");
    }
    out.extend(b"--XX--\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a target bends has to be right before, or it would fuzz nothing but refusals.
    #[test]
    fn every_good_body_is_taken() {
        fn taken<T: serde::de::DeserializeOwned>(at: usize) {
            let bytes = BODIES[at].to_string();
            let read = from_slice::<T>(bytes.as_bytes());
            assert!(read.is_ok(), "{bytes}: {:?}", read.err().map(|problem| problem.body()));
        }
        taken::<EditInput>(0);
        taken::<EditInput>(1);
        taken::<QueryInput>(2);
        taken::<EvidenceInput>(3);
        taken::<ModularityRequestDto>(4);
        taken::<ModularityRequestDto>(5);
        taken::<TokenInput>(6);
        taken::<BackupRequestDto>(7);
        taken::<SignInCodeInput>(8);
        taken::<AmendInput>(9);
        taken::<BatchLineDto>(10);
    }
}
