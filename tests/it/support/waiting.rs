//! Waiting in a story: until something is there, all is healthy, or windlass rests.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::World;

/// A step of a story may take this long before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

impl World {
    /// Looks until it is there: ten times a second, and less often the longer it takes.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let started = Instant::now();
        let mut pause = Duration::from_millis(100);
        while started.elapsed() < PATIENCE {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(pause).await;
            pause = (pause + Duration::from_millis(10)).min(Duration::from_millis(300));
        }
        let log = std::fs::read_to_string(self.windlass.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().filter(|line| !line.is_empty()).collect();
        panic!(
            "waited {} s in vain: {what}\nwindlass's last words:\n{}",
            PATIENCE.as_secs(),
            lines[lines.len().saturating_sub(25)..].join("\n")
        );
    }

    /// Every application is synced and healthy, and the tip's status says so.
    pub async fn settled(&self) {
        self.until("every application is synced and healthy", async || {
            let objects = self.applications().await;
            let true_twice = |object: &Value| {
                object["status"]["conditions"]
                    .as_array()
                    .is_some_and(|all| all.len() == 2 && all.iter().all(|c| c["status"] == "True"))
            };
            (objects.len() >= 2 && objects.iter().all(true_twice)).then_some(())
        })
        .await;
    }

    /// For a second windlass was ready, had nothing left to do, and asked the cluster for nothing
    /// but its Lease.
    pub async fn quiet(&self) {
        let last = Mutex::new(Instant::now());
        self.until("windlass rests", async || {
            let asked = self.proxy.take_asked();
            let rests = self.rests().await;
            let mut last = last.lock().unwrap();
            if !rests || asked.iter().any(|what| !what.contains("/leases")) {
                *last = Instant::now();
            }
            (last.elapsed() > Duration::from_secs(1)).then_some(())
        })
        .await;
    }

    /// Whether windlass is ready and none of its loops has anything pending.
    async fn rests(&self) -> bool {
        let get = async |url: String| {
            let answer = self
                .http
                .get(url)
                .send()
                .await
                .ok()?
                .error_for_status()
                .ok()?;
            answer.text().await.ok()
        };
        let pending = |metrics: &str| {
            metrics
                .lines()
                .filter(|line| line.starts_with("windlass_queue_keys{"))
                .filter(|line| !line.ends_with(" 0"))
                .count()
        };
        get(format!("{}/readyz", self.windlass.url)).await.is_some()
            && get(self.windlass.metrics_url.clone())
                .await
                .is_some_and(|metrics| pending(&metrics) == 0)
    }

    /// The last verdict on a pull request, as windlass itself answers it: status code and body.
    pub async fn judged(&self, number: u64) -> (u16, Value) {
        let path = format!("/verdicts/acme/config/{number}");
        let url = self.windlass.metrics_url.replace("/metrics", &path);
        let answer = self.http.get(url).send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    /// What windlass counts.
    pub async fn metrics(&self) -> String {
        let answer = self
            .http
            .get(&self.windlass.metrics_url)
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    }
}
