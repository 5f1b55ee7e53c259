//! Metrics in the Prometheus text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Media type of the text.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the latency histogram in seconds: a retrieval takes milliseconds, an edit with a large
/// model minutes.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

#[derive(Clone, Debug, Default)]
struct Histogram {
    /// Observations up to each bound, not summed up.
    counts: [u64; BUCKETS.len()],
    total: u64,
    seconds: f64,
}

#[derive(Debug, Default)]
struct Requests {
    /// By method, route, status.
    counts: BTreeMap<(&'static str, String, u16), u64>,
    /// By method, route.
    latencies: BTreeMap<(&'static str, String), Histogram>,
}

/// Counters of requests.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<Requests>,
    in_flight: AtomicI64,
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has begun.
    pub fn begun(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended. `route` is the route's template and `method` one of a few names, so that the number of
    /// series is bounded.
    pub fn ended(&self, method: &'static str, route: &str, status: u16, elapsed: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let seconds = elapsed.as_secs_f64();
        let mut requests = self.lock();
        *requests.counts.entry((method, route.to_owned(), status)).or_default() += 1;
        let histogram = requests.latencies.entry((method, route.to_owned())).or_default();
        if let Some(count) =
            BUCKETS.iter().position(|&bound| seconds <= bound).map(|i| &mut histogram.counts[i])
        {
            *count += 1;
        }
        histogram.total += 1;
        histogram.seconds += seconds;
    }

    /// Writes everything counted here.
    pub fn write(&self, text: &mut Text) {
        let requests = self.lock();
        text.family("reasonedit_http_requests_total", "counter", "Requests answered.");
        for ((method, route, status), count) in &requests.counts {
            let status = status.to_string();
            let labels = [("method", *method), ("route", route), ("status", &status)];
            text.sample("reasonedit_http_requests_total", &labels, *count as f64);
        }
        let name = "reasonedit_http_request_duration_seconds";
        text.family(name, "histogram", "Time from a request's head to the head of its answer.");
        for ((method, route), histogram) in &requests.latencies {
            let labels = [("method", *method), ("route", route.as_str())];
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(histogram.counts) {
                below += count;
                let bound = bound.to_string();
                text.sample(&format!("{name}_bucket"), &[labels[0], labels[1], ("le", &bound)], below as f64);
            }
            let total = histogram.total as f64;
            text.sample(&format!("{name}_bucket"), &[labels[0], labels[1], ("le", "+Inf")], total);
            text.sample(&format!("{name}_sum"), &labels, histogram.seconds);
            text.sample(&format!("{name}_count"), &labels, total);
        }
        drop(requests);
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        text.single(
            "reasonedit_http_requests_in_flight",
            "gauge",
            "Requests being worked on.",
            in_flight as f64,
        );
    }
}

/// The text that is being written.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Begins a metric: its type and what it means.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value of it.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// A metric with one value and no labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_by_route_method_and_status() {
        let metrics = Metrics::default();
        for (status, ms) in [(200, 1), (200, 40), (422, 3), (200, 500_000)] {
            metrics.begun();
            metrics.ended("POST", "/query", status, Duration::from_millis(ms));
        }
        metrics.begun();
        let mut text = Text::default();
        metrics.write(&mut text);
        insta::assert_snapshot!(text.finish());
    }

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.sample("x", &[("model", "a\"b\\c\nd")], 1.0);
        assert_eq!(text.finish(), "x{model=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
