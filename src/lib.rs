//! windlass hauls a change from a CI image build to a running Kubernetes
//! cluster, through pull requests: a GitHub App bot with an embedded GitOps
//! reconciler.
//!
//! Reading order, from what is decided to what is done (imports only point
//! down this list's layers; `docs/architecture.md` has the map):
//!
//! 1. [`domain`]: pure decisions
//! 2. adapters, which know the domain and not each other: [`github`], [`git`],
//!    [`render`], [`cluster`], [`registry`], [`events`], [`notifications`], [`view`];
//!    what several of them reach the world by: [`outgoing`], [`random`], and are followed by: [`traces`]
//! 3. [`controller`]: observe → decide → act, for four kinds of keys
//! 4. [`app`], [`http`], [`config`], [`telemetry`], [`cli`], [`doctor`], [`operate`], [`plan`], [`rbac`], [`setup`]
//! 5. `sandbox`, a cargo feature: what the demo and the tests stand on
//!
//! [`app`] is the composition root: the only place that spawns the loops.

#![recursion_limit = "256"]

mod domain;

mod cluster;
mod events;
mod git;
mod github;
mod notifications;
mod outgoing;
mod random;
mod registry;
mod render;
mod traces;
mod view;

mod controller;

mod app;
pub mod cli;
mod config;
mod doctor;
mod http;
mod operate;
mod plan;
mod rbac;
pub mod reference;
mod setup;
mod telemetry;

#[cfg(feature = "sandbox")]
pub mod sandbox;

/// What stories and benchmarks judge by.
#[doc(hidden)]
pub mod judged_by {
    pub use crate::cluster::store::definitions;
    pub use crate::domain::applying::merge_key;
    pub use crate::domain::command::{COMMANDS, Spec};
    pub use crate::domain::health;
    pub use crate::domain::manifest::{ResourceKey, without_server_fields};
    pub use crate::domain::mask::{Mask, Masked};
    pub use crate::domain::plan::{Action, Change, Confidence, Notes, matches_prediction};
    pub use crate::domain::yaml;
    pub use crate::domain::{Live, OWNER_LABEL, TargetKey};
    pub use crate::github::{Lane, Limiter};
    pub use crate::render::run::{
        Job, MOST_TIME, Program, Programs, Runner, Trouble, Trust, resident,
    };
}
