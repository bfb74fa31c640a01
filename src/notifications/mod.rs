//! Sends notifications to the channels of the server's settings: Slack's incoming webhooks (and
//! what takes the same, such as Mattermost or Discord's `/slack`), or any URL with a body by a
//! template.
//!
//! A notification is best effort: it is tried a few times and then given up with a line in the log.
//! What counts stands in the thread and in the `Application`.

mod channels;

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::sync::mpsc;

pub use channels::Channels;
use channels::{Body, Channel};

use crate::domain::RepoName;
use crate::domain::notification::Moment;
use crate::outgoing::{self, Outgoing};

/// What is sent.
#[derive(Debug, Clone, Serialize)]
pub struct Notification {
    /// One sentence, without markup.
    pub text: String,
    pub moment: Moment,
    pub repository: String,
    pub application: String,
    pub stage: String,
    /// The reason's code.
    pub reason: String,
    pub message: String,
    /// In full; empty if there is none.
    pub commit: String,
    /// The commit on GitHub; empty if there is none.
    pub url: String,
}

/// Why a notification is not sent.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    #[error("{0}")]
    NoChannel(String),
    #[error("{0}")]
    Full(String),
}

/// Notifications that wait for one channel.
const MOST_WAITING: usize = 100;
/// How long a channel may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Pauses before the further attempts.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
];
/// Slack takes one message a second (api.slack.com/apis/rate-limits); others are not asked for more.
const PACE: Duration = Duration::from_secs(1);

/// One task for each channel: one that is slow delays no other.
pub struct Notifier {
    queues: Vec<(Arc<Channel>, mpsc::Sender<Notification>)>,
}

impl Notifier {
    pub fn start(channels: Channels, outgoing: &Outgoing) -> anyhow::Result<Self> {
        // An address of the settings that leads elsewhere leads nowhere.
        let client = outgoing
            .client()?
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let start = |channel: Channel| {
            let channel = Arc::new(channel);
            let (sender, receiver) = mpsc::channel(MOST_WAITING);
            tokio::spawn(send_all(client.clone(), channel.clone(), receiver));
            (channel, sender)
        };
        Ok(Self {
            queues: channels.0.into_iter().map(start).collect(),
        })
    }

    /// Sends a notification to a channel. An error if the repository may not use it.
    pub fn send(
        &self,
        repo: &RepoName,
        channel: &str,
        notification: Notification,
    ) -> Result<(), NotSent> {
        let found = self.queues.iter().find(|(known, _)| known.name == channel);
        let Some((_, queue)) = found.filter(|(known, _)| known.is_for(repo)) else {
            return Err(NotSent::NoChannel(format!(
                "the server's settings have no notification channel `{channel}` for {repo}"
            )));
        };
        let full = |_| {
            let why = format!(
                "the channel `{channel}` has {MOST_WAITING} notifications waiting: one is lost"
            );
            NotSent::Full(why)
        };
        queue.try_send(notification).map_err(full)
    }
}

async fn send_all(
    client: reqwest::Client,
    channel: Arc<Channel>,
    mut notifications: mpsc::Receiver<Notification>,
) {
    while let Some(notification) = notifications.recv().await {
        let mut pauses = PAUSES.iter();
        loop {
            match send(&client, &channel, &notification).await {
                Ok(()) => break,
                Err((why, is_final)) => match pauses.next().filter(|_| !is_final) {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => {
                        tracing::warn!(channel = channel.name, why, "a notification was not sent");
                        break;
                    }
                },
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Why it was not sent, and whether that stays so. The address is a secret: it is in no message.
async fn send(
    client: &reqwest::Client,
    channel: &Channel,
    notification: &Notification,
) -> Result<(), (String, bool)> {
    let mut request = client.post(channel.url.expose_secret());
    for (name, value) in &channel.headers {
        request = request.header(name, value.expose_secret());
    }
    let request = match &channel.body {
        Body::Slack => request.json(&serde_json::json!({"text": slack(notification)})),
        Body::Template(template) => {
            let body = channels::render(template, notification).map_err(|why| (why, true))?;
            let request = match channel
                .headers
                .iter()
                .any(|(name, _)| name == "content-type")
            {
                true => request,
                false => request.header("content-type", "application/json"),
            };
            request.body(body)
        }
    };
    let answer = request
        .send()
        .await
        .map_err(|error| (outgoing::causes(&error.without_url()), false))?;
    let status = answer.status();
    let passes = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    match status.is_success() {
        true => Ok(()),
        false => Err((format!("it answers {status}"), !passes)),
    }
}

/// As Slack marks it up; what comes from outside is escaped (docs.slack.dev, "Escaping text").
fn slack(notification: &Notification) -> String {
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            // Services that take the same form know `@everyone` as plain text.
            .replace('@', "@\u{200b}")
    };
    let mark = match notification.moment {
        Moment::Failed => "🔴",
        Moment::Waiting => "🟡",
        Moment::Healthy => "🟢",
        Moment::Drift => "↩️",
    };
    let text = escaped(&notification.text);
    match notification.url.is_empty() {
        true => format!("{mark} {text}"),
        false => format!("{mark} {text} (<{}|on GitHub>)", escaped(&notification.url)),
    }
}
