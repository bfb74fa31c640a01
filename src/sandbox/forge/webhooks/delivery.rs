//! How events get to the App: signed, each once, with the faults that are asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::sandbox::forge::state::{Delivery, Outgoing, now, random_hex};
use crate::sandbox::forge::{Exchange, Inner};

pub(in crate::sandbox::forge) async fn deliver(inner: Arc<Inner>) {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()
        .unwrap_or_default();
    let wake = inner.state().wake.clone();
    let mut waited = false;
    loop {
        let (batch, target) = take(&inner, waited);
        let Some((url, secret)) = target.filter(|_| !batch.is_empty()) else {
            // What is held back to be reordered goes out after a while all the same.
            waited = tokio::time::timeout(Duration::from_millis(300), wake.notified())
                .await
                .is_err();
            continue;
        };
        for (outgoing, lost) in batch {
            if let Some(observer) = inner.wire().observer {
                observer(&Exchange::webhook(&outgoing));
            }
            let started = Instant::now();
            let status = if lost {
                None
            } else {
                send(&inner, &client, &url, &secret, &outgoing).await
            };
            let mut state = inner.state();
            let id = state.new_id();
            state.deliveries.push(Delivery {
                id,
                guid: outgoing.guid,
                event: outgoing.event,
                action: outgoing.action,
                installation: outgoing.installation,
                repository: outgoing.repository,
                payload: outgoing.payload,
                delivered_at: now(),
                redelivery: outgoing.redelivery,
                duration: started.elapsed().as_millis() as u64,
                status_code: status,
            });
        }
    }
}

type Batch = Vec<(Outgoing, bool)>;

fn take(inner: &Inner, waited: bool) -> (Batch, Option<(String, String)>) {
    let mut state = inner.state();
    let target = state
        .app
        .webhook_url
        .clone()
        .map(|url| (url, state.app.webhook_secret.clone()));
    let wait_for = state.faults.reorder.unwrap_or(1);
    if target.is_none() || (state.outbox.len() < wait_for && !waited) {
        return (Vec::new(), target);
    }
    let mut batch: Batch = Vec::new();
    while let Some(outgoing) = state.outbox.pop_front() {
        state.faults.count += 1;
        let lost = state
            .faults
            .lose_every
            .is_some_and(|every| state.faults.count.is_multiple_of(every));
        batch.push((outgoing.clone(), lost));
        if state.faults.duplicate && !lost {
            batch.push((outgoing, false));
        }
    }
    if state.faults.reorder.is_some() {
        batch.reverse();
    }
    (batch, target)
}

async fn send(
    inner: &Inner,
    client: &reqwest::Client,
    url: &str,
    secret: &str,
    outgoing: &Outgoing,
) -> Option<u16> {
    let body = outgoing.payload.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(body.as_bytes());
    let (app, user_agent) = (
        inner.state().app.id,
        format!("GitHub-Hookshot/{}", &random_hex(7)),
    );
    let answer = client
        .post(url)
        .header("content-type", "application/json")
        .header("user-agent", user_agent)
        .header("x-github-event", &outgoing.event)
        .header("x-github-delivery", &outgoing.guid)
        .header("x-github-hook-id", "1")
        .header("x-github-hook-installation-target-id", app.to_string())
        .header("x-github-hook-installation-target-type", "integration")
        .header(
            "x-hub-signature-256",
            format!("sha256={}", hex::encode(mac.finalize().into_bytes())),
        )
        .body(body)
        .send()
        .await;
    answer.ok().map(|answer| answer.status().as_u16())
}
