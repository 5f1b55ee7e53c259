use reasonedit_inference::prompt::PromptSettings;

use super::*;
use crate::types::ImageSource;

fn picture() -> ChatPart {
    ChatPart::Image(ImageSource::from(bytes::Bytes::from_static(b"x")))
}

fn text(text: &str) -> ChatPart {
    ChatPart::Text(text.to_owned())
}

fn said(text: &str) -> ContentPart {
    ContentPart::Text(text.to_owned())
}

#[test]
fn a_picture_alone_stands_ahead_and_several_where_they_were() {
    assert_eq!(parts(&[text("a"), picture(), text("b")]), [ContentPart::Image, said("a\nb")]);
    assert_eq!(parts(&[picture()]), [ContentPart::Image]);
    assert_eq!(
        parts(&[text("first"), picture(), text("second"), text("x"), picture()]),
        [said("first"), ContentPart::Image, said("second\nx"), ContentPart::Image]
    );
}

#[test]
fn instructions_at_the_beginning_become_one() {
    let turn = |role, content| ChatTurn { role, content };
    let turns = [
        turn(Role::System, vec![text("Be brief.")]),
        turn(Role::System, vec![text("Say"), text("please.")]),
        turn(Role::User, vec![text("Hello")]),
        turn(Role::System, vec![text("Later")]),
    ];
    let messages = messages(&turns);
    assert_eq!(messages[0].content, [said("Be brief.\n\nSay\nplease.")]);
    assert_eq!(messages.iter().map(|m| m.role).collect::<Vec<_>>(), [Role::System, Role::User, Role::System]);
}

#[test]
fn facts_stand_in_front_of_the_last_turn_alone() {
    let before = vec![ChatMessage { role: Role::User, content: vec![said("Hello")] }];
    let last = vec![said("What is it? "), ContentPart::Image, said("And this?")];
    let chat = PreparedChat { pictures: Vec::new(), before, last, after: Vec::new(), begun: String::new() };
    let messages = chat.with(["A is b.", "C is d."]).messages;
    assert_eq!(messages[0].content, [said("Hello")]);
    assert_eq!(
        messages[1].content,
        [said("A is b. C is d. What is it?"), ContentPart::Image, said("And this?")]
    );
}

#[test]
fn retrieval_is_about_the_last_picture_and_what_was_said_last() {
    let shown = |shade: u8| {
        let pixels = reasonedit_imaging::RgbImage::from_pixel(8, 8, image::Rgb([shade; 3]));
        DecodedPicture::plain(reasonedit_codebook::ImageId([shade; 32]), std::sync::Arc::new(pixels))
    };
    let question = PreparedChat::question(shown(1), " What is it? ");
    let (about, said) = question.subject().unwrap();
    assert_eq!((about.id.0[0], said.as_str()), (1, " What is it? "));
    assert_eq!(asked_text(&question.with(["A is b."])), "A is b. What is it?");
    assert!(PreparedChat::question(shown(1), " ").subject().is_none(), "a key is of both");

    let turn = |role, content| ChatTurn { role, content };
    let turns = [
        turn(Role::User, vec![text("Is it"), picture(), text("dark?")]),
        turn(Role::Assistant, vec![text("No.")]),
        turn(Role::User, vec![picture()]),
    ];
    let chat = PreparedChat::new(&turns, false, vec![shown(1), shown(2)]).unwrap();
    let (about, said) = chat.subject().unwrap();
    assert_eq!((about.id.0[0], said.as_str()), (2, "Is it\ndark?"));
    let blind = PreparedChat::new(&turns[..1], false, Vec::new()).unwrap();
    assert!(blind.subject().is_none());
}

/// A tokenizer whose template knows instructions at the beginning alone, and no pictures unless
/// `pictures`.
fn tokenizer(pictures: bool) -> PromptTokenizer {
    const TEMPLATE: &str = "{% for m in messages %}{% if loop.first or m.role != 'system' %}<|im_start|>{{ m.role }}\n\
        {% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}{% if c.type == 'image' %}<|image_pad|>\
        {% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endif %}{% endfor %}\
        {% if messages | length > 6 %}{{ raise_exception('so long') }}{% endif %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let json = include_bytes!("../../../models/tests/goldens/qwen3_vl-1/tokenizer.json");
    let parsed: serde_json::Value = serde_json::from_slice(json).unwrap();
    let added = parsed["added_tokens"].as_array().unwrap();
    let id = |name: &str| added.iter().find(|t| t["content"] == name).unwrap()["id"].as_u64().unwrap() as u32;
    let settings = PromptSettings {
        chat_template: TEMPLATE.to_owned(),
        image_token: pictures.then(|| id("<|image_pad|>")),
        stop_tokens: vec![id("<|im_end|>")],
        ..PromptSettings::default()
    };
    PromptTokenizer::new(json, settings).unwrap()
}

#[test]
fn what_the_model_cant_be_told_is_refused() {
    let message = |role, text: &str| ChatMessage { role, content: vec![said(text)] };
    let asked = |messages: &[ChatMessage], limit| {
        let messages = messages.to_vec();
        let conversation = Conversation { messages, ..Conversation::default() };
        check_template(&conversation, &tokenizer(true), limit).map_err(|error| error.to_string())
    };
    let turns = [
        message(Role::System, " Be brief.\n"),
        message(Role::User, "Hello <|im_end|>"),
        message(Role::Assistant, ""),
        message(Role::User, "Hello"),
    ];
    assert_eq!(asked(&turns, 512), Ok(()));
    assert!(asked(&turns, 20).unwrap_err().contains("more than the limit of 20"));
    let mut late = turns.clone();
    late.swap(0, 1);
    assert!(asked(&late, 512).unwrap_err().contains("leaves a turn out"));
    let long = [&turns[..], &turns[..]].concat();
    assert!(asked(&long, 512).unwrap_err().contains("doesn't take these turns"));

    let pixels = std::sync::Arc::new(reasonedit_imaging::RgbImage::new(8, 8));
    let id = reasonedit_codebook::ImageId([0; 32]);
    let chat = PreparedChat::question(DecodedPicture::plain(id, pixels), "What is it?");
    assert!(check_template(&chat.with([]), &tokenizer(true), 512).is_ok());
    let blind = check_template(&chat.with([]), &tokenizer(false), 512).unwrap_err().to_string();
    assert!(blind.contains("reads text only"), "{blind}");
}
