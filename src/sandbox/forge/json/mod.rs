//! The shapes in which GitHub tells of things. Each is held to GitHub's own
//! descriptions by the contract tests.
//!
//! - [`accounts`]: users, the App, and its deliveries
//! - [`rules`], [`queue`]: what branches demand, and what waits to be merged
//! - [`repository`], [`pulls`], [`commits`], [`git`], [`deployments`]: by resource

mod accounts;
mod commits;
mod deployments;
mod git;
mod pulls;
mod queue;
mod repository;
mod rules;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::Inner;
use super::state::{Repository, State};

pub(super) use accounts::selection;
pub(super) use git::CommitFacts;
pub(super) use pulls::REACTIONS;

/// Builds answers from the state; holds what URLs are made of.
pub struct Shapes<'a> {
    pub inner: &'a Inner,
    pub state: &'a State,
}

pub fn node_id(kind: &str, id: u64) -> String {
    BASE64.encode(format!("{kind}:{id}"))
}

impl Inner {
    pub(super) fn shapes<'a>(&'a self, state: &'a State) -> Shapes<'a> {
        Shapes { inner: self, state }
    }
}

impl Shapes<'_> {
    fn api(&self) -> String {
        format!("{}/api/v3", self.inner.origin())
    }

    pub fn repo_url(&self, repo: &Repository) -> String {
        format!("{}/repos/{}", self.api(), repo.full_name())
    }

    fn html(&self, repo: &Repository) -> String {
        format!("{}/{}", self.inner.origin(), repo.full_name())
    }
}

/// Puts the fields of `more` over those of `value`.
pub fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(from)) = (value, more) {
        into.extend(from);
    }
}
