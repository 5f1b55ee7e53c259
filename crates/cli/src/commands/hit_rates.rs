//! `hit-rates`: whether the layers and weights that topology prefers retrieve better.

use reasonedit_codebook::CodebookName;
use reasonedit_hit_rates::{
    self as hit_rates, HitRateError, HitRateOptions, mean_taps, telling_taps, telling_weights,
};
use reasonedit_topology::{ModularityReport, Pooling, TapKey};

use crate::args::HitRatesArgs;
use crate::error::{CliError, Result};
use crate::progress::Stages;
use crate::settings::Settings;
use crate::{logging, output, service};

/// Measures and prints the page.
///
/// # Errors
/// Wrong settings, a report or data that can't be used, a model that can't be loaded, an edit that fails.
pub(crate) async fn run(args: &HitRatesArgs) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|error| CliError::file("temporary folder", error))?;
    let settings = Settings::load_for_scratch(&args.settings, folder.path())?;
    logging::start(&settings.log, true)?;
    let text = std::fs::read_to_string(&args.report).map_err(|error| CliError::file(&args.report, error))?;
    let report: ModularityReport = serde_json::from_str(&text).map_err(|error| {
        CliError::Failed(format!("{} is no report of `modularity`: {error}", args.report.display()))
    })?;
    let pooling = |last: bool| if last { Pooling::Last } else { Pooling::Mean };
    let named = args.taps.iter().map(|(tap, last)| TapKey { tap: tap.clone(), pooling: pooling(*last) });
    let options = HitRateOptions {
        edits: args.edits,
        codebook: CodebookName::default(),
        given_boxes: args.given_boxes,
        taps: match args.taps.as_slice() {
            [] => telling_taps(&report),
            [(all, false)] if all == "all" => mean_taps(&report),
            _ => named.collect(),
        },
        weights: if args.weights.is_empty() { telling_weights(&report) } else { args.weights.clone() },
    };
    let local = service::open(&settings).await?;
    let bars = Stages::default();
    let told = |stage: &str, done: usize, all: usize| bars.set(stage, done as u64, all as u64);
    let found = hit_rates::measure(&local.editor, &args.data, &report, &options, told).await;
    bars.finish();
    let found = found.map_err(|error| match error {
        HitRateError::Editor(error) => service::refused(error),
        other => CliError::failed(other),
    })?;
    if args.json { output::print_json(&found) } else { output::print(&found.markdown()) }
}
