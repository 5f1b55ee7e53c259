//! Decodes every file of a folder and says what became of it: one line of JSON each, and the pixels as PNG in
//! another folder.
//!
//!     cargo run --release --example decode_folder -- FILES PIXELS

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use reasonedit_imaging::{DecodeLimits, decode, encode_png};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(files), Some(pixels)) = (arguments.next(), arguments.next()) else {
        return Err("decode_folder FILES PIXELS".into());
    };
    std::fs::create_dir_all(&pixels)?;
    let mut paths =
        std::fs::read_dir(files)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let mut said = std::io::stdout().lock();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let line = match decode(&std::fs::read(&path)?, &DecodeLimits::default()) {
            Ok(decoded) => {
                std::fs::write(pixels.join(format!("{name}.png")), encode_png(&decoded.image)?)?;
                let notes: Vec<_> =
                    decoded.notes.iter().map(|note| json!([note.code, note.detail])).collect();
                json!({"file": name, "format": decoded.format, "notes": notes})
            }
            Err(error) => json!({"file": name, "error": error.to_string()}),
        };
        writeln!(said, "{line}")?;
    }
    Ok(())
}
