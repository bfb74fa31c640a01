//! The stories: windlass as its own process, against a real control plane, real
//! git and the strict forge.
//!
//! One binary, so that one control plane serves all; worlds keep apart by
//! namespace. `support` has the [`support::World`]; a test is a story that ends
//! in what people would read.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]
#![expect(
    unreachable_pub,
    reason = "one test binary: nothing of it is reachable, and `pub` marks what a module shows the others"
)]

mod action;
mod chart;
mod clusters;
mod contract;
mod crash;
mod delivery;
mod deploy;
mod doctor;
mod documents;
mod fences;
mod first_plan;
mod forge;
mod gates;
mod github;
mod idle;
mod incidents;
mod notifications;
mod page;
mod paths;
mod planning;
mod presentation;
mod preview_only;
mod promotions;
mod replicas;
mod rulesets;
mod setup;
mod sign_in;
mod support;
mod syncs;
mod thread;
mod tidy;
mod traces;
mod traps;
mod truth;
mod webhooks;
