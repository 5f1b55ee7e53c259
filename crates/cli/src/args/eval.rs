//! Options of `eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shared::CommonArgs;

/// What stands below the options.
fn help() -> String {
    let editors = reasonedit_evaluation::editor_names().join(", ");
    format!(
        "Editors: {editors} (unedited is always measured); all: every one. --variant adds others.\n\
    {EXAMPLES}"
    )
}

/// What a stopped evaluation does, and command lines.
const EXAMPLES: &str = "With --out, an evaluation that was stopped goes on where it was, and another editor or protocol is added to what is there.\n\
    Examples:\n  reasonedit eval --data world:1000009:500 --edits 500 --editors all --out figures\n  \
    reasonedit eval --data world:1000009:500 --editors reasonedit --variant 'k3:codebook.retrieval.k=3'\n  \
    reasonedit eval --data RationaleVQA/AOKVQA/test.parquet --images coco --out figures\n  \
    reasonedit eval --data world:1000009:100 --server http://127.0.0.1:8080 --out figures\n  \
    reasonedit eval --data world:1000011:5000 --edits 5000 --protocol sequential --editors reasonedit,ike --out course\n  \
    reasonedit eval --data world:1000003:120 --edits 40 --editors all --tune tuned.json --out trials\n  \
    reasonedit eval --editors all --tuned tuned.json --count 500 --seed 1000009 --jobs 2 --out figures";

/// `eval`.
#[derive(Clone, Debug, Args)]
#[command(after_help = help())]
pub(crate) struct EvalArgs {
    /// Records: a folder (native edits.jsonl and images; published records as JSON, JSON Lines, Parquet,
    /// Arrow or CSV; what Hugging Face's save_to_disk wrote), one file of published records, or
    /// world:SEED:COUNT for the synthetic picture world
    #[arg(long, value_name = "DIR_OR_FILE_OR_WORLD", alias = "input", required_unless_present = "count")]
    pub(crate) data: Option<String>,

    /// In the place of --data: so many records of the synthetic picture world with --seed, and so many edits
    #[arg(long, value_name = "N", conflicts_with = "data", value_parser = positive)]
    pub(crate) count: Option<usize>,

    /// Folder of the pictures of published records, where they are not below that of the records
    #[arg(long, value_name = "DIR")]
    pub(crate) images: Option<PathBuf>,

    /// Split of data that have several, such as test
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<String>,

    /// Measure a running service instead of a model in this process, for example http://127.0.0.1:8080:
    /// unedited, reasonedit and variants that change k, the gate's percentile or verification
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// Bearer token for --server [env: REASONEDIT_TOKEN]
    #[arg(long, value_name = "TOKEN", requires = "server")]
    pub(crate) token: Option<String>,

    /// With --server: codebook that the edits are made in and reverted from; nobody else may use it
    #[arg(long, value_name = "NAME", default_value = "evaluation")]
    pub(crate) codebook: String,

    /// Editors to measure
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "reasonedit")]
    pub(crate) editors: Vec<String>,

    /// Another editor: reasonedit with other settings, as NAME:PATH=VALUE[,PATH=VALUE…] below `editor`
    /// (repeatable)
    #[arg(long = "variant", value_name = "NAME:PATH=VALUE")]
    pub(crate) variants: Vec<String>,

    /// All edits and then all questions, questions after every few edits, or each edit alone on the unedited
    /// model
    #[arg(long, value_enum, value_name = "PROTOCOL,…", value_delimiter = ',', default_value = "static")]
    pub(crate) protocol: Vec<Protocol>,

    /// Edits to make; fewer where the unedited model makes fewer errors [default: 100, or --count]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) edits: Option<usize>,

    /// With the static protocol: also with the first edits alone, so many of them; sizes from --edits on are
    /// left out [default: 1,10,100,500, and none with --server]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = positive)]
    pub(crate) sizes: Option<Vec<usize>>,

    /// With the sequential protocol: edits between two tests
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = positive)]
    pub(crate) every: usize,

    /// With the sequential protocol: edits that a test draws
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = positive)]
    pub(crate) sample: usize,

    /// Also measure with facts that have nothing to do with the picture in the reasoning (repeatable)
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) noise: Vec<NoiseChoice>,

    /// Share of the statements that noise is put to, in percent
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', default_value = "10,30,50",
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) noise_levels: Vec<u32>,

    /// Also measure with other settings of retrieval (repeatable)
    #[arg(long, value_enum, value_name = "SETTING")]
    pub(crate) sweep: Vec<SweepChoice>,

    /// Instead of measuring: try settings of each editor on these data, and write those that do best into
    /// this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tuned", "server", "variants", "noise", "sweep"])]
    pub(crate) tune: Option<PathBuf>,

    /// With --tune: most trials of each editor
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive, requires = "tune")]
    pub(crate) trials: usize,

    /// Settings that --tune wrote; each editor that has some is also measured as published
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub(crate) tuned: Option<PathBuf>,

    /// Records for editors that are trained before any edit: written as --data, and none of them evaluated
    /// [default: another world, where one is evaluated]
    #[arg(long, value_name = "DIR_OR_FILE_OR_WORLD", conflicts_with = "server")]
    pub(crate) training: Option<String>,

    /// Use the records' own boxes instead of letting the model look for evidence
    #[arg(long)]
    pub(crate) given_boxes: bool,

    /// Decoder layer of grace and grace-cot, from 0 [default: the one at a third of the depth]
    #[arg(long, value_name = "LAYER")]
    pub(crate) grace_layer: Option<usize>,

    /// First radius of the keys of grace and grace-cot, as a share of the key's length
    /// [default: what a development split chose]
    #[arg(long, value_name = "SHARE")]
    pub(crate) grace_radius: Option<f32>,

    /// Seed of samples, noise and intervals, of the world with --count, and of the trials with --tune
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Editors that are measured at a time, or trials with --tune: each has a model of its own in memory and
    /// a share of the processor's cores, and the peak memory that is told is that of all
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive, conflicts_with = "server")]
    pub(crate) jobs: usize,

    /// Folder for report.md, report.json and figures, and for what is needed to go on; made if missing
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: CommonArgs,
}

/// When questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// All edits, then all questions
    Static,
    /// After every few edits the questions of some of them
    Sequential,
    /// Each edit alone on the unedited model, then its questions
    Single,
}

/// What noise does to statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NoiseChoice {
    /// Facts stand in the place of statements
    Replace,
    /// Facts stand beside them
    Add,
}

/// A setting of retrieval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SweepChoice {
    /// How many keys' sentences are put in front: 1, 2, 3, 5, 8, 12
    K,
    /// Percentile beyond which nothing is retrieved: 1, 2, 5, 10, 20, 30, 50, 100
    Tau,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(line: &[&str]) -> Option<EvalArgs> {
        let line = ["reasonedit", "eval"].iter().chain(line);
        match Cli::try_parse_from(line).ok()?.command? {
            Command::Eval(args) => Some(args),
            _ => None,
        }
    }

    #[test]
    fn lists_are_read_and_nonsense_is_refused() {
        let args =
            parse(&["--data", "world:1:2", "--editors", "ike,oracle", "--noise", "add", "--sweep", "k"])
                .unwrap();
        assert_eq!(
            (args.editors.as_slice(), args.noise_levels.as_slice()),
            (&["ike".to_owned(), "oracle".to_owned()][..], &[10, 30, 50][..])
        );
        assert_eq!(
            (args.noise.as_slice(), args.sweep.as_slice()),
            (&[NoiseChoice::Add][..], &[SweepChoice::K][..])
        );
        for wrong in [
            &["--editors", "ike"][..],
            &["--data", "d", "--every", "0"],
            &["--data", "d", "--noise", "less"],
            &["--data", "d", "--noise-levels", "0"],
            &["--data", "d", "--protocol", "both"],
            &["--data", "d", "--count", "5"],
            &["--count", "0"],
            &["--count", "5", "--sizes", "0"],
            &["--count", "5", "--trials", "3"],
            &["--count", "5", "--tune", "t.json", "--tuned", "t.json"],
            &["--count", "5", "--tuned", "t.json", "--server", "http://x"],
        ] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
        let whole =
            parse(&["--count", "500", "--seed", "3", "--protocol", "single,static", "--sizes", "1,20"])
                .unwrap();
        assert_eq!((whole.count, whole.edits, whole.sizes.as_deref()), (Some(500), None, Some(&[1, 20][..])));
        assert_eq!(whole.protocol, [Protocol::Single, Protocol::Static]);
    }
}
