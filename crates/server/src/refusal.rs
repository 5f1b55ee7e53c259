//! Refusals on which no layer has a say: hyper answers what it can't read itself, and who has too many
//! connections is told before it has said anything.

use bytes::Bytes;
use reasonedit_http::problem::{PROBLEM_JSON, Problem, ProblemKind};

/// What hyper's own answers have in their heads.
const EMPTY: &str = "content-length: 0\r\n";

/// A problem document in place of one of hyper's own answers, which are empty; `None` if this is none.
/// Nothing may be under way on the connection, so that these bytes are of no other answer.
pub(crate) fn in_place_of(answer: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(answer).ok()?;
    let (status, rest) = text.strip_prefix("HTTP/1.1 ")?.split_once("\r\n")?;
    let whole = rest.ends_with("\r\n\r\n") && rest.matches("\r\n\r\n").count() == 1;
    if !whole || !rest.contains(EMPTY) {
        return None;
    }
    let problem = match status.get(..4)? {
        "400 " => Problem::new(ProblemKind::Malformed, "The head of the request is not HTTP."),
        // A path that is too long is a head that is.
        "414 " | "431 " => {
            Problem::new(ProblemKind::HeadTooLarge, "The head of the request is larger than is read.")
        }
        _ => return None,
    };
    Some(written(&problem))
}

/// What a client is told that has more connections than it may.
pub(crate) fn too_many_connections() -> Bytes {
    let detail = "Too many connections from this address (server.limits.connections_per_address).";
    written(&Problem::new(ProblemKind::Overloaded, detail))
}

/// A problem as HTTP/1.1 has it, the last answer of its connection.
fn written(problem: &Problem) -> Bytes {
    let body = serde_json::to_string(&problem.body()).unwrap_or_default();
    let retry = problem.wait().map(|wait| format!("retry-after: {}\r\n", wait.as_secs())).unwrap_or_default();
    let (status, length) = (problem.status(), body.len());
    Bytes::from(format!(
        "HTTP/1.1 {status}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {length}\r\n{retry}connection: close\r\n\r\n{body}"
    ))
}

#[cfg(test)]
mod tests;
