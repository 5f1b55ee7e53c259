//! One way in for bodies: no handler takes one but by the extractors of `http`, which read it within bounds.

use crate::tokens::{Kind, Token, tokens};
use crate::tree::{Tree, short};
use crate::{assert_seen, fail_if_any};

/// What axum itself reads a body with.
const BARE: [&str; 9] =
    ["Body", "Bytes", "Form", "Json", "Multipart", "RawForm", "RawBody", "Request", "String"];
/// Of those, what no function is given for another purpose.
const ONLY_BODIES: [&str; 5] = ["Form", "Json", "Multipart", "RawForm", "RawBody"];
/// What tells a handler from another function.
const OF_HANDLERS: [&str; 7] = ["CallerKey", "State", "Extension", "Query", "HeaderMap", "Deadline", "Path"];

/// A parameter: the identifiers of its type.
struct Parameter<'a> {
    types: Vec<&'a str>,
}

/// The tokens between the bracket at `open` and the one that closes it, and where that stands.
fn within(tokens: &[Token], open: usize) -> Option<(&[Token], usize)> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Sign('(' | '[' | '{') => depth += 1,
            Kind::Sign(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&tokens[open + 1..at], at));
        }
    }
    None
}

/// The parameters of a function.
fn parameters(tokens: &[Token]) -> Vec<Parameter<'_>> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Sign('(' | '[' | '{' | '<') => depth += 1,
            // Of an arrow.
            Kind::Sign('>') if at > 0 && tokens[at - 1].is('-') => {}
            Kind::Sign(')' | ']' | '}' | '>') => depth -= 1,
            Kind::Sign(',') if depth == 0 => {
                parts.push(&tokens[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[from..]);
    parts
        .into_iter()
        .filter_map(|part| {
            let mut depth = 0;
            let colon = part.iter().position(|token| {
                match token.kind {
                    Kind::Sign('(' | '{' | '<') => depth += 1,
                    Kind::Sign(')' | '}' | '>') => depth -= 1,
                    _ => {}
                }
                depth == 0 && token.is(':')
            })?;
            Some(Parameter { types: part[colon + 1..].iter().filter_map(Token::ident).collect() })
        })
        .collect()
}

/// The bare extractor that a parameter's type is, perhaps one that may fail.
fn bare<'a>(parameter: &Parameter<'a>) -> Option<&'a str> {
    let around = ["axum", "body", "bytes", "extract", "std", "string", "result", "Result", "Option"];
    parameter.types.iter().copied().find(|name| !around.contains(name)).filter(|name| BARE.contains(name))
}

fn other_ways_in(tree: &Tree) -> Vec<String> {
    let mut offenders = Vec::new();
    for (path, content) in tree.files() {
        let outside = tree.crate_of(path).is_some_and(|folder| short(folder) != "http");
        if !outside || !path.contains("/src/") || !path.ends_with(".rs") || path.ends_with("tests.rs") {
            continue;
        }
        let product = content.split("#[cfg(test)]").next().unwrap_or_default();
        if !product.contains("axum") {
            continue;
        }
        let tokens = tokens(product);
        for (at, token) in tokens.iter().enumerate() {
            if token.ident() == Some("FromRequest") {
                offenders.push(format!("{path}:{}: an extractor of its own", token.line));
            }
            if token.ident() != Some("fn") || at == 0 || tokens[at - 1].ident() != Some("async") {
                continue;
            }
            let open = tokens.iter().enumerate().skip(at).find(|(_, token)| token.is('('));
            let Some((inside, _)) = open.and_then(|(open, _)| within(&tokens, open)) else { continue };
            let parameters = parameters(inside);
            let is = |word: &str| parameters.iter().any(|p| p.types.contains(&word));
            // A layer passes the request on.
            if is("Next") {
                continue;
            }
            let handler = OF_HANDLERS.iter().any(|word| is(word));
            let name = tokens.get(at + 1).and_then(Token::ident).unwrap_or_default();
            for taken in parameters.iter().filter_map(bare) {
                if handler || ONLY_BODIES.contains(&taken) {
                    offenders.push(format!("{path}:{}: {name} takes a bare {taken}", token.line));
                }
            }
        }
    }
    offenders
}

#[test]
fn bodies_come_in_one_way() {
    fail_if_any("bodies taken otherwise than by `payload` of `http`", &other_ways_in(Tree::checkout()));
}

#[test]
fn another_way_in_is_seen() {
    // In halves, so that this file itself doesn't name it.
    let source = concat!(
        "use ax",
        "um::Json;
async fn a(State(state): State<AppState>, Json(body): Json<Input>) -> Json<Output> {}
async fn b(State(state): State<AppState>, request: Request) {}
async fn c(headers: HeaderMap, body: Result<Bytes, BytesRejection>) {}
async fn d(Form(body): Form<Input>) {}
async fn e(State(state): State<X>, request: Request, next: Next) -> Response {}
async fn f(State(state): State<X>, JsonPayload { value, .. }: JsonPayload<Input>) -> Json<Output> {}
async fn g(key: String, bytes: Bytes) {}
impl<S> FromRequest<S> for Own {}
#[cfg(test)] mod tests { async fn h(Json(body): Json<Input>) {} }"
    );
    let tree = Tree::of(&[
        ("crates/http/Cargo.toml", ""),
        ("crates/http/src/a.rs", source),
        ("crates/group/one/Cargo.toml", ""),
        ("crates/group/one/src/a.rs", source),
    ]);
    let expected = [
        "crates/group/one/src/a.rs:2: a takes a bare Json",
        "crates/group/one/src/a.rs:3: b takes a bare Request",
        "crates/group/one/src/a.rs:4: c takes a bare Bytes",
        "crates/group/one/src/a.rs:5: d takes a bare Form",
        "crates/group/one/src/a.rs:9: an extractor of its own",
    ];
    assert_seen(&other_ways_in(&tree), &expected);
}
