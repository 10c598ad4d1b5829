//! What an agent counts, in the format of Prometheus.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// What an agent counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    tasks: IntCounterVec,
    seconds: HistogramVec,
    polls: IntCounterVec,
    results: IntCounterVec,
    running: IntGauge,
    undelivered: IntGauge,
    last_answer: Mutex<Option<Instant>>,
    /// For so long an agent is well without an answer from an AFM.
    silence: Duration,
}

impl Metrics {
    pub(crate) fn new(silence: Duration) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let seconds = HistogramOpts::new("slamon_agent_task_seconds", "How long tasks were executed")
            .buckets(vec![0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]);
        let seconds = HistogramVec::new(seconds, &["task_type"])?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            tasks: counter(
                "slamon_agent_tasks_total",
                "Tasks that were executed, by how that ended: completed, failed, cancelled or late",
                &["task_type", "outcome"],
            )?,
            polls: counter("slamon_agent_polls_total", "Polls, by whether they were answered", &["outcome"])?,
            results: counter(
                "slamon_agent_results_total",
                "Results, by what became of them: delivered or refused",
                &["outcome"],
            )?,
            running: gauge("slamon_agent_tasks_running", "Tasks that are being executed")?,
            undelivered: gauge("slamon_agent_results_undelivered", "Results that no AFM has yet")?,
            seconds,
            registry,
            last_answer: Mutex::new(None),
            silence,
        })
    }

    pub(crate) fn executed(&self, task_type: &str, outcome: &str, took: Duration) {
        self.tasks.with_label_values(&[task_type, outcome]).inc();
        self.seconds.with_label_values(&[task_type]).observe(took.as_secs_f64());
    }

    pub(crate) fn polled(&self, is_answered: bool) {
        self.polls.with_label_values(&[if is_answered { "answered" } else { "failed" }]).inc();
        if is_answered {
            *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    pub(crate) fn delivered(&self, is_stored: bool) {
        self.results.with_label_values(&[if is_stored { "delivered" } else { "refused" }]).inc();
    }

    /// Whether an AFM has answered lately.
    pub(crate) fn is_answered(&self) -> bool {
        let last_answer = *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner);
        last_answer.is_some_and(|at| at.elapsed() < self.silence)
    }

    /// All of it as text.
    pub(crate) fn text(&self, running: usize, undelivered: usize) -> Result<String, prometheus::Error> {
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        self.undelivered.set(i64::try_from(undelivered).unwrap_or(i64::MAX));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::new(Duration::from_secs(60)).unwrap();
        assert!(!metrics.is_answered());
        metrics.polled(false);
        assert!(!metrics.is_answered());
        metrics.polled(true);
        metrics.executed("wait", "completed", Duration::from_millis(700));
        metrics.delivered(true);
        assert!(metrics.is_answered());
        let text = metrics.text(2, 1).unwrap();
        for line in [
            "slamon_agent_tasks_total{outcome=\"completed\",task_type=\"wait\"} 1",
            "slamon_agent_task_seconds_bucket{task_type=\"wait\",le=\"1\"} 1",
            "slamon_agent_polls_total{outcome=\"answered\"} 1",
            "slamon_agent_results_total{outcome=\"delivered\"} 1",
            "slamon_agent_tasks_running 2",
            "slamon_agent_results_undelivered 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
