//! What goes wrong when a change is predicted by server-side apply, trap by
//! trap: what the reviewer reads, and what the sync then does. The list is in
//! `docs/traps.md`.
//!
//! - `ownership`: who holds fields: other managers, other tools, versions that are gone
//! - `server`: what the API server refuses, fills in, warns of, or does not know yet
//! - `differences`: what counts as a difference, and what of a Secret is shown
//! - `deletions`: what is deleted, and what moves to another application instead
//! - `ordering`: what a sync waits for: a pause, adoption, other applications, waves
//! - `drift`: what others change in the cluster: seen, reported or set back

mod deletions;
mod differences;
mod drift;
mod ordering;
mod ownership;
mod server;
