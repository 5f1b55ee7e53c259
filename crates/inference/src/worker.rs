//! The engine's thread: takes batches, runs them, contains what goes wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Instant;

use reasonedit_resilience::panic_message;

use crate::compute::Compute;
use crate::error::{EngineError, Result};
use crate::generate::{Generation, RequestTimes};
use crate::lane::GenerationPlaces;
use crate::loaded::{Loaded, Models};
use crate::queue::Next;
use crate::request::{Priority, SentenceInfo};
use crate::shared::{Readiness, Shared};
use crate::stats::count;
use crate::units::Units;
use crate::work::{Batch, Request, Share, Work, WorkKind};

/// Loads the models and serves until the queue is closed and empty.
pub(super) fn main(load: impl FnOnce() -> Result<Models>, shared: &Shared) {
    let closing = Closing(shared);
    match contained(load) {
        Ok(models) => {
            let loaded = shared.loaded.get_or_init(|| describe(&models));
            shared.state.send_replace(Readiness::Ready);
            let mut worker = Worker { compute: Compute::new(models, shared, loaded), active: Vec::new() };
            worker.serve();
        }
        Err(error) => {
            tracing::error!(%error, "the models could not be loaded");
            *shared.load_error.lock() = Some(error);
            shared.state.send_replace(Readiness::Failed);
        }
    }
    drop(closing);
}

fn describe(models: &Models) -> Loaded {
    Loaded {
        info: models.vlm.info().clone().into(),
        sentences: SentenceInfo {
            fingerprint: models.sentences.fingerprint().to_owned(),
            width: models.sentences.width(),
        }
        .into(),
        tokenizer: models.vlm.tokenizer(),
        preprocessor: models.vlm.preprocessor(),
        forms: OnceLock::new(),
    }
}

/// However the thread ends, nobody is left waiting.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.queue.fail_all();
        self.0.state.send_if_modified(|state| {
            let open = *state == Readiness::Ready || *state == Readiness::Loading;
            if open {
                *state = Readiness::Closed;
            }
            open
        });
    }
}

struct Worker<'a> {
    compute: Compute<'a>,
    active: Vec<Generation>,
}

impl<'a> Worker<'a> {
    fn serve(&mut self) {
        let shared = self.compute.shared;
        loop {
            let running = self.active.iter().map(|generation| generation.options.flow);
            let mut places = GenerationPlaces::new(shared.config.generations, running);
            let urgent = |generation: &Generation| generation.options.priority == Priority::Interactive;
            let replying = self.active.iter().any(urgent);
            match shared.queue.next(&shared.config, &mut places, replying) {
                Next::Batch(batch) => self.process(batch),
                Next::Closed if self.active.is_empty() => return,
                Next::Idle(until) if self.active.is_empty() => shared.queue.wait(until),
                Next::Idle(_) | Next::Closed => {}
            }
            if !self.active.is_empty() {
                self.step();
            }
        }
    }

    fn process(&mut self, batch: Batch) {
        let shares = batch.shares;
        match batch.kind {
            WorkKind::Images => self.units(shares, images, Compute::embed_images),
            WorkKind::Pairs => self.units(shares, pairs, Compute::embed_pairs),
            WorkKind::Sentences => self.units(shares, sentences, Compute::embed_sentences),
            WorkKind::Asks => self.units(shares, asks, Compute::ask),
            WorkKind::ModelCalls => self.units(shares, model_calls, Compute::call_model),
            WorkKind::Generate => self.begin(shares.into_iter().map(|share| share.request).collect()),
        }
    }

    /// Computes shares of requests together and hands out the results; where that fails, each by itself.
    fn units<U, O>(
        &mut self,
        mut shares: Vec<Share>,
        project: fn(&mut Work) -> Option<&mut Units<U, O>>,
        run: fn(&mut Compute<'a>, &[&U]) -> Result<Vec<O>>,
    ) {
        let started = Instant::now();
        let mut inputs: Vec<&U> = Vec::new();
        for share in &mut shares {
            let units = share.units.clone();
            inputs.extend(project(&mut share.request.work).map_or(&[][..], |work| &work.inputs[units]));
        }
        let result = self.guarded(|compute| run(compute, &inputs));
        let elapsed = started.elapsed();
        let shared = self.compute.shared;
        shared.counters.batch(elapsed, shares.len());
        match result {
            Ok(outputs) => {
                let mut outputs = outputs.into_iter();
                let mut unfinished = None;
                for mut share in shares {
                    share.request.compute += elapsed;
                    let Some(work) = project(&mut share.request.work) else { continue };
                    work.outputs.extend(outputs.by_ref().take(share.units.len()));
                    if work.outputs.len() < work.inputs.len() {
                        unfinished = Some(share.request);
                    } else {
                        finish(shared, share.request, project);
                    }
                }
                // Only the last of a batch can be unfinished: it is where the budget ended.
                if let Some(request) = unfinished {
                    shared.queue.put_back(request);
                }
            }
            Err(error) if shares.len() == 1 => {
                if let Some(share) = shares.pop() {
                    count(&shared.counters.failed, 1);
                    share.request.work.fail(error);
                }
            }
            Err(error) => {
                tracing::warn!(%error, requests = shares.len(), "a batch failed; its requests are run alone");
                for mut share in shares {
                    share.request.compute += elapsed;
                    self.units(vec![share], project, run);
                }
            }
        }
    }

    /// Runs the prompts of generations; where that fails, each by itself.
    fn begin(&mut self, requests: Vec<Request>) {
        let started = Instant::now();
        let units: Vec<_> = requests
            .iter()
            .filter_map(|request| match &request.work {
                Work::Generate(begin) => Some(&begin.unit),
                _ => None,
            })
            .collect();
        let result = self.guarded(|compute| compute.begin(&units));
        let elapsed = started.elapsed();
        let shared = self.compute.shared;
        shared.counters.batch(elapsed, requests.len());
        match result {
            Ok(states) => {
                for (mut request, state) in requests.into_iter().zip(states) {
                    request.compute += elapsed;
                    let times = RequestTimes::of(&request);
                    let Work::Generate(begin) = request.work else { continue };
                    match Generation::begin(self.compute.loaded, *begin, &times, state) {
                        Some(generation) => self.active.push(generation),
                        None => count(&shared.counters.answered, 1),
                    }
                }
            }
            Err(error) => {
                if requests.len() > 1 {
                    tracing::warn!(%error, requests = requests.len(), "prompts failed; they are run alone");
                    for mut request in requests {
                        request.compute += elapsed;
                        self.begin(vec![request]);
                    }
                } else if let Some(request) = requests.into_iter().next() {
                    count(&shared.counters.failed, 1);
                    request.work.fail(error);
                }
            }
        }
        shared.counters.generations.store(self.active.len(), Ordering::Relaxed);
    }

    /// One token for every generation; where that fails, each by itself.
    fn step(&mut self) {
        let shared = self.compute.shared;
        let loaded = self.compute.loaded;
        self.active.retain(|generation| !generation.abandoned());
        let mut active = std::mem::take(&mut self.active);
        if !active.is_empty() {
            let started = Instant::now();
            let together: Vec<&Generation> = active.iter().collect();
            let mut results: Vec<Result<_>> = match self.guarded(|compute| compute.step(&together)) {
                Ok(states) => states.into_iter().map(Ok).collect(),
                Err(error) if active.len() == 1 => vec![Err(error)],
                Err(error) => {
                    tracing::warn!(%error, generations = active.len(), "a step failed; each is run alone");
                    active
                        .iter()
                        .map(|generation| {
                            let mut one = self.guarded(|compute| compute.step(&[generation]))?;
                            one.pop().ok_or_else(|| EngineError::Shape("a step gave nothing".into()))
                        })
                        .collect()
                }
            };
            let elapsed = started.elapsed();
            shared.counters.batch(elapsed, active.len());
            let mut results = results.drain(..);
            active.retain_mut(|generation| {
                generation.compute += elapsed;
                match results.next() {
                    Some(Ok(state)) => {
                        let goes_on = generation.advance(loaded, state);
                        count(&shared.counters.answered, usize::from(!goes_on));
                        goes_on
                    }
                    Some(Err(error)) => {
                        count(&shared.counters.failed, 1);
                        generation.fail(error);
                        false
                    }
                    None => false,
                }
            });
            drop(results);
        }
        self.active = active;
        shared.counters.generations.store(self.active.len(), Ordering::Relaxed);
    }

    /// Runs the model; a panic becomes an error.
    fn guarded<T>(&mut self, run: impl FnOnce(&mut Compute<'a>) -> Result<T>) -> Result<T> {
        let result = contained(|| run(&mut self.compute));
        if matches!(result, Err(EngineError::Panicked(_))) {
            let shared = self.compute.shared;
            count(&shared.counters.panics, 1);
            // A panic may have poisoned the locks inside cached tensors.
            shared.cache.lock().clear();
        }
        result
    }
}

/// Sends a finished request's results.
fn finish<U, O>(shared: &Shared, request: Request, project: fn(&mut Work) -> Option<&mut Units<U, O>>) {
    let times = request.times();
    let mut work = request.work;
    let Some(units) = project(&mut work) else { return };
    let (closed, _) = tokio::sync::oneshot::channel();
    let reply = std::mem::replace(&mut units.reply, closed);
    count(&shared.counters.answered, 1);
    // A caller who has gone in the meantime doesn't hear it.
    drop(reply.send(Ok((std::mem::take(&mut units.outputs), times))));
}

fn images(work: &mut Work) -> Option<&mut Units<crate::units::ImageUnit, reasonedit_nn::taps::PooledTaps>> {
    if let Work::Images(units) = work { Some(units) } else { None }
}

fn pairs(work: &mut Work) -> Option<&mut Units<crate::units::PairUnit, reasonedit_nn::taps::PooledTaps>> {
    if let Work::Pairs(units) = work { Some(units) } else { None }
}

fn sentences(work: &mut Work) -> Option<&mut Units<crate::units::SentenceUnit, Vec<f32>>> {
    if let Work::Sentences(units) = work { Some(units) } else { None }
}

fn asks(work: &mut Work) -> Option<&mut Units<crate::units::AskUnit, crate::units::AskOutput>> {
    if let Work::Asks(units) = work { Some(units) } else { None }
}

fn model_calls(work: &mut Work) -> Option<&mut Units<crate::units::ModelCallUnit, ()>> {
    if let Work::ModelCalls(units) = work { Some(units) } else { None }
}

/// Turns a panic into an error.
fn contained<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the closures touch is either dropped after a panic or cleared by `guarded`.
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(EngineError::Panicked(panic_message(&*panic).to_owned())))
}
