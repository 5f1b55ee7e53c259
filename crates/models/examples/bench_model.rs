//! Medians of the loads that matter on a model's folder:
//! `bench_model FOLDER [ROUNDS [answer|verify|decode|all [TYPE]]]`, where `TYPE` is what weights are held in:
//! f32, bf16, f16, `q8_0`, `q4_k`.
//!
//! `answer`: one picture, a prompt of about 60 tokens, four short choices as replies (prompt run once,
//! replies share it). `verify`: 29 crops of one picture, three statements each, yes or no (vision and picture
//! prefix once per crop). `decode`: one token of 32 that follow a picture and a prompt one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reasonedit_imaging::{Filter, PixelBox, RgbImage, crop, grid, resize};
use reasonedit_models::prompt::RenderedPrompt;
use reasonedit_models::{
    BlockType, ImageFeatures, KvCache, LoadOptions, LogitsAt, ModelError, Piece, PixelInput, Result,
    Sequence, VisionLanguageModel, WeightType, load,
};

const QUESTION: &str = "The answer to 'what is the name of the shape' about the image is one of the following. A striped \
    circle near a square is a blicket. A shape with a jagged edge is a dax. What is the name of the shape in the image?";
/// Tokens to decode.
const TOKENS: u32 = 32;
const CHOICES: [&str; 4] = ["blicket", "dax", "wug", "toma"];
const STATEMENTS: [&str; 3] = [
    "Does the image show the shape has a jagged edge?",
    "Does the image show a red striped circle?",
    "Does the image show there is a small square above it?",
];

/// Something to be timed.
type Load = fn(&dyn VisionLanguageModel, &RgbImage) -> Result<Duration>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder =
        arguments.next().ok_or_else(|| ModelError::load("FOLDER", "usage: bench_model FOLDER [ROUNDS]"))?;
    let rounds: usize = arguments.next().and_then(|r| r.parse().ok()).unwrap_or(15);
    let only = arguments.next().filter(|only| only != "all");
    let options = options(&arguments.next().unwrap_or_default());
    let start = Instant::now();
    let model = load(&folder, &options)?;
    let (info, ms) = (model.info(), 1e3 * start.elapsed().as_secs_f64());
    print(&format!("{} ({}) loaded in {ms:.0} ms", info.name, info.dtype))?;
    let picture = picture();
    let loads: [(&str, Load); 3] =
        [("answer", answer_once), ("verify", verify_once), ("decode", decode_once)];
    for (name, run) in loads.into_iter().filter(|l| only.as_deref().is_none_or(|o| o == l.0)) {
        let mut times = Vec::new();
        for _ in 0..rounds {
            // On a thread of the pool, as the engine runs it.
            let time = rayon::scope(|_| run(model.as_ref(), &picture))?;
            times.push(1e3 * time.as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        print(&format!("{name}: median {:.1} ms, least {:.1} ms", times[times.len() / 2], times[0]))?;
    }
    Ok(())
}

fn options(name: &str) -> LoadOptions {
    let dtype = match name {
        "f32" => WeightType::F32,
        "bf16" => WeightType::Bf16,
        "f16" => WeightType::F16,
        _ => WeightType::Auto,
    };
    let quantize = BlockType::ALL.into_iter().find(|blocks| blocks.name() == name);
    LoadOptions { dtype, quantize, ..LoadOptions::default() }
}

fn print(line: &str) -> Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").map_err(|source| ModelError::read("stdout", source))
}

fn picture() -> RgbImage {
    let bytes =
        (0..64u32 * 64).flat_map(|i| [(i % 251) as u8, (i * 7 % 253) as u8, (i / 17 % 255) as u8]).collect();
    let small = RgbImage::from_raw(64, 64, bytes).unwrap_or_default();
    resize(&small, 448, 448, Filter::Bicubic)
}

fn prefix(prompt: &RenderedPrompt, features: &Arc<ImageFeatures>) -> Vec<Piece> {
    // Nothing that is handed in can fail.
    prompt.prefix_pieces(|_| Ok::<_, std::convert::Infallible>(features.clone())).unwrap_or_default()
}

fn sequence(past: Option<Arc<KvCache>>, pieces: Vec<Piece>, logits: LogitsAt, keep_cache: bool) -> Sequence {
    Sequence { past, pieces, logits, keep_cache }
}

fn caches(model: &dyn VisionLanguageModel, batch: &[Sequence]) -> Result<Vec<Option<Arc<KvCache>>>> {
    Ok(model.run(batch, &[])?.into_iter().map(|out| out.cache.map(Arc::new)).collect())
}

fn answer_once(model: &dyn VisionLanguageModel, picture: &RgbImage) -> Result<Duration> {
    let start = Instant::now();
    let tokenizer = model.tokenizer();
    let pixels = model.preprocessor().preprocess(picture)?;
    let features = model.encode_images(&[&pixels], &[])?;
    let prompt = tokenizer.render(1, QUESTION)?;
    let mut pieces = prefix(&prompt, &features[0]);
    pieces.push(Piece::Tokens(prompt.suffix));
    let past = caches(model, &[sequence(None, pieces, LogitsAt::Last, true)])?.remove(0);
    let replies = CHOICES
        .iter()
        .map(|choice| {
            let mut ids = tokenizer.encode_reply(choice)?;
            // The last token is scored from the one before it.
            ids.pop();
            Ok(ids)
        })
        .collect::<Result<Vec<_>>>()?;
    let batch: Vec<Sequence> = replies
        .into_iter()
        .filter(|ids| !ids.is_empty())
        .map(|ids| sequence(past.clone(), vec![Piece::Tokens(ids)], LogitsAt::From(0), false))
        .collect();
    model.run(&batch, &[])?;
    Ok(start.elapsed())
}

fn decode_once(model: &dyn VisionLanguageModel, picture: &RgbImage) -> Result<Duration> {
    let pixels = model.preprocessor().preprocess(picture)?;
    let features = model.encode_images(&[&pixels], &[])?;
    let prompt = model.tokenizer().render(1, QUESTION)?;
    let mut pieces = prefix(&prompt, &features[0]);
    pieces.push(Piece::Tokens(prompt.suffix));
    let mut past = None;
    let mut start = Instant::now();
    for token in 0..=TOKENS {
        if token == 1 {
            start = Instant::now();
        }
        let batch = [sequence(past, pieces, LogitsAt::Last, true)];
        let Some(out) = model.run(&batch, &[])?.pop() else { break };
        let best = (0..out.logits.len()).max_by(|a, b| out.logits[*a].total_cmp(&out.logits[*b]));
        pieces = vec![Piece::Tokens(vec![best.unwrap_or_default() as u32])];
        past = out.cache.map(Arc::new);
    }
    Ok(start.elapsed() / TOKENS)
}

fn verify_once(model: &dyn VisionLanguageModel, picture: &RgbImage) -> Result<Duration> {
    let start = Instant::now();
    let (tokenizer, preprocessor) = (model.tokenizer(), model.preprocessor());
    let areas: Vec<PixelBox> =
        grid::candidates(picture.width(), picture.height(), &grid::GridConfig::default());
    let pixels = areas
        .iter()
        .map(|area| {
            let crop = crop(picture, *area).map_err(|e| ModelError::Image(e.to_string()))?;
            preprocessor.preprocess(&crop)
        })
        .collect::<Result<Vec<PixelInput>>>()?;
    let features = model.encode_images(&pixels.iter().collect::<Vec<_>>(), &[])?;
    let prompts = STATEMENTS.map(|s| tokenizer.render(1, s)).into_iter().collect::<Result<Vec<_>, _>>()?;
    // All questions begin alike: their common tokens are run with the picture.
    let common = (0..prompts[0].suffix.len())
        .take_while(|i| prompts.iter().all(|p| p.suffix.get(*i) == prompts[0].suffix.get(*i)))
        .count();
    let batch: Vec<Sequence> = features
        .iter()
        .map(|features| {
            let mut pieces = prefix(&prompts[0], features);
            pieces.push(Piece::Tokens(prompts[0].suffix[..common].to_vec()));
            sequence(None, pieces, LogitsAt::None, true)
        })
        .collect();
    let pasts = caches(model, &batch)?;
    let batch: Vec<Sequence> = pasts
        .iter()
        .flat_map(|past| {
            prompts.iter().map(|p| {
                sequence(
                    past.clone(),
                    vec![Piece::Tokens(p.suffix[common..].to_vec())],
                    LogitsAt::Last,
                    false,
                )
            })
        })
        .collect();
    model.run(&batch, &[])?;
    Ok(start.elapsed())
}
