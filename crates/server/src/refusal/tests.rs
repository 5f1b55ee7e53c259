use super::*;

#[test]
fn only_empty_answers_of_hyper_are_replaced() {
    let empty = |status: &str| {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n")
    };
    let told = in_place_of(empty("400 Bad Request").as_bytes()).unwrap();
    let told = std::str::from_utf8(&told).unwrap();
    assert!(
        told.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"),
        "{told}"
    );
    assert!(told.contains("urn:reasonedit:problem:malformed"), "{told}");
    for status in ["414 URI Too Long", "431 Request Header Fields Too Large"] {
        let told = in_place_of(empty(status).as_bytes()).unwrap();
        assert!(told.starts_with(b"HTTP/1.1 431 "), "{status}");
    }
    for other in [
        empty("200 OK"),
        empty("404 Not Found"),
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\n".to_owned(),
        empty("400 Bad Request") + "more",
        empty("400 Bad Request") + &empty("400 Bad Request"),
        "HTTP/1.1 400 Bad".to_owned(),
        String::new(),
    ] {
        assert_eq!(in_place_of(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn too_many_connections_are_told_when_to_come_again() {
    let told = too_many_connections();
    let told = std::str::from_utf8(&told).unwrap();
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: 1\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
}
