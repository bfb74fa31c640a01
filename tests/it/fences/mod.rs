//! Attacks: what people may not reach, decide or stop. `docs/security.md` says
//! which story stands for which attacker.
//!
//! - `access`: who may reach which repositories, namespaces and kinds
//! - `approvals`: who may decide: approvals, owners, policies, verdicts
//! - `commands`: who may command, and how often a command counts
//! - `messages`: windlass's comments, branches and names are its own; what it says is whole and tells no secret
//! - `availability`: nothing takes the service down: budgets, crashes, restarts

mod access;
mod approvals;
mod availability;
mod commands;
mod messages;

use http::Method;
use serde_json::{Value, json};

use crate::support::World;

fn merge(world: &World, login: &str, number: u64) -> Value {
    world.as_user(
        login,
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    )
}
