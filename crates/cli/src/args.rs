//! The command line: every subcommand, option and help text.

#![allow(
    clippy::doc_markdown,
    rustdoc::broken_intra_doc_links,
    reason = "doc comments here are help texts, shown as they are"
)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use reasonedit_editor::{EditId, Moment};
use reasonedit_http::bind::BindAddress;

mod adapt;
mod amend;
mod audit;
mod backup;
mod edit;
mod eval;
mod export;
mod heads;
mod hit_rates;
mod keys;
mod modularity;
mod shared;
mod take_back;
mod token;

pub(crate) use adapt::{AdaptArgs, TargetChoice};
pub(crate) use amend::AmendArgs;
pub(crate) use audit::{AuditArgs, AuditCommand, AuditFormatChoice, ExportAuditArgs};
pub(crate) use backup::{BackupArgs, BackupCommand, CreateBackupArgs, RestoreArgs};
pub(crate) use edit::{DryRunArgs, EditArgs};
pub(crate) use eval::{EvalArgs, NoiseChoice, Protocol, SweepChoice};
pub(crate) use export::ExportArgs;
pub(crate) use heads::{HeadsArgs, HeadsCommand, TrainHeadArgs};
pub(crate) use hit_rates::HitRatesArgs;
pub(crate) use keys::{KeysArgs, KeysCommand, RotateKeyArgs};
pub(crate) use modularity::{ApplyChoice, ModularityArgs};
pub(crate) use shared::{CommonArgs, SettingsArgs, TargetArgs};
pub(crate) use take_back::TakeBackArgs;
pub(crate) use token::{CreateTokenArgs, TokenArgs, TokenCommand, TokenTargetArgs};

/// Edits a vision-language model by human reasoning, kept in a durable codebook; the weights never change.
#[derive(Debug, Parser)]
#[command(
    name = "reasonedit",
    version,
    about,
    long_about = "Edits a vision-language model by human reasoning: a correction, with its reasons, is stored in a \
        durable codebook and put in front of the model when a question needs it. The weights never change, and an \
        edit can be taken back exactly.\n\nWithout a subcommand it serves HTTP (`reasonedit serve`), with the \
        demo model unless --model names another.",
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage or configuration.\n\
        Settings: built-in defaults (`reasonedit config`), the model's profile, a file (--config, or ./reasonedit.toml), \
        REASONEDIT_* variables (REASONEDIT_SERVER__BIND for `server.bind`), options; the later wins.",
    args_conflicts_with_subcommands = true,
    propagate_version = true
)]
pub(crate) struct Cli {
    /// What to do; `serve` when absent.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Options of `serve`, so that they work without naming it.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

impl Cli {
    /// Engines that compute at the same time.
    pub(crate) fn jobs(&self) -> usize {
        match &self.command {
            Some(Command::Eval(args)) => args.jobs,
            _ => 1,
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve HTTP (the default)
    Serve(ServeArgs),
    /// Make an edit: what is right, and why
    Edit(EditArgs),
    /// Tell which answers would be others if an edit were made
    DryRun(DryRunArgs),
    /// Make a new version of an edit, or undo the newest
    Amend(AmendArgs),
    /// Take back many edits in one step, or undo such a step
    TakeBack(TakeBackArgs),
    /// Ask about a picture, with the codebook's help
    Query(QueryArgs),
    /// Look into a codebook, carry it elsewhere, check it
    Codebook(CodebookArgs),
    /// Write a codebook's edits as training data for other people's trainers
    Export(ExportArgs),
    /// Back up codebooks, pictures and tokens; list, verify and prune backups
    Backup(BackupArgs),
    /// Make a data folder of a backup
    Restore(RestoreArgs),
    /// Give, list and revoke the tokens that a service asks for
    Token(TokenArgs),
    /// Encrypt the data folder under a key of the operator's
    Keys(KeysArgs),
    /// Verify the audit trail, and hand it out
    Audit(AuditArgs),
    /// Look at models, fetch them, check them against reference outputs
    Models(ModelsArgs),
    /// Write pictures, questions and edits of the synthetic picture world
    World(WorldArgs),
    /// Measure edits and queries by stage
    Bench(BenchArgs),
    /// Measure what edits do, beside what other editors do
    Eval(EvalArgs),
    /// Train a low-rank adapter of the model from a codebook's live edits
    Adapt(AdaptArgs),
    /// Train the head that tells what bears on a question
    Heads(HeadsArgs),
    /// Choose the layer and the weight of the text by topology
    Modularity(ModularityArgs),
    /// Compare what topology says of layers and weights with what they retrieve
    HitRates(HitRatesArgs),
    /// Print the settings in effect, and where they can be set
    Config(ConfigArgs),
}

/// `serve`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on, as 127.0.0.1:8080, localhost:8080, [::1]:8080, or :8080 for every address of
    /// this machine [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) bind: Option<BindAddress>,

    /// Let other machines reach the service though no tokens are configured: whoever does reads every picture
    /// and changes every edit
    #[arg(long)]
    pub(crate) insecure_no_auth: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// `query`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Example:\n  reasonedit query --image scan.png --question 'Is it benign or malignant?' \\\n    \
    --choice benign --choice malignant --compare"
)]
pub(crate) struct QueryArgs {
    /// Picture file, or the id of a picture sent before
    #[arg(long, value_name = "FILE_OR_ID")]
    pub(crate) image: String,

    /// The question
    #[arg(long, value_name = "TEXT")]
    pub(crate) question: String,

    /// An answer to choose from (repeatable); without any the answer is generated
    #[arg(long = "choice", value_name = "TEXT")]
    pub(crate) choices: Vec<String>,

    /// Most tokens to generate
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,

    /// Answer without the codebook
    #[arg(long)]
    pub(crate) no_retrieval: bool,

    /// Nearest keys to take statements from
    #[arg(long, value_name = "N")]
    pub(crate) k: Option<usize>,

    /// Percentile of the distances between keys beyond which nothing is retrieved
    #[arg(long, value_name = "PERCENT")]
    pub(crate) reject_percentile: Option<f64>,

    /// Whether a statement is used only where the model says that the picture bears it out
    /// [default: as configured]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) verify: Option<bool>,

    /// Answer by the codebook as it stood then: a revision, as answers name it, or an RFC 3339 time
    #[arg(long, value_name = "REVISION_OR_TIME")]
    pub(crate) as_of: Option<Moment>,

    /// Answer as if this edit had not been made (repeatable)
    #[arg(long, value_name = "EDIT")]
    pub(crate) without: Vec<EditId>,

    /// Also say what the model answers without the codebook
    #[arg(long)]
    pub(crate) compare: bool,

    /// Also print the prompt as the model got it
    #[arg(long)]
    pub(crate) explain: bool,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// `codebook`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CodebookArgs {
    #[command(subcommand)]
    pub(crate) command: CodebookCommand,
}

/// What can be done with a codebook.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CodebookCommand {
    /// Counts, bytes, dimensions, the embedding in use and the gate
    Stats(TargetArgs),
    /// Write a codebook as a tar of JSON Lines and pictures
    Export {
        /// File to write; - for the standard output
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Take in an exported codebook; what is there already is left as it is
    Import {
        /// File to read; - for the standard input
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Save what can be saved of a damaged data folder into a new one, and list what can't
    Salvage {
        /// Folder to make
        #[arg(value_name = "OUT")]
        out: PathBuf,
        /// Folder for archives of edits whose keys are lost, to be imported: in clear, and no part of OUT
        #[arg(long, value_name = "DIR")]
        archives: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Read every record and picture, and name what is not as it was written; exit status 1 if anything is
    Verify {
        /// Codebook to check; every codebook of the data folder when absent
        #[arg(long, value_name = "NAME")]
        codebook: Option<String>,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// `models`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

/// What can be done with models.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Which models are known to work, and the memory their weights need
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Load a model and say what it is: architecture, size, fingerprint, taps
    Show {
        /// Folder or hub id [default: the configured model]
        #[arg(value_name = "DIR_OR_ID")]
        source: Option<String>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: CommonArgs,
    },
    /// Fetch a model from the hub into the local cache
    Pull {
        /// Hub id, for example Qwen/Qwen3-VL-4B-Instruct
        #[arg(value_name = "ID")]
        id: String,
        /// Branch, tag or commit
        #[arg(long, value_name = "REVISION")]
        revision: Option<String>,
    },
    /// Run a checkpoint against reference outputs made by tools/reference.py; exit status 1 where they differ
    Check {
        /// Folder written by tools/reference.py
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
}

/// `world`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Seeds from 1,000,000 on are never trained on: use them to measure.\n\
    Example:\n  reasonedit world --seed 1000001 --count 100 --out world")]
pub(crate) struct WorldArgs {
    #[command(subcommand)]
    pub(crate) command: Option<WorldCommand>,

    #[command(flatten)]
    pub(crate) records: Option<RecordsArgs>,
}

/// Native records: `edits.jsonl` beside `images/`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecordsArgs {
    /// Seed of the world: its names, rules and pictures
    #[arg(long, value_name = "S")]
    pub(crate) seed: u64,

    /// Records to write
    #[arg(long, value_name = "N")]
    pub(crate) count: usize,

    /// Folder to write to; made if missing
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Write probes of perception (`probes.jsonl`) in place of edits
    #[arg(long)]
    pub(crate) probes: bool,

    /// Write pairs of edits that differ in one detail, as a side or a length, that decides the answer
    #[arg(long, conflicts_with = "probes")]
    pub(crate) pairs: bool,
}

/// Other things the world can write.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum WorldCommand {
    /// Training episodes for tools/train
    Episodes {
        /// First seed; seeds from 1,000,000 on are refused
        #[arg(long, value_name = "S")]
        seed_start: u64,
        /// Scenes to write, each from a seed of its own
        #[arg(long, value_name = "N")]
        scenes: u64,
        /// Pairs for the sentence encoder [default: as the writer thinks right]
        #[arg(long, value_name = "N")]
        sentences: Option<usize>,
        /// Folder to write to; made if missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// `bench`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Edits have three statements whose evidence the model has to find; queries have four choices.\n\
    Beside transformers on the same weights: tools/bench_compare.py"
)]
pub(crate) struct BenchArgs {
    /// Edits and queries to measure, of each kind
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) runs: usize,

    /// Edits and queries made before, not counted
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) warmup: usize,

    /// Seed of the pictures and questions
    #[arg(long, value_name = "S", default_value_t = 1_000_003)]
    pub(crate) seed: u64,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Take the work from tools/bench_compare.py: a JSON request a line on the standard input, an answer a
    /// line
    #[arg(long, hide = true)]
    pub(crate) steps: bool,

    #[command(flatten)]
    pub(crate) settings: CommonArgs,
}

/// `config`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What to print
    #[arg(value_enum, default_value_t = ConfigOutput::Effective)]
    pub(crate) what: ConfigOutput,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// What `config` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigOutput {
    /// Every setting as it stands after all layers, as JSON (tokens left out)
    Effective,
    /// The commented file of defaults, every setting commented out: a start for reasonedit.toml
    Defaults,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_and_its_options_work_without_naming_it() {
        let cli = Cli::try_parse_from(["reasonedit", "--bind", "127.0.0.1:9", "--data", "d"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.bind.unwrap().to_string(), "127.0.0.1:9");
        assert_eq!(cli.serve.settings.data.unwrap(), PathBuf::from("d"));
        let cli = Cli::try_parse_from(["reasonedit", "serve", "--bind", "localhost:9"]).unwrap();
        let Some(Command::Serve(serve)) = cli.command else { panic!("not serve: {cli:?}") };
        assert_eq!(serve.bind.unwrap().to_string(), "localhost:9");
    }

    #[test]
    fn world_writes_records_unless_told_otherwise() {
        let parse = |line: &[&str]| Cli::try_parse_from(line).map(|cli| cli.command);
        let Ok(Some(Command::World(world))) =
            parse(&["reasonedit", "world", "--seed", "1000001", "--count", "2", "--out", "o"])
        else {
            panic!("not understood");
        };
        let records = world.records.unwrap();
        assert_eq!((records.seed, records.count, records.probes), (1_000_001, 2, false));
        let Ok(Some(Command::World(world))) =
            parse(&["reasonedit", "world", "episodes", "--seed-start", "0", "--scenes", "5", "--out", "o"])
        else {
            panic!("not understood");
        };
        assert!(matches!(world.command, Some(WorldCommand::Episodes { scenes: 5, .. })));
        assert!(parse(&["reasonedit", "world"]).is_err());
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            &["reasonedit", "--bind", "nowhere"][..],
            &["reasonedit", "edit", "--image", "x.png"],
            &["reasonedit", "edit", "--batch", "x.jsonl", "--question", "?"],
            &["reasonedit", "query"],
            &["reasonedit", "codebook"],
            &["reasonedit", "world", "--seed", "-1", "--count", "1", "--out", "o"],
            &["reasonedit", "world", "--seed", "1"],
            &["reasonedit", "nonsense"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
