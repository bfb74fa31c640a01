//! What went wrong elsewhere, tried here: `docs/incidents.md` has the table.
//!
//! - `security`: secrets, permissions and hostile input
//! - `inventory`: objects outlive mistakes: lost inventories, other clusters, renamed applications
//! - `outages`: a cluster that refuses requests

mod inventory;
mod outages;
mod security;
