//! What a prompt takes is known before anything is computed: by the sizes of its pictures and the template.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_imaging::{PixelBox, RgbImage};
use reasonedit_inference::prompt::{ChatMessage, ContentPart, Role};
use reasonedit_inference::{
    CallOptions, Conversation, Engine, EngineConfig, FeatureKey, KeyedImage, Models, Want,
};
use reasonedit_models::{LoadOptions, load, load_sentence_encoder};

/// Every architecture that looks at pictures, with and without a class token among the image tokens.
const LOOKING: [&str; 8] = [
    "qwen3_vl-1",
    "qwen3_vl-2",
    "qwen2_5_vl-1",
    "llava-1",
    "llava-2",
    "llava-3",
    "instructblip-1",
    "instructblip-2",
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/goldens").join(name)
}

fn picture(width: u32, height: u32) -> Arc<RgbImage> {
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [(x * 7) as u8, (y * 5) as u8, 90]));
    Arc::new(RgbImage::from_raw(width, height, pixels.collect()).unwrap())
}

#[test]
fn a_picture_takes_as_many_tokens_as_its_size_says() {
    for name in LOOKING {
        let model = load(golden(name).to_str().unwrap(), &LoadOptions::default()).unwrap();
        let preprocessor = model.preprocessor();
        for (width, height) in [(64, 64), (90, 72), (31, 200), (640, 48), (1, 1), (1500, 1100)] {
            let pixels = preprocessor.preprocess(&picture(width, height)).unwrap();
            let features = model.encode_images(&[&pixels], &[]).unwrap();
            let expected = preprocessor.image_tokens(width, height).unwrap();
            assert_eq!(features[0].len(), expected, "{name}: {width}×{height}");
        }
        assert!(preprocessor.image_tokens(0, 5).is_err());
        assert!(preprocessor.image_tokens(1, 1000).is_err());
    }
}

#[tokio::test]
async fn a_prompt_takes_as_many_tokens_as_the_engine_runs() {
    for name in LOOKING {
        let load = move || {
            let options = LoadOptions::default();
            Ok(Models {
                vlm: load(golden(name).to_str().unwrap(), &options)?,
                sentences: load_sentence_encoder(golden("mpnet-1").to_str().unwrap(), &options)?,
            })
        };
        let engine = Engine::start(load, EngineConfig::default()).unwrap();
        let input = |seed: u8, area| KeyedImage {
            key: FeatureKey { image: [seed; 32], area },
            picture: picture(120, 90),
        };
        let whole = input(1, None);
        let part = input(1, Some(PixelBox { x: 10, y: 0, width: 30, height: 80 }));
        let said = |role, text: &str| ChatMessage { role, content: vec![ContentPart::Text(text.to_owned())] };
        let several = Conversation {
            images: vec![whole.clone(), part.clone()],
            messages: vec![
                ChatMessage {
                    role: Role::User,
                    content: vec![ContentPart::Image, ContentPart::Text("What is it?".to_owned())],
                },
                said(Role::Assistant, "A lesion with a dark rim."),
                ChatMessage {
                    role: Role::User,
                    content: vec![ContentPart::Image, ContentPart::Text("And this — « é »?".to_owned())],
                },
            ],
            ..Conversation::default()
        };
        let begun = Conversation { begun: "It is a".to_owned(), ..several.clone() };
        let all = [
            Conversation::question(Some(whole), "Is the border irregular?"),
            Conversation::question(Some(part), "?"),
            Conversation::question(None, "What is a lesion?"),
            several,
            begun,
        ];
        let sizes = engine.prompt_tokens(all.to_vec()).await.unwrap();
        for (conversation, size) in all.into_iter().zip(sizes) {
            let want = Want::Replies(vec!["yes".to_owned(), "no".to_owned()]);
            let (_, times) =
                engine.ask_conversations(vec![(conversation, want)], CallOptions::default()).await.unwrap();
            assert_eq!(times.prompt_tokens, size, "{name}");
        }
        engine.shutdown().await;
    }
}
