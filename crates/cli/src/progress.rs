//! Progress of long work: a bar on a terminal, a log line now and then otherwise.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::output;

/// Least time between two log lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// One piece of long work.
pub(crate) struct Progress {
    what: String,
    bar: Option<ProgressBar>,
    last_line: Instant,
    /// When the first of it was told, and how much was done then.
    began: Option<(Instant, u64)>,
}

impl Progress {
    /// Work counted in items.
    pub(crate) fn items(what: impl Into<String>, total: u64) -> Self {
        Self::new(what.into(), total, "{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta}")
    }

    /// Work counted in bytes.
    pub(crate) fn bytes(what: impl Into<String>, total: u64) -> Self {
        Self::new(
            what.into(),
            total,
            "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
        )
    }

    fn new(what: String, total: u64, template: &str) -> Self {
        let bar = output::on_terminal().then(|| {
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_message(what.clone())
        });
        Self { what, bar, last_line: Instant::now(), began: None }
    }

    /// The same, shown below others.
    fn among(self, bars: &MultiProgress) -> Self {
        Self { bar: self.bar.map(|bar| bars.add(bar)), ..self }
    }

    /// Says how much is done.
    pub(crate) fn set(&mut self, done: u64, total: u64) {
        let (began, before) = *self.began.get_or_insert_with(|| (Instant::now(), done));
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if self.last_line.elapsed() >= BETWEEN_LINES {
            self.last_line = Instant::now();
            let pace = began.elapsed().as_secs_f64() / done.saturating_sub(before).max(1) as f64;
            let remaining_s = (pace * total.saturating_sub(done) as f64).round();
            tracing::info!(done, total, remaining_s, "{}", self.what);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Work in stages, so many at a time: each has a bar of its own. A stage takes the place of the one before of
/// the same work, which is what stands in front of a colon in its name, or else of the one that was told of
/// longest ago.
pub(crate) struct Stages {
    at_once: usize,
    bars: MultiProgress,
    /// Told of last: at the end.
    shown: Mutex<Vec<(String, Progress)>>,
}

impl Default for Stages {
    fn default() -> Self {
        Self::of(1)
    }
}

impl Stages {
    /// So many at a time.
    pub(crate) fn of(at_once: usize) -> Self {
        Self { at_once: at_once.max(1), bars: MultiProgress::new(), shown: Mutex::default() }
    }

    /// Says how much of a stage is done.
    pub(crate) fn set(&self, stage: &str, done: u64, total: u64) {
        let mut shown = self.shown.lock();
        let work = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
        let same = shown.iter().position(|(name, _)| name == stage);
        let mut own = if let Some(at) = same {
            shown.remove(at)
        } else {
            let before = shown.iter().position(|(name, _)| work(name) == work(stage));
            let full = (shown.len() >= self.at_once).then_some(0);
            if let Some((_, ended)) = before.or(full).map(|at| shown.remove(at)) {
                ended.finish();
            }
            (stage.to_owned(), Progress::items(stage, total).among(&self.bars))
        };
        own.1.set(done, total);
        shown.push(own);
    }

    /// Takes the last bars away.
    pub(crate) fn finish(&self) {
        for (_, last) in self.shown.lock().drain(..) {
            last.finish();
        }
    }
}

/// Downloads, one file after another: each is named when it begins, with its size, and has a bar of its own.
#[derive(Default)]
pub(crate) struct Downloads(RefCell<Option<(String, Progress)>>);

impl Downloads {
    /// Says how much of a file is here.
    pub(crate) fn show(&self, file: &str, done: u64, total: Option<u64>) {
        let mut current = self.0.borrow_mut();
        if current.as_ref().is_none_or(|(name, _)| name != file) {
            if let Some((_, ended)) = current.take() {
                ended.finish();
            }
            let size = total.map_or_else(|| "size unknown".to_owned(), output::bytes);
            if output::on_terminal() {
                output::note(&format!("downloading {file} ({size})"));
            } else {
                tracing::info!(file, size, "downloading");
            }
            *current = Some((file.to_owned(), Progress::bytes(file, total.unwrap_or(0))));
        }
        if let Some((_, progress)) = current.as_mut() {
            progress.set(done, total.unwrap_or(done));
        }
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        if let Some((_, last)) = self.0.take() {
            last.finish();
        }
    }
}
