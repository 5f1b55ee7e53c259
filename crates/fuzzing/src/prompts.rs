//! Texts on their way to a model, and replies on their way back.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use reasonedit_models::prompt::{
    ChatMessage, ContentPart, PromptPiece, PromptSettings, PromptTokenizer, RenderedPrompt, ReplyPart,
    ReplySplitter, Role, ThinkingChoice, ThinkingForm, TokenStream, unfinished_length,
};
use serde_json::Value;

use crate::input::Input;
use crate::scratch;

/// A tokenizer of a checkpoint, and what of its prompts doesn't depend on texts.
struct Prompts {
    tokenizer: PromptTokenizer,
    control: Vec<u32>,
    pictures: bool,
}

const CHAT_ML: &str = "{%- for message in messages -%}\n    {{- '<|im_start|>' + message.role + '\\n' -}}\n    \
    {%- for content in message.content -%}\n        {%- if content.type == 'image' -%}\n            \
    {{- '<|vision_start|><|image_pad|><|vision_end|>' -}}\n        {%- else -%}\n            \
    {{- content.text -}}\n        {%- endif -%}\n    {%- endfor -%}\n    {{- '<|im_end|>\\n' -}}\n{%- endfor -%}\n\
    {%- if add_generation_prompt -%}\n    {{- '<|im_start|>assistant\\n' -}}\n{%- endif -%}\n";

fn file(path: &str) -> Vec<u8> {
    std::fs::read(scratch::of_workspace("crates/models/tests/goldens").join(path))
        .expect("a file of the tests")
}

fn prompts(
    folder: &str,
    image: Option<&str>,
    end: &str,
    template: Option<&str>,
    thinking: ThinkingChoice,
) -> Prompts {
    let bytes = file(&format!("{folder}/tokenizer.json"));
    let json: Value = serde_json::from_slice(&bytes).expect("JSON");
    let added = json["added_tokens"].as_array().expect("a list");
    let id = |name: &str| {
        let found =
            added.iter().find(|token| token["content"] == name).and_then(|token| token["id"].as_u64());
        found.expect("a token") as u32
    };
    let chat_template = template.map_or_else(
        || String::from_utf8(file(&format!("{folder}/chat_template.jinja"))).expect("a text"),
        str::to_owned,
    );
    let settings = PromptSettings {
        chat_template,
        special_tokens: BTreeMap::from([("eos_token".to_owned(), end.to_owned())]),
        image_token: image.map(id),
        stop_tokens: vec![id(end)],
        thinking,
    };
    let control =
        added.iter().filter(|token| token["special"] == true).filter_map(|token| token["id"].as_u64());
    let control = control.map(|id| id as u32).collect();
    let tokenizer = PromptTokenizer::new(&bytes, settings).expect("a tokenizer of the tests");
    Prompts { tokenizer, control, pictures: image.is_some() }
}

static PROMPTS: LazyLock<[Prompts; 4]> = LazyLock::new(|| {
    [
        prompts("qwen3_vl-1", Some("<|image_pad|>"), "<|im_end|>", Some(CHAT_ML), ThinkingChoice::Auto),
        prompts("qwen3_vl-1", Some("<|image_pad|>"), "<|im_end|>", None, ThinkingChoice::Auto),
        prompts("qwen2-1", None, "<|im_end|>", None, ThinkingChoice::Auto),
        prompts("llava-1", Some("<image>"), "</s>", None, ThinkingChoice::Auto),
    ]
});

impl Prompts {
    fn controls(&self, prompt: &RenderedPrompt) -> Vec<u32> {
        let prefix = prompt.prefix.iter().flat_map(|piece| match piece {
            PromptPiece::Tokens(ids) => ids.as_slice(),
            PromptPiece::Image(_) => &[],
        });
        prefix.chain(&prompt.suffix).copied().filter(|id| self.control.contains(id)).collect()
    }
}

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&PROMPTS);
    LazyLock::force(&TOKENIZER);
}

/// Text from people never becomes a control token; a reply is read as it was made.
pub(crate) fn prompt(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let prompts = &PROMPTS[usize::from(kind % 4)];
    let (cut, system) = (usize::from(input.byte()), kind & 0x10 != 0);
    let form = if kind & 0x20 == 0 { ThinkingForm::Think } else { ThinkingForm::ThinkAnswer };
    let tokens: Vec<u32> = input
        .0
        .chunks(2)
        .take(200)
        .map(|pair| u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0) & 3) << 8)
        .collect();
    let text = &*input.text();
    let pictures = usize::from(prompts.pictures && kind & 0x40 != 0);
    let conversation = |said: &str| {
        let part = |text: &str| vec![ContentPart::Text(text.to_owned())];
        let mut messages = vec![
            ChatMessage { role: Role::User, content: part(said) },
            ChatMessage { role: Role::Assistant, content: part(said) },
            ChatMessage { role: Role::User, content: part(said) },
        ];
        messages[2].content.splice(0..0, std::iter::repeat_n(ContentPart::Image, pictures));
        if system {
            messages.insert(0, ChatMessage { role: Role::System, content: part(said) });
        }
        messages
    };
    let tokenizer = &prompts.tokenizer;
    let plain = tokenizer.render_messages(&conversation("a")).map(|prompt| prompts.controls(&prompt)).ok();
    // What can't be shown is refused: the template fails, or drops what was said.
    if let Ok(prompt) = tokenizer.render_messages(&conversation(text)) {
        assert_eq!(Some(prompts.controls(&prompt)), plain, "a text became a control token: {text:?}");
        let shown = prompt.prefix.iter().filter(|piece| matches!(piece, PromptPiece::Image(_))).count();
        assert_eq!(shown, pictures);
    }
    for ids in [tokenizer.encode_plain(text), tokenizer.encode_reply(text), tokenizer.encode_answer(text)] {
        let ids = ids.expect("any text has tokens");
        assert!(!ids.iter().any(|id| prompts.control.contains(id)), "{text:?}");
        tokenizer.decode(&ids).expect("tokens of a text");
    }
    let _ = (tokenizer.transcript(&conversation(text)), tokenizer.encode_beginning(text));
    let _ = tokenizer.encode_behind(text, text);

    // Tokens by one as they are made come to what they are together.
    let (mut stream, mut streamed) = (TokenStream::new(), String::new());
    for token in &tokens {
        let _ = stream.peek(tokenizer, *token);
        match stream.push(tokenizer, *token) {
            Ok(piece) => streamed.extend(piece),
            Err(_) => return,
        }
    }
    if let Ok(last) = stream.finish(tokenizer) {
        streamed.extend(last);
        assert_eq!(Ok(streamed), tokenizer.decode(&tokens).map_err(|_| ()), "{tokens:?}");
    }

    // A reply means the same wherever the borders of its pieces lie.
    let at = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let split = |pieces: &[&str]| {
        let mut splitter = ReplySplitter::new(form);
        let (mut thought, mut said) = (String::new(), String::new());
        let mut take = |part: ReplyPart| match part {
            ReplyPart::Thinking(text) => thought.push_str(&text),
            ReplyPart::Answer(text) => said.push_str(&text),
        };
        for piece in pieces {
            splitter.push(piece).into_iter().for_each(&mut take);
        }
        let (last, fault) = splitter.finish(false);
        last.into_iter().for_each(&mut take);
        (thought, said, fault)
    };
    assert_eq!(split(&[text]), split(&[&text[..at], &text[at..]]), "cut at {at}: {text:?}");
    assert!(unfinished_length(text, "</think>") < "</think>".len());
}

static TOKENIZER: LazyLock<Vec<u8>> = LazyLock::new(|| file("qwen2-1/tokenizer.json"));

/// A chat template of anybody's: refused or rendered, within time and memory.
pub(crate) fn chat_template(data: &[u8]) {
    let template = &*Input(data).text();
    let settings = PromptSettings {
        chat_template: template.to_owned(),
        special_tokens: BTreeMap::from([("eos_token".to_owned(), "<|im_end|>".to_owned())]),
        image_token: None,
        stop_tokens: vec![2],
        thinking: ThinkingChoice::Auto,
    };
    let Ok(tokenizer) = PromptTokenizer::new(&TOKENIZER, settings) else { return };
    for text in ["What is it?", "<|im_end|>{{ messages }}"] {
        let _ = tokenizer.render(0, text);
    }
}
