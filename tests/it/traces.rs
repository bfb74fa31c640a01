//! Traces, as a collector of OpenTelemetry receives them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::support::{Setup, World};

/// A collector. `token`: what its requests have to name.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    resource: Arc<Mutex<BTreeMap<String, String>>>,
    refused: Arc<Mutex<usize>>,
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |one: &KeyValue| match one.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some((one.key.clone(), text.clone())),
        _ => None,
    };
    all.iter().filter_map(text).collect()
}

async fn receive(State(collector): State<Collector>, headers: http::HeaderMap, body: Bytes) {
    if headers.get("x-team").is_none_or(|team| team != "shop") {
        *collector.refused.lock().unwrap() += 1;
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of in request.resource_spans {
        *collector.resource.lock().unwrap() = attributes(&of.resource.unwrap().attributes);
        let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
        collector.spans.lock().unwrap().extend(spans);
    }
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let routes = axum::Router::new()
            .route("/v1/traces", axum::routing::post(receive))
            .with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (collector, url)
    }

    /// The names of the spans below a reconcile of a queue, with those of all below them.
    fn below(&self, queue: &str) -> Vec<String> {
        let spans = self.spans.lock().unwrap().clone();
        let is_root = |span: &&Span| {
            span.parent_span_id.is_empty()
                && span.name == "reconcile"
                && attributes(&span.attributes)
                    .get("queue")
                    .map(String::as_str)
                    == Some(queue)
        };
        let traces: Vec<_> = spans
            .iter()
            .filter(is_root)
            .map(|span| &span.trace_id)
            .collect();
        let mut names: Vec<_> = spans
            .iter()
            .filter(|span| traces.contains(&&span.trace_id))
            .map(|span| span.name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reconcile_is_a_trace_of_what_it_requested_and_rendered() {
    let (collector, url) = Collector::start().await;
    let mut world = World::asleep(Setup::default()).await;
    world.windlass.environment.extend([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=shop".into()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".into()),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment=test".into(),
        ),
    ]);
    world.start();
    world.settled().await;
    world.commit("Seen by a fetch", &[("README.md", Some("read\n"))]);
    let expected = [
        (
            "application",
            ["Kubernetes", "act", "observe", "render"].as_slice(),
        ),
        ("repository", &["GitHub", "git fetch"]),
        ("commit", &["GitHub"]),
    ];
    for (queue, names) in expected {
        world
            .until(&format!("traces of {queue}"), async || {
                let found = collector.below(queue);
                let all = names.iter().all(|name| found.iter().any(|one| one == name));
                all.then_some(())
            })
            .await;
    }
    let resource = collector.resource.lock().unwrap().clone();
    assert_eq!(resource["service.name"], "windlass");
    assert_eq!(resource["deployment.environment"], "test");
    assert_eq!(
        *collector.refused.lock().unwrap(),
        0,
        "headers of the environment are sent"
    );
    // What is recorded names things and has no content.
    let spans = format!("{:?}", collector.spans.lock().unwrap());
    let secret = world.forge.state().token_of("ada");
    assert!(!spans.contains(&secret) && spans.contains("shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_delays_nothing() {
    let mut world = World::asleep(Setup::default()).await;
    let closed = "http://127.0.0.1:9".to_string();
    world
        .windlass
        .environment
        .push(("OTEL_EXPORTER_OTLP_ENDPOINT", closed));
    world.start();
    world.settled().await;
}
