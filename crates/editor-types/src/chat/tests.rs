use super::*;

fn picture() -> ChatPart {
    ChatPart::Image(ImageSource::from(bytes::Bytes::from_static(b"x")))
}

fn text(text: &str) -> ChatPart {
    ChatPart::Text(text.to_owned())
}

#[test]
fn retrieval_is_about_the_last_picture() {
    let turn = |content| ChatTurn { role: Role::User, content };
    let request = |turns| ChatRequest {
        warnings: Vec::new(),
        turns,
        continues: false,
        choices: Vec::new(),
        form: None,
        max_tokens: None,
        max_thinking_tokens: None,
        decoding: Decoding::default(),
        retrieval: RetrievalOverride::default(),
        compare: false,
    };
    let two = request(vec![turn(vec![picture(), text("a"), picture()]), turn(vec![text("b")])]);
    assert_eq!(two.subject(), Some((0, 2)));
    assert_eq!(request(vec![turn(vec![text("b")])]).subject(), None);
}
