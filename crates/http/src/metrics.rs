//! Metrics in the Prometheus text format 0.0.4.

use std::time::Duration;

pub use prometheus::Error as MetricsError;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// Media type of the text.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the latency histogram in seconds: a retrieval takes milliseconds, an edit with a large
/// model minutes.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

const ANSWERED: &str = "reasonedit_http_requests_total";
const DURATIONS: &str = "reasonedit_http_request_duration_seconds";
const IN_FLIGHT: &str = "reasonedit_http_requests_in_flight";

/// Counters of requests.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    answered: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
}

impl Metrics {
    /// Nothing is counted yet.
    ///
    /// # Errors
    /// [`MetricsError`] for a name that can't be one.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let answered =
            IntCounterVec::new(Opts::new(ANSWERED, "Requests answered."), &["method", "route", "status"])?;
        let help = "Time from a request's head to the head of its answer.";
        let options = HistogramOpts::new(DURATIONS, help).buckets(BUCKETS.to_vec());
        let durations = HistogramVec::new(options, &["method", "route"])?;
        let in_flight = IntGauge::new(IN_FLIGHT, "Requests being worked on.")?;
        registry.register(Box::new(answered.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self { registry, answered, durations, in_flight })
    }

    /// A request has begun.
    pub fn begun(&self) {
        self.in_flight.inc();
    }

    /// It has ended. `route` is the route's template and `method` one of a few names, so that the number of
    /// series is bounded.
    pub fn ended(&self, method: &'static str, route: &str, status: u16, elapsed: Duration) {
        self.in_flight.dec();
        self.answered.with_label_values(&[method, route, &status.to_string()]).inc();
        self.durations.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }

    /// Writes everything counted here.
    pub fn write(&self, text: &mut Text) {
        // In the order in which they were always told.
        let mut families = self.registry.gather();
        let place = |family: &MetricFamily| {
            [ANSWERED, DURATIONS, IN_FLIGHT].iter().position(|name| *name == family.name())
        };
        families.sort_by_key(place);
        text.0.append(&mut families);
    }
}

/// The text that is being written.
#[derive(Debug, Default)]
pub struct Text(Vec<MetricFamily>);

impl Text {
    /// Begins a metric: its type and what it means. One without a value is not written.
    pub fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(match kind {
            MetricKind::Counter => MetricType::COUNTER,
            MetricKind::Gauge => MetricType::GAUGE,
        });
        self.0.push(family);
    }

    /// One value of the metric that was begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let Some(family) = self.0.last_mut() else { return };
        let pairs = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        if family.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        family.mut_metric().push(metric);
    }

    /// A metric with one value and no labels.
    pub fn single(&mut self, name: &str, kind: MetricKind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// The whole text.
    ///
    /// # Errors
    /// [`MetricsError`] for a metric without a name.
    pub fn finish(mut self) -> Result<String, MetricsError> {
        self.0.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&self.0)
    }
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_by_route_method_and_status() {
        let metrics = Metrics::new().unwrap();
        for (status, ms) in [(200, 1), (200, 40), (422, 3), (200, 500_000)] {
            metrics.begun();
            metrics.ended("POST", "/query", status, Duration::from_millis(ms));
        }
        metrics.begun();
        let mut text = Text::default();
        metrics.write(&mut text);
        insta::assert_snapshot!(text.finish().unwrap());
    }

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.family("x", MetricKind::Gauge, "");
        text.sample(&[("model", "a\"b\\c\nd")], 1.0);
        assert_eq!(text.finish().unwrap(), "# TYPE x gauge\nx{model=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
