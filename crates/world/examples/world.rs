//! Makes worlds from the command line:
//! `records --seed S --count N --out DIR`, `probes --seed S --count N --out DIR`,
//! `episodes --seed-start A --scenes N --out DIR [--sentences N]`, `sheet --seed S --out FILE`,
//! `picture --seed S --out FILE`.

use std::collections::HashMap;
use std::path::Path;

use image::{RgbImage, imageops};
use reasonedit_world::random::stream;
use reasonedit_world::render::render;
use reasonedit_world::scene::Scene;
use reasonedit_world::writer::{EpisodeOptions, write_episodes, write_probes, write_records};

type Failure = Box<dyn std::error::Error>;

/// A contact sheet of 5 × 5 pictures.
fn sheet(seed: u64, out: &Path) -> Result<(), Failure> {
    let mut rng = stream(seed, "sheet", 0);
    let mut sheet = RgbImage::new(5 * 300, 5 * 300);
    for index in 0..25_i64 {
        let picture = render(&Scene::random(&mut rng))?.image;
        let factor = 290.0 / f64::from(picture.width().max(picture.height()));
        let scale = |length: u32| (f64::from(length) * factor) as u32;
        let (width, height) = (scale(picture.width()), scale(picture.height()));
        let small = imageops::resize(&picture, width, height, imageops::FilterType::Triangle);
        imageops::replace(&mut sheet, &small, index % 5 * 300, index / 5 * 300);
    }
    sheet.save(out)?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let mut flags: HashMap<String, String> = HashMap::new();
    while let (Some(flag), Some(value)) = (arguments.next(), arguments.next()) {
        flags.insert(flag.trim_start_matches("--").to_owned(), value);
    }
    let number = |flag: &str, default: u64| flags.get(flag).map_or(Ok(default), |value| value.parse());
    let out = Path::new(flags.get("out").ok_or("--out is missing")?);
    match command.as_str() {
        "sheet" => sheet(number("seed", 7)?, out)?,
        "records" | "probes" => {
            std::fs::create_dir_all(out)?;
            let (seed, count) = (number("seed", 1_000_001)?, number("count", 100)? as usize);
            let progress = |done: usize, total: usize| eprintln!("{done} of {total} pictures");
            if command == "records" {
                write_records(out, seed, count, progress)?;
            } else {
                write_probes(out, seed, count, progress)?;
            }
        }
        "picture" => {
            // The picture of an episode, as the first draws of its stream make it.
            let mut rng = stream(number("seed", 7)?, "episode", 0);
            render(&Scene::random(&mut rng))?.image.save(out)?;
        }
        "episodes" => {
            std::fs::create_dir_all(out)?;
            let mut options = EpisodeOptions::default();
            options.sentence_pairs = number("sentences", options.sentence_pairs as u64)? as usize;
            let scenes = number("scenes", 1_000)?;
            let counts = write_episodes(out, number("seed-start", 0)?, scenes, &options, |done| {
                if done % 2_560 == 0 {
                    eprintln!("{done} of {scenes} scenes");
                }
            })?;
            eprintln!("{counts:?}");
        }
        other => return Err(format!("unknown command '{other}'").into()),
    }
    Ok(())
}
