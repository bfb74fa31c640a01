//! The page: what its templates and its JSON get. Each page is one object; the JSON of it is the
//! API's answer.
//!
//! HTML is escaped by the template engine, since the templates' names end with `.html`.

mod api;
mod application;
mod overview;
mod pull;

pub use api::description;
pub use application::{Application, Candidate, Command, LiveObject, Past};
pub use overview::{Cell, Found, Overview, Repository, Row, Trouble, paced};
pub use pull::{Changed, PullPage, VerdictView};

use jiff::Timestamp;
use minijinja::value::Serde;
use schemars::JsonSchema;
use serde::Serialize;

use super::terminal::unmarked;
use super::{Tone, templates};
use crate::domain::activity::{Activity, Subject, What};
use crate::domain::gate::{Standing, Verdict};
use crate::domain::image::ImageRef;
use crate::domain::pull_request::ApplicationSummary;
use crate::domain::{CommitSha, PullRequestKey, TargetKey};

const TEMPLATES: [(&str, &str); 5] = [
    (
        "page.html",
        include_str!("../../../templates/page/page.html"),
    ),
    (
        "parts.html",
        include_str!("../../../templates/page/parts.html"),
    ),
    (
        "overview.html",
        include_str!("../../../templates/page/overview.html"),
    ),
    (
        "application.html",
        include_str!("../../../templates/page/application.html"),
    ),
    (
        "pull.html",
        include_str!("../../../templates/page/pull.html"),
    ),
];
pub const STYLE: &str = include_str!("../../../templates/page/page.css");
pub const SCRIPT: &str = include_str!("../../../templates/page/page.js");

/// One page: its frame, and what it is about.
#[derive(Serialize, JsonSchema)]
pub struct Page<T> {
    /// Who is signed in; None: nobody has to be.
    pub login: Option<String>,
    /// windlass's version.
    pub version: &'static str,
    /// The namespace that windlass runs in.
    pub namespace: String,
    #[schemars(with = "String")]
    pub now: Timestamp,
    pub title: String,
    #[serde(rename = "page")]
    pub kind: Kind,
    #[serde(flatten)]
    pub body: T,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Overview,
    Application,
    Pull,
}

/// A link to a pull request's page.
#[derive(Serialize, JsonSchema, Clone)]
pub struct PullLink {
    pub number: u64,
    pub href: String,
}

/// An open pull request, with the verdict on it.
#[derive(Serialize, JsonSchema, Clone)]
pub struct Pull {
    pub number: u64,
    pub title: String,
    pub href: String,
    /// On GitHub.
    pub url: Option<String>,
    pub author: String,
    pub standing: Option<Standing>,
    pub reason: String,
}

/// One line of what windlass did.
#[derive(Serialize, JsonSchema, Clone)]
pub struct Entry {
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub tone: Tone,
    pub subject: String,
    pub href: Option<String>,
    pub text: String,
}

impl Pull {
    pub fn new(
        key: &PullRequestKey,
        (title, author, url): (&str, &str, Option<String>),
        verdict: Option<&Verdict>,
    ) -> Self {
        Self {
            number: key.number,
            title: title.into(),
            href: pull_href(key),
            url,
            author: author.into(),
            standing: verdict.map(|verdict| verdict.standing),
            reason: verdict
                .map(|verdict| unmarked(&verdict.reason))
                .unwrap_or_default(),
        }
    }
}

impl Entry {
    pub fn new(activity: &Activity) -> Self {
        Self {
            at: seconds(activity.at),
            tone: tone(&activity.what),
            subject: super::subject(&activity.subject),
            href: Some(match &activity.subject {
                Subject::Application(key) => application_href(key),
                Subject::PullRequest(key) => pull_href(key),
            }),
            text: super::activity(&activity.what),
        }
    }
}

fn tone(what: &What) -> Tone {
    match what {
        What::State(state) => {
            let summary = ApplicationSummary {
                sync: state.sync,
                health: state.health,
                reason: Some(state.reason.clone()),
                blocked: state.is_blocked,
                ..ApplicationSummary::default()
            };
            super::standing(&summary).0
        }
        What::DriftReverted(_) => Tone::Wait,
        What::Merged { .. } => Tone::Good,
        What::Applied { .. } => Tone::Busy,
        _ => Tone::None,
    }
}

impl<T: Serialize> Page<T> {
    pub fn html(&self) -> String {
        let environment = templates(&TEMPLATES);
        let name = match self.kind {
            Kind::Overview => "overview.html",
            Kind::Application => "application.html",
            Kind::Pull => "pull.html",
        };
        let template = environment
            .get_template(name)
            .expect("the name is one of TEMPLATES");
        template
            .render(Serde(self))
            .expect("the templates are tested with every page")
    }
}

/// Nobody reads fractions of a second.
pub fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

pub fn application_href(key: &TargetKey) -> String {
    format!("/applications/{}", key.title())
}

pub fn pull_href(key: &PullRequestKey) -> String {
    format!("/pulls/{}/{}", key.repo, key.number)
}

/// `web:1.4.2 (sha256:12ab34cd)`.
pub(super) fn image(image: &ImageRef) -> String {
    let name = image.name.rsplit('/').next().unwrap_or_default();
    let tag = image.tag.as_ref().map(|tag| format!(":{tag}"));
    let digest = image.digest.as_ref();
    let digest = digest.map(|digest| format!(" ({})", digest.short()));
    format!(
        "{name}{}{}",
        tag.unwrap_or_default(),
        digest.unwrap_or_default()
    )
}

/// A commit on GitHub.
fn commit_url(repository: Option<&str>, commit: Option<&CommitSha>) -> Option<String> {
    Some(format!("{}/commit/{}", repository?, commit?))
}
