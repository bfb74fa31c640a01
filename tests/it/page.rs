//! The page and its JSON: what an operator reads, from windlass itself.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

impl Lab {
    fn page_url(&self, path: &str) -> String {
        let url = &self.world.windlass.metrics_url;
        url.replace("/metrics", path)
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.world.http.get(self.page_url(path)).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let text = answer.text().await.unwrap().replace("&#x2f;", "/");
        self.world.scrub(&text)
    }

    /// An answer of the API, which is as its description says.
    async fn json(&self, path: &str) -> Value {
        let text = self.page(path).await;
        let answer = serde_json::from_str(&text).unwrap();
        let description = self.page("/api/openapi.json").await;
        let problems = unlike(&serde_json::from_str(&description).unwrap(), path, &answer);
        assert_eq!(problems, Vec::<String>::new(), "{path}");
        answer
    }
}

/// What of an answer is not as an OpenAPI description says.
fn unlike(description: &Value, path: &str, answer: &Value) -> Vec<String> {
    let fixed = |known: &str| known.split('{').next().unwrap().to_string();
    let mut paths = description["paths"].as_object().unwrap().iter();
    let (_, operation) = paths
        .find(|(known, _)| path.starts_with(&fixed(known)))
        .unwrap();
    let schema = &operation["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    let mut schema = schema.clone();
    schema["components"] = description["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems = validator.iter_errors(answer);
    problems.map(|problem| problem.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_needs_somebody_first() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let wanted = CONFIG.replace("{a: '1'}", "{a: '2'}");
    let (number, _) = lab.change("more", &[("config.yaml", Some(&wanted))]).await;
    lab.world
        .until("the verdict is there", async || {
            (lab.world.judged(number).await.0 == 200).then_some(())
        })
        .await;
    let overview = lab.json("/api/overview").await;
    let description = lab.page("/api/openapi.json").await;
    let description = serde_json::from_str(&description).unwrap();
    let mut other = overview.clone();
    other["repositories"] = json!([{"name": 1}]);
    assert!(!unlike(&description, "/api/overview", &other).is_empty());
    assert_eq!(overview["problems"], json!([]));
    let repository = &overview["repositories"][0];
    let cell = &repository["applications"][0]["cells"][0];
    assert_eq!(
        (&cell["word"], &cell["tone"], &cell["pulls"][0]["number"]),
        (&json!("Healthy"), &json!("good"), &json!(number))
    );
    assert_eq!(
        (
            &repository["pulls"][0]["author"],
            &repository["pulls"][0]["standing"]
        ),
        (&json!("bob"), &json!("pending"))
    );
    // What `windlass doctor` would advise: a server looks by itself once it is ready.
    lab.world
        .until("the installation was looked at", async || {
            let overview = lab.json("/api/overview").await;
            let found = overview["installation"].as_array()?.iter();
            let mut gates = found.filter(|one| one["tone"] == "wait");
            let said = "acme/config: people can merge into main whatever windlass/gate says";
            gates.any(|one| one["what"] == said).then_some(())
        })
        .await;
    let text = lab.page("/").await;
    has(
        &text,
        &[
            "lab",
            "Healthy",
            "Change by bob",
            "published the preview",
            "of the installation to look at",
            "add a ruleset for the branch",
        ],
    );
    // An open page hears of what happens.
    let mut stream = lab
        .world
        .http
        .get(lab.page_url("/api/stream"))
        .send()
        .await
        .unwrap();
    lab.world.windlass(&["pause", "lab/staging", "--for", "1h"]);
    let message = async {
        let mut heard = String::new();
        while !heard.contains("event: message\ndata: ") {
            let chunk = stream.chunk().await.unwrap().unwrap();
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(30), message).await;
    heard.expect("the page is told of the pause");
    let problem = lab
        .world
        .until("the pause is a problem", async || {
            let overview = lab.json("/api/overview").await;
            overview["problems"].get(0).cloned()
        })
        .await;
    assert_eq!(
        (&problem["title"], &problem["word"], &problem["tone"]),
        (&json!("lab/staging"), &json!("Paused"), &json!("wait"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_an_application_and_a_pull_request_show_their_objects() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let application = lab.json("/api/applications/lab/staging").await;
    let objects: Vec<_> = application["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            (
                object["kind"].clone(),
                object["word"].clone(),
                object["action"].clone(),
            )
        })
        .collect();
    assert_eq!(
        objects,
        [
            (json!("ConfigMap"), json!("Healthy"), json!(null)),
            (json!("Deployment.apps"), json!("Healthy"), json!(null)),
            (json!("Namespace"), json!("Healthy"), json!(null)),
        ]
    );
    // What a sync would change is shown while nothing is synced.
    lab.world.windlass(&["pause", "lab/staging", "--for", "1h"]);
    lab.kubectl(&["scale", "deployment/lab", "--replicas=1"]);
    let diff = lab
        .world
        .until("the difference is shown", async || {
            let page = lab.json("/api/applications/lab/staging").await;
            let objects = page["objects"].as_array()?.clone();
            let changed = objects
                .into_iter()
                .find(|object| object["action"] == "change")?;
            changed["diff"].as_str().map(str::to_string)
        })
        .await;
    has(&diff, &["-  replicas: 1", "+  replicas: 2"]);
    let text = lab.page("/applications/lab/staging").await;
    has(
        &text,
        &["Paused", "windlass resume lab/staging", "+  replicas: 2"],
    );
    let hostile = CONFIG.replace("{a: '1'}", "{a: '<script>alert(1)</script>'}");
    let (number, _) = lab
        .change("hostile", &[("config.yaml", Some(&hostile))])
        .await;
    let path = format!("/pulls/acme/config/{number}");
    let text = lab
        .world
        .until("the verdict is on the page", async || {
            let text = lab.page(&path).await;
            text.contains("approval").then_some(text)
        })
        .await;
    has(&text, &["ConfigMap", "change", "&lt;script&gt;"]);
    has_not(&text, &["<script>alert"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_only_for_people_inside() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let get = async |path: &str, host: Option<&str>| {
        let mut request = lab.world.http.get(lab.page_url(path));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.send().await.unwrap()
    };
    for path in [
        "/",
        "/applications/lab/staging",
        "/api/overview",
        "/api/stream",
    ] {
        let refused = get(path, Some("evil.example")).await;
        assert_eq!(refused.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
    let answer = get("/", Some("localhost:8081")).await;
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    has(policy, &["default-src 'none'", "frame-ancestors 'none'"]);
    // Probes and metrics are asked for by any name.
    assert_eq!(
        get("/healthz", Some("evil.example")).await.status(),
        StatusCode::OK
    );
    for path in [
        "/applications/lab/nope",
        "/pulls/acme/config/99",
        "/pulls/a/b/c",
    ] {
        assert_eq!(
            get(path, None).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    // The public address shows nothing of it.
    let url = lab.world.windlass.url.clone();
    for path in ["/applications/lab/staging", "/api/overview", "/page.js"] {
        let answer = lab
            .world
            .http
            .get(format!("{url}{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}
