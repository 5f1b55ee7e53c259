//! `bench`: edits and queries by stage, in this process, without HTTP.
//!
//! Every edit and query is about a picture that was not seen before, so that no cache helps; what queries on
//! a picture that was just asked about take is measured apart ("again").

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use reasonedit_codebook::CodebookName;
use reasonedit_editor::{
    CallContext, EditRequest, QueryEvent, QueryRequest, RetrievalOverride, StatementInput,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::world;
use crate::args::BenchArgs;
use crate::error::{CliError, Result};
use crate::picture::Picture;
use crate::progress::Progress;
use crate::render::stage_order;
use crate::service::{self, Local};
use crate::settings::Settings;
use crate::{logging, output};

/// Statements of every edit that is measured.
const STATEMENTS: usize = 3;
/// Choices of every query that is measured.
const CHOICES: usize = 4;

/// Milliseconds by stage of one edit or query.
type Timings = BTreeMap<String, f64>;

/// What one piece of work needs of a native record.
#[derive(Clone, Debug, Deserialize)]
struct Record {
    image: PathBuf,
    question: String,
    answer: String,
    choices: Vec<String>,
    reasoning: Vec<String>,
    similar_images: Vec<PathBuf>,
}

/// One line of work from the comparison script.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Step {
    Edit {
        image: PathBuf,
        question: String,
        answer: String,
        choices: Vec<String>,
        statements: Vec<String>,
    },
    Query {
        image: PathBuf,
        question: String,
        choices: Vec<String>,
    },
    /// Greedy, without the codebook.
    Generate {
        image: PathBuf,
        prompt: String,
        tokens: usize,
    },
}

/// Median and quartiles of one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Spread {
    median: f64,
    quartiles: [f64; 2],
    runs: usize,
}

/// Measures and prints.
///
/// # Errors
/// Wrong settings, a model that can't be loaded, an edit or query that fails.
pub(crate) async fn run(args: &BenchArgs) -> Result<()> {
    if args.runs == 0 {
        return Err(CliError::Usage("--runs: at least 1 is needed".to_owned()));
    }
    // Nothing measured goes into a codebook that anybody uses.
    let folder = tempfile::tempdir().map_err(|error| CliError::file("temporary folder", error))?;
    let settings = Settings::load_for_scratch(&args.settings, &folder.path().join("data"))?;
    logging::start(&settings.log, true)?;
    let local = service::open(&settings).await?;
    if args.steps { steps(&local).await } else { measure(&local, args, folder.path()).await }
}

async fn measure(local: &Local, args: &BenchArgs, folder: &Path) -> Result<()> {
    let wanted = args.runs + args.warmup;
    let records = records(args.seed, wanted, &folder.join("world"))?;
    let mut progress = Progress::items("edits and queries", wanted as u64);
    let mut edits = Vec::new();
    let mut queries = Vec::new();
    let mut again = Vec::new();
    for (turn, record) in records.iter().enumerate() {
        let edit = edit(local, &record.image, record).await?;
        let image = record.similar_images.first().unwrap_or(&record.image);
        let (query, _) = query(local, image, &record.question, &record.choices).await?;
        let (repeated, _) = self::query(local, image, &record.question, &record.choices).await?;
        if turn >= args.warmup {
            edits.push(edit);
            queries.push(query);
            again.push(repeated);
        }
        progress.set(turn as u64 + 1, wanted as u64);
    }
    progress.finish();
    let info = local.info().await?;
    let report = json!({
        "model": {"name": info.name, "parameters": info.parameters, "dtype": info.dtype, "device": info.device},
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "statements": STATEMENTS,
        "choices": CHOICES,
        "edit_ms": spreads(&edits),
        "query_ms": spreads(&queries),
        "query_again_ms": spreads(&again),
    });
    if args.json {
        return output::print_json(&report);
    }
    for (title, runs) in [
        ("An edit: 3 statements, evidence searched, model asked before and after", &edits),
        ("A query: 4 choices, a picture not seen before", &queries),
        ("The same query again", &again),
    ] {
        output::print(&format!("{title}\n{}\n", table(&spreads(runs))))?;
    }
    output::print(&format!(
        "{} ({} parameters, {}) on {}, median of {} runs",
        info.name,
        info.parameters,
        info.dtype,
        info.device,
        edits.len()
    ))
}

/// Does what the standard input says, a JSON object a line, and answers in kind.
async fn steps(local: &Local) -> Result<()> {
    let info = local.info().await?;
    output::print_json_line(&json!({ "ready": true, "model": info.name, "dtype": info.dtype }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| CliError::file("standard input", error))?;
        let step: Step = serde_json::from_str(&line)
            .map_err(|error| CliError::Usage(format!("a line that is no work: {error}")))?;
        let answer: Value = match step {
            Step::Edit { image, question, answer, choices, statements } => {
                let record = Record {
                    image,
                    question,
                    answer,
                    choices,
                    reasoning: statements,
                    similar_images: vec![],
                };
                json!({ "timings_ms": edit(local, &record.image, &record).await? })
            }
            Step::Query { image, question, choices } => {
                let (timings, outcome) = query(local, &image, &question, &choices).await?;
                json!({ "timings_ms": timings, "answer": outcome.answer, "prompt": outcome.prompt })
            }
            Step::Generate { image, prompt, tokens } => generate(local, &image, prompt, tokens).await?,
        };
        output::print_json_line(&answer)?;
    }
    Ok(())
}

async fn edit(local: &Local, image: &Path, record: &Record) -> Result<Timings> {
    let statements =
        record.reasoning.iter().map(|text| StatementInput { statement: text.clone(), evidence: Vec::new() });
    let request = EditRequest {
        warnings: Vec::new(),
        image: Picture::read(&image.display().to_string())?.into_source(),
        question: record.question.clone(),
        answer: record.answer.clone(),
        reasoning: statements.collect(),
        choices: record.choices.clone(),
        author: None,
        tags: Vec::new(),
        metadata: json!({}),
        verify: true,
        supersedes: Vec::new(),
        on_conflict: None,
        idempotency: None,
    };
    let made = local.editor.edit(&CodebookName::default(), request, CallContext::default()).await;
    Ok(made.map_err(service::refused)?.timings_ms)
}

async fn query(
    local: &Local,
    image: &Path,
    question: &str,
    choices: &[String],
) -> Result<(Timings, reasonedit_editor::QueryOutcome)> {
    let request = QueryRequest {
        warnings: Vec::new(),
        image: Picture::read(&image.display().to_string())?.into_source(),
        question: question.to_owned(),
        choices: choices.to_vec(),
        max_tokens: None,
        max_thinking_tokens: None,
        retrieval: RetrievalOverride::default(),
        compare: false,
    };
    let answered = local.editor.query(&CodebookName::default(), request, CallContext::default()).await;
    let outcome = answered.map_err(service::refused)?;
    Ok((outcome.timings_ms.clone(), outcome))
}

/// Times to the first token (picture read, prepared and looked at, prompt run) and of those behind it.
async fn generate(local: &Local, image: &Path, prompt: String, tokens: usize) -> Result<Value> {
    let began = Instant::now();
    let source = Picture::read(&image.display().to_string())?.into_source();
    let request = QueryRequest {
        image: source,
        question: prompt,
        choices: Vec::new(),
        max_tokens: Some(tokens),
        max_thinking_tokens: None,
        retrieval: RetrievalOverride { enabled: Some(false), ..RetrievalOverride::default() },
        compare: false,
        warnings: Vec::new(),
    };
    let mut events = local
        .editor
        .query_stream(&CodebookName::default(), request, CallContext::default())
        .map_err(service::refused)?;
    let mut first = None;
    while let Some(event) = events.recv().await {
        match event.map_err(service::refused)? {
            QueryEvent::Token { .. } => first = first.or(Some(began.elapsed())),
            QueryEvent::Done(outcome) => {
                let (all, first) = (began.elapsed(), first.unwrap_or_default());
                return Ok(json!({
                    "prefill_ms": 1e3 * first.as_secs_f64(),
                    "decode_ms": 1e3 * all.saturating_sub(first).as_secs_f64(),
                    "tokens": outcome.usage.completion_tokens,
                    "prompt_tokens": outcome.usage.prompt_tokens,
                    "answer": outcome.answer,
                }));
            }
            QueryEvent::Retrieval(..) | QueryEvent::Thinking(_) => {}
        }
    }
    Err(CliError::Failed("the generation broke off".to_owned()))
}

/// Records with [`CHOICES`] choices and exactly [`STATEMENTS`] statements: where one has fewer, statements of
/// others fill up (what is false of a picture has to be searched for as well).
fn records(seed: u64, count: usize, folder: &Path) -> Result<Vec<Record>> {
    // Some records have fewer choices: made more, and taken as many as needed.
    world::write_records(seed, count + count / 2 + 4, folder)?;
    let path = folder.join("edits.jsonl");
    let file = std::fs::File::open(&path).map_err(|error| CliError::file(&path, error))?;
    let mut records = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| CliError::file(&path, error))?;
        let mut record: Record = serde_json::from_str(&line).map_err(CliError::failed)?;
        record.image = folder.join(&record.image);
        for image in &mut record.similar_images {
            *image = folder.join(&image);
        }
        if record.choices.len() == CHOICES {
            records.push(record);
        }
    }
    records.truncate(count);
    if records.len() < count {
        return Err(CliError::Failed(format!(
            "the world of seed {seed} has only {} such records",
            records.len()
        )));
    }
    fill_up(&mut records);
    Ok(records)
}

fn fill_up(records: &mut [Record]) {
    let mut pool: Vec<String> = Vec::new();
    for statement in records.iter().flat_map(|record| &record.reasoning) {
        if !pool.contains(statement) {
            pool.push(statement.clone());
        }
    }
    for record in records {
        let missing = STATEMENTS.saturating_sub(record.reasoning.len());
        let more: Vec<String> =
            pool.iter().filter(|s| !record.reasoning.contains(s)).take(missing).cloned().collect();
        record.reasoning.extend(more);
        record.reasoning.truncate(STATEMENTS);
    }
}

fn spreads(runs: &[Timings]) -> BTreeMap<String, Spread> {
    let mut by_stage: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (stage, ms) in runs.iter().flatten() {
        by_stage.entry(stage.clone()).or_default().push(*ms);
    }
    by_stage.into_iter().map(|(stage, values)| (stage, spread(values))).collect()
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
    Spread {
        median: round(quantile(&values, 0.5)),
        quartiles: [round(quantile(&values, 0.25)), round(quantile(&values, 0.75))],
        runs: values.len(),
    }
}

/// Linear interpolation between order statistics. `sorted` has at least one value.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

fn table(stages: &BTreeMap<String, Spread>) -> String {
    let head = ["stage", "median ms", "quartiles"].map(str::to_owned).to_vec();
    let mut rows: Vec<_> = stages.iter().collect();
    rows.sort_by_key(|(stage, _)| stage_order(stage));
    let rows = rows.into_iter().map(|(stage, spread)| {
        vec![
            stage.clone(),
            format!("{:.2}", spread.median),
            format!("{:.2} to {:.2}", spread.quartiles[0], spread.quartiles[1]),
        ]
    });
    output::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(reasoning: &[&str]) -> Record {
        Record {
            image: "a.png".into(),
            question: "q".into(),
            answer: "a".into(),
            choices: vec![],
            reasoning: reasoning.iter().map(|&s| s.to_owned()).collect(),
            similar_images: vec![],
        }
    }

    #[test]
    fn medians_and_quartiles() {
        let spread = spread(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Spread { median: 2.5, quartiles: [1.75, 3.25], runs: 4 });
        assert_eq!(super::spread(vec![7.0]).median, 7.0);
    }

    #[test]
    fn every_edit_has_three_statements() {
        let mut records = vec![record(&["a"]), record(&["b", "c", "d", "e"]), record(&["a", "f"])];
        fill_up(&mut records);
        assert_eq!(records[0].reasoning, ["a", "b", "c"]);
        assert_eq!(records[1].reasoning, ["b", "c", "d"]);
        assert_eq!(records[2].reasoning, ["a", "f", "b"]);
    }

    #[test]
    fn stages_are_listed_in_their_order() {
        let runs = [Timings::from([
            ("total".to_owned(), 9.0),
            ("answer".to_owned(), 4.0),
            ("embed".to_owned(), 2.0),
            ("queue".to_owned(), 1.0),
        ])];
        let shown = table(&spreads(&runs));
        let stages: Vec<_> = shown.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(stages, ["stage", "queue", "embed", "answer", "total"]);
    }
}
