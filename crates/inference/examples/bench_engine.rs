//! Medians of the engine's work on a bundle's folder: `bench_engine BUNDLE [ROUNDS]`, where `BUNDLE` has
//! `vlm` and `sentence-encoder`.
//!
//! `answer`: embedding a new picture and question, then four choices as replies to a prompt of about 60
//! tokens. `again`: the same with everything of the picture cached. `verify`: 29 new crops, three statements
//! each. `reply`: 16 tokens generated.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use reasonedit_imaging::{Filter, RgbImage, grid, resize};
use reasonedit_inference::{
    Ask, CallOptions, Conversation, Engine, EngineConfig, EngineError, EngineHandle, FeatureKey,
    GenerateRequest, KeyedImage, Models, Pooling, Result, TapStage, Want,
};
use reasonedit_models::{LoadOptions, load, load_sentence_encoder};

const QUESTION: &str = "The answer to 'what is the name of the shape' about the image is one of the following. A striped \
    circle near a square is a blicket. A shape with a jagged edge is a dax. What is the name of the shape in the image?";
const STATEMENTS: [&str; 3] =
    ["the shape has a jagged edge", "a red striped circle", "there is a small square above it"];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder =
        arguments.next().ok_or_else(|| EngineError::load("BUNDLE", "usage: bench_engine BUNDLE [ROUNDS]"))?;
    let rounds: u8 = arguments.next().and_then(|r| r.parse().ok()).unwrap_or(15);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|source| EngineError::Read { path: "runtime".into(), source })?;
    runtime.block_on(bench(folder, rounds))
}

async fn bench(folder: String, rounds: u8) -> Result<()> {
    let loading = Instant::now();
    let load_models = move || {
        let part = |name: &str| Path::new(&folder).join(name).to_string_lossy().into_owned();
        let options = LoadOptions::default();
        let sentences = load_sentence_encoder(&part("sentence-encoder"), &options)?;
        Ok(Models { vlm: load(&part("vlm"), &options)?, sentences })
    };
    let engine = Engine::start(load_models, EngineConfig::default())?;
    let info = engine.info().await?;
    print(&format!("{} ready in {:.0} ms", info.name, milliseconds(loading)))?;
    let vision: Vec<_> = info.taps.iter().filter(|t| t.stage == TapStage::Vision).collect();
    let tap = vision[vision.len() - 1].name.clone();
    engine.set_always_taps(vec![tap]).await?;
    // Whole and on the device.
    let mut times: [(&str, Vec<(f64, f64)>); 4] =
        [("answer", vec![]), ("again", vec![]), ("verify", vec![]), ("reply", vec![])];
    for round in 0..rounds {
        let image = picture(round);
        for (_, times) in &mut times[..2] {
            let start = Instant::now();
            let device = answer(&engine, &image).await?;
            times.push((milliseconds(start), device));
        }
        let start = Instant::now();
        let device = verify(&engine, &image).await?;
        times[2].1.push((milliseconds(start), device));
        let start = Instant::now();
        let request = GenerateRequest::greedy(Conversation::question(Some(image), QUESTION), 16);
        let (_, spent) = engine.generate_text(request, CallOptions::default()).await?;
        times[3].1.push((milliseconds(start), spent.compute_ms));
    }
    for (name, mut times) in times {
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (least, median) = (times[0], times[times.len() / 2]);
        print(&format!(
            "{name}: median {:.1} ms ({:.1} on the device), least {:.1} ms ({:.1})",
            median.0, median.1, least.0, least.1
        ))?;
    }
    print(&format!("{:?}", engine.stats()))
}

/// Gives the milliseconds of it on the device.
async fn answer(engine: &EngineHandle, image: &KeyedImage) -> Result<f64> {
    let info = engine.info().await?;
    let vision: Vec<_> = info.taps.iter().filter(|t| t.stage == TapStage::Vision).collect();
    let options = CallOptions::default();
    let tap = vision[vision.len() - 1].name.clone();
    let images = engine.embed_images(vec![image.clone()], tap, Pooling::Mean, options);
    let sentences =
        engine.embed_sentences(vec!["What is the name of the shape in the image?".into()], options);
    let ((_, looked), (_, read)) = tokio::try_join!(images, sentences)?;
    let choices = ["blicket", "dax", "wug", "toma"].map(String::from).to_vec();
    let ask = Ask { image: 0, prompt: QUESTION.into(), want: Want::Replies(choices) };
    let (_, asked) = engine.ask(vec![image.clone()], vec![ask], options).await?;
    Ok(looked.compute_ms + read.compute_ms + asked.compute_ms)
}

/// Gives the milliseconds of it on the device.
async fn verify(engine: &EngineHandle, image: &KeyedImage) -> Result<f64> {
    let areas = grid::candidates(image.picture.width(), image.picture.height(), &grid::GridConfig::default());
    let images: Vec<KeyedImage> = areas
        .into_iter()
        .map(|area| KeyedImage {
            key: FeatureKey { area: Some(area), ..image.key },
            picture: Arc::clone(&image.picture),
        })
        .collect();
    let groups = vec![vec!["yes".into(), "Yes".into()], vec!["no".into(), "No".into()]];
    let asks = (0..images.len())
        .flat_map(|image| STATEMENTS.map(|s| (image, format!("Does the image show {s}?"))))
        .map(|(image, prompt)| Ask { image, prompt, want: Want::FirstToken(groups.clone()) })
        .collect();
    Ok(engine.ask(images, asks, CallOptions::default()).await?.1.compute_ms)
}

fn picture(n: u8) -> KeyedImage {
    let pixels = (0..64u32 * 64)
        .flat_map(|i| [(i % 251) as u8 ^ n, (i * 7 % 253) as u8, (i / 17 % 255) as u8])
        .collect();
    let small = RgbImage::from_raw(64, 64, pixels).unwrap_or_default();
    let picture = Arc::new(resize(&small, 448, 448, Filter::Bicubic));
    KeyedImage { key: FeatureKey { image: [n; 32], area: None }, picture }
}

fn milliseconds(since: Instant) -> f64 {
    1e3 * since.elapsed().as_secs_f64()
}

fn print(line: &str) -> Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}")
        .map_err(|source| EngineError::Read { path: "stdout".into(), source })
}
