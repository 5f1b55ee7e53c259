//! Options of `hit-rates`.

use std::path::PathBuf;

use clap::Args;

use super::shared::CommonArgs;

/// `hit-rates`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "The edits are made in a codebook of their own, in a temporary folder.\n\
    Example:\n  reasonedit modularity --source world --out report\n  \
    reasonedit world --seed 1000009 --count 100 --out records\n  \
    reasonedit hit-rates --data records --report report/report.json > hit-rates.md")]
pub(crate) struct HitRatesArgs {
    /// Folder of native records: edits.jsonl
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// report.json that `modularity --out` wrote for the same model
    #[arg(long, value_name = "FILE")]
    pub(crate) report: PathBuf,

    /// Edits to make; fewer if there are fewer records
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) edits: usize,

    /// A tap of the report, as vision.3 or language.5:last (repeatable), or all, each with mean pooling;
    /// without any: the chosen one, that of least bimodal modularity, and the last language layer
    #[arg(long = "tap", value_name = "TAP[:POOLING]", value_parser = tap)]
    pub(crate) taps: Vec<(String, bool)>,

    /// A weight of the text (repeatable); without any: the chosen one, a tenth of it and ten times it
    #[arg(long = "weight", value_name = "LAMBDA")]
    pub(crate) weights: Vec<f64>,

    /// Use the records' own boxes instead of letting the model look for evidence
    #[arg(long)]
    pub(crate) given_boxes: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: CommonArgs,
}

/// Name of a tap, and whether the last token is taken in place of the mean.
fn tap(text: &str) -> Result<(String, bool), String> {
    match text.split_once(':') {
        None | Some((_, "mean")) => Ok((text.trim_end_matches(":mean").to_owned(), false)),
        Some((name, "last")) => Ok((name.to_owned(), true)),
        Some((_, pooling)) => Err(format!("{pooling} is no pooling: mean or last")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_may_name_a_pooling() {
        assert_eq!(tap("vision.3"), Ok(("vision.3".to_owned(), false)));
        assert_eq!(tap("vision.3:mean"), Ok(("vision.3".to_owned(), false)));
        assert_eq!(tap("language.5:last"), Ok(("language.5".to_owned(), true)));
        assert!(tap("language.5:first").unwrap_err().contains("first"));
    }
}
