//! Logs and metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::traces::Traces;

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Logs go to standard error. kube logs the whole body of a response that it cannot parse, and that
/// may hold a Secret: those messages are turned off.
pub fn log_to_stderr(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    record(filter, format, None)
}

/// The same, with traces.
pub fn record(filter: &str, format: LogFormat, traces: Option<&Traces>) -> anyhow::Result<()> {
    let filter: EnvFilter =
        format!("{filter},kube_client::client=error,kube_client::client::builder=off").parse()?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| OneLine(std::io::stderr()));
    let lines: Box<dyn Layer<_> + Send + Sync> = match format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    let traces = traces.map(|traces| traces.layer().boxed());
    let layers: Vec<_> = [Some(lines), traces].into_iter().flatten().collect();
    tracing_subscriber::registry()
        .with(layers)
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging is set up already: {error}"))
}

/// Writes each log record as one line. Text from outside, such as a path or a server's message, can
/// neither start a line of its own nor send control codes to a terminal.
struct OneLine<W>(W);

impl<W: std::io::Write> std::io::Write for OneLine<W> {
    fn write(&mut self, record: &[u8]) -> std::io::Result<usize> {
        let (text, end) = record
            .strip_suffix(b"\n")
            .map_or((record, &b""[..]), |text| (text, &b"\n"[..]));
        let mut line = Vec::with_capacity(record.len());
        for byte in text {
            match byte {
                b'\n' => line.extend(b"\\n"),
                b'\t' => line.push(b' '),
                0..=31 | 127 => line.extend(format!("\\x{byte:02x}").bytes()),
                byte => line.push(*byte),
            }
        }
        line.extend(end);
        self.0.write_all(&line)?;
        Ok(record.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// What is counted of an application.
pub struct ApplicationInfo {
    /// `application`, `stage`, and what its state is.
    pub labels: Vec<(&'static str, String)>,
    /// When its last sync was finished, in seconds since 1970.
    pub synced_at: Option<i64>,
}

/// The metrics, in the OpenMetrics text format.
pub struct Metrics {
    scrape: Mutex<()>,
    registry: Registry,
    applied: Counter,
    events: Counter,
    webhooks: Counter,
    refused: Counter<u64, AtomicU64>,
    previews: Histogram,
    requests: Counter<u64, AtomicU64>,
    predictions: Family<Vec<(&'static str, &'static str)>, Counter>,
    activities: Family<Vec<(&'static str, String)>, Counter>,
    drift_reverted: Family<Vec<(&'static str, String)>, Counter>,
    applications: Family<Vec<(&'static str, String)>, Gauge>,
    synced: Family<Vec<(&'static str, String)>, Gauge>,
    queues: Family<Vec<(&'static str, &'static str)>, Gauge>,
    github: Family<Vec<(&'static str, String)>, Counter>,
    github_remaining: Family<Vec<(&'static str, String)>, Gauge>,
    github_limited: Family<Vec<(&'static str, String)>, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("windlass");
        let metrics = Self {
            scrape: Mutex::default(),
            applied: Counter::default(),
            events: Counter::default(),
            webhooks: Counter::default(),
            refused: Counter::default(),
            previews: Histogram::new(exponential_buckets(0.05, 2.0, 12)),
            requests: Counter::default(),
            predictions: Family::default(),
            activities: Family::default(),
            drift_reverted: Family::default(),
            applications: Family::default(),
            synced: Family::default(),
            queues: Family::default(),
            github: Family::default(),
            github_remaining: Family::default(),
            github_limited: Family::default(),
            registry: Registry::default(),
        };
        registry.register(
            "objects_applied",
            "Objects written by server-side apply",
            metrics.applied.clone(),
        );
        registry.register(
            "image_events",
            "Image events accepted",
            metrics.events.clone(),
        );
        registry.register(
            "webhooks",
            "Webhook deliveries accepted",
            metrics.webhooks.clone(),
        );
        registry.register(
            "requests_refused",
            "Requests without a valid signature or token",
            metrics.refused.clone(),
        );
        metrics.register_work(&mut registry);
        metrics.register_applications(&mut registry);
        metrics.register_github(&mut registry);
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    fn register_work(&self, registry: &mut Registry) {
        registry.register(
            "preview_seconds",
            "Time to make a preview",
            self.previews.clone(),
        );
        registry.register(
            "cluster_requests",
            "Requests to API servers that were answered",
            self.requests.clone(),
        );
        registry.register(
            "predictions",
            "Objects of merged pull requests, by whether the result matched the preview",
            self.predictions.clone(),
        );
        registry.register(
            "activities",
            "What windlass did, by the reason that its Events have",
            self.activities.clone(),
        );
        registry.register(
            "queue_keys",
            "Reconcile keys that are in progress or scheduled",
            self.queues.clone(),
        );
    }
    fn register_applications(&self, registry: &mut Registry) {
        registry.register(
            "application_info",
            "1 for each application in each stage, with its state as labels",
            self.applications.clone(),
        );
        registry.register(
            "application_synced_timestamp_seconds",
            "When the last sync of an application was finished, in seconds since 1970",
            self.synced.clone(),
        );
        registry.register(
            "drift_reverted",
            "Objects that are again as Git has them, after somebody else changed them",
            self.drift_reverted.clone(),
        );
    }
    fn register_github(&self, registry: &mut Registry) {
        registry.register(
            "github_requests",
            "Requests that GitHub answered, by what they do and their status code; 304 does not count against the limit",
            self.github.clone(),
        );
        registry.register(
            "github_remaining",
            "Requests left to an installation in this hour, as GitHub last said",
            self.github_remaining.clone(),
        );
        registry.register(
            "github_limited_seconds",
            "For how long nothing is sent to GitHub for an installation, since it is limited",
            self.github_limited.clone(),
        );
    }
    pub fn applied(&self, objects: usize) {
        self.applied.inc_by(objects as u64);
    }
    pub fn image_event(&self) {
        self.events.inc();
    }
    pub fn webhook(&self) {
        self.webhooks.inc();
    }
    pub fn refused(&self) {
        self.refused.inc();
    }
    pub fn previewed(&self, took: Duration) {
        self.previews.observe(took.as_secs_f64());
    }
    pub fn queue(&self, name: &'static str, pending: usize) {
        self.queues
            .get_or_create(&vec![("queue", name)])
            .set(i64::try_from(pending).unwrap_or(i64::MAX));
    }
    /// `request`: of a closed list. `total`: how many of its answers have had the status code since the start.
    pub fn github_requests(&self, request: String, status: u16, total: u64) {
        let label = vec![("request", request), ("status", status.to_string())];
        let counter = self.github.get_or_create(&label);
        counter.inner().fetch_max(total, Ordering::Relaxed);
    }
    /// What is left of the limits that GitHub sets an installation; `limited`: for how long it refuses all.
    pub fn github_limits(&self, installation: u64, remaining: Option<u64>, limited: Duration) {
        let label = vec![("installation", installation.to_string())];
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        if let Some(remaining) = remaining {
            self.github_remaining
                .get_or_create(&label)
                .set(number(remaining));
        }
        self.github_limited
            .get_or_create(&label)
            .set(number(limited.as_secs()));
    }
    /// `reason`: of a closed list, as Events have it.
    pub fn activity(&self, reason: &str) {
        let label = vec![("reason", reason.to_string())];
        self.activities.get_or_create(&label).inc();
    }
    pub fn drift_reverted(&self, application: String, stage: String) {
        let labels = vec![("application", application), ("stage", stage)];
        self.drift_reverted.get_or_create(&labels).inc();
    }
    /// Replaces what is known of the applications.
    fn applications(&self, all: impl IntoIterator<Item = ApplicationInfo>) {
        self.applications.clear();
        self.synced.clear();
        for info in all {
            self.applications.get_or_create(&info.labels).set(1);
            let named = |(name, _): &(&str, String)| ["application", "stage"].contains(name);
            let labels: Vec<_> = info.labels.into_iter().filter(named).collect();
            if let Some(at) = info.synced_at {
                self.synced.get_or_create(&labels).set(at);
            }
        }
    }
    pub fn predicted(&self, held: usize, missed: usize) {
        for (outcome, count) in [("held", held), ("missed", missed)] {
            self.predictions
                .get_or_create(&vec![("outcome", outcome)])
                .inc_by(count as u64);
        }
    }
    /// `total`: how many requests the API servers have answered since the start.
    pub fn cluster_requests(&self, total: u64) {
        self.requests.inner().fetch_max(total, Ordering::Relaxed);
    }
    /// All metrics; `applications`: as they are now, if that is known.
    pub fn text(&self, applications: Option<Vec<ApplicationInfo>>) -> String {
        // Two scrapes at once do not see each other's half.
        let _alone = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = applications {
            self.applications(all);
        }
        let mut text = String::new();
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_record_is_a_line() {
        let mut written = OneLine(Vec::new());
        written
            .write_all(b"INFO path=a\nERROR forged \x1b[31m\n")
            .unwrap();
        assert_eq!(
            String::from_utf8(written.0).unwrap(),
            "INFO path=a\\nERROR forged \\x1b[31m\n"
        );
    }
}
