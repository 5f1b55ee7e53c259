//! Requests of one urgency that wait, and whose turn it is.
//!
//! Flows share the engine by start-time fair queueing (Goyal, Vin and Cheng 1996): next is the oldest request
//! of the flow that the least was done for, counted in tokens since it came. A flow that was away comes in
//! where the others are: it neither saves up turns nor pays for what nobody else had wanted.

use std::collections::{HashMap, VecDeque};

use crate::request::Flow;
use crate::work::{Batch, Request, Share, WorkKind};

/// How many times as many generations as there are free places one flow may run: alone it leaves a quarter of
/// them free, so that nobody waits for the end of another's long reply.
const HELD_PER_FREE: usize = 3;

/// Places among the generations that run.
pub(super) struct GenerationPlaces {
    free: usize,
    held: HashMap<Flow, usize>,
}

impl GenerationPlaces {
    /// What these leave of so many.
    pub(super) fn new(all: usize, active: impl Iterator<Item = Flow>) -> Self {
        let mut this = Self { free: all, held: HashMap::new() };
        active.for_each(|flow| this.take(flow));
        this
    }

    fn admits(&self, flow: Flow) -> bool {
        self.held.get(&flow).copied().unwrap_or(0) < HELD_PER_FREE * self.free
    }

    fn take(&mut self, flow: Flow) {
        self.free = self.free.saturating_sub(1);
        *self.held.entry(flow).or_default() += 1;
    }
}

/// Requests that wait.
#[derive(Default)]
pub(super) struct Lane {
    waiting: VecDeque<Request>,
    /// Tokens that were computed for each flow since nobody waited.
    served: HashMap<Flow, u64>,
    /// Where who comes now begins: what had been done for the flow that was taken of last.
    now: u64,
}

/// A flow's requests of one kind, oldest first.
struct Candidates {
    flow: Flow,
    served: u64,
    places: VecDeque<usize>,
}

impl Lane {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A request that is new.
    pub(super) fn push(&mut self, request: Request) {
        let served = self.served.entry(request.options.flow).or_default();
        *served = self.now.max(*served);
        self.waiting.push_back(request);
    }

    /// A request of which something was computed: it is the oldest of its flow.
    pub(super) fn put_back(&mut self, request: Request) {
        self.served.entry(request.options.flow).or_insert(self.now);
        self.waiting.push_front(request);
    }

    /// Takes out those of which this holds.
    pub(super) fn remove(&mut self, which: impl Fn(&Request) -> bool) -> Vec<Request> {
        if !self.waiting.iter().any(&which) {
            return Vec::new();
        }
        let (out, rest): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(which);
        self.waiting = rest.into();
        out
    }

    /// Takes the request whose turn it is, and what goes together with it, in turns of the flows.
    pub(super) fn take(&mut self, budget: usize, places: &mut GenerationPlaces) -> Option<Batch> {
        let admitted = |request: &Request, places: &GenerationPlaces| {
            request.work.kind() != WorkKind::Generate || places.admits(request.options.flow)
        };
        let turn = self.waiting.iter().filter(|request| admitted(request, places));
        let kind = turn.min_by_key(|request| self.done_for(request.options.flow))?.work.kind();
        let mut flows = self.candidates(kind);
        let (mut left, mut taken) = (budget, Vec::new());
        while let Some(flow) = flows
            .iter_mut()
            .filter(|flow| !flow.places.is_empty())
            .filter(|flow| kind != WorkKind::Generate || places.admits(flow.flow))
            .min_by_key(|flow| flow.served)
        {
            let Some(&at) = flow.places.front() else { break };
            let (from, costs) = self.waiting[at].work.costs();
            let (mut count, mut tokens) = (0, 0);
            for cost in costs.iter().copied() {
                // The first unit of a batch is taken whatever it costs: nothing would ever take it otherwise.
                if cost > left && !(taken.is_empty() && count == 0) {
                    break;
                }
                left = left.saturating_sub(cost);
                (count, tokens) = (count + 1, tokens + cost as u64);
            }
            if count == 0 {
                break;
            }
            flow.places.pop_front();
            self.now = self.now.max(flow.served);
            flow.served += tokens;
            self.served.insert(flow.flow, flow.served);
            if kind == WorkKind::Generate {
                places.take(flow.flow);
            }
            taken.push((at, from..from + count));
            if count < costs.len() {
                break;
            }
        }
        Some(Batch { kind, shares: self.extract(taken) })
    }

    fn done_for(&self, flow: Flow) -> u64 {
        self.served.get(&flow).copied().unwrap_or(self.now)
    }

    /// The requests of a kind by their flows, the flow of the oldest first.
    fn candidates(&self, kind: WorkKind) -> Vec<Candidates> {
        let mut flows: Vec<Candidates> = Vec::new();
        let mut index = HashMap::new();
        for (at, request) in self.waiting.iter().enumerate() {
            if request.work.kind() == kind {
                let flow = request.options.flow;
                let which = *index.entry(flow).or_insert_with(|| {
                    flows.push(Candidates { flow, served: self.done_for(flow), places: VecDeque::new() });
                    flows.len() - 1
                });
                flows[which].places.push_back(at);
            }
        }
        flows
    }

    /// Takes out the requests at these places, in this order.
    fn extract(&mut self, taken: Vec<(usize, std::ops::Range<usize>)>) -> Vec<Share> {
        let mut order: Vec<usize> = (0..taken.len()).collect();
        order.sort_by_key(|&n| std::cmp::Reverse(taken[n].0));
        let mut requests: Vec<Option<Request>> = taken.iter().map(|_| None).collect();
        for n in order {
            requests[n] = self.waiting.remove(taken[n].0);
        }
        self.forget();
        let shares = requests.into_iter().zip(taken);
        shares.filter_map(|(request, (_, units))| Some(Share { request: request?, units })).collect()
    }

    /// Forgets what was done for flows, once nobody waits who could be compared with them.
    fn forget(&mut self) {
        if self.waiting.is_empty() {
            self.now = self.served.values().copied().fold(self.now, u64::max);
            self.served.clear();
        } else {
            let (now, waiting) = (self.now, &self.waiting);
            self.served.retain(|flow, served| {
                *served > now || waiting.iter().any(|request| request.options.flow == *flow)
            });
        }
    }
}
