//! What `windlass demo` and the tests stand on: a real Kubernetes control plane
//! that can be thrown away, a GitHub-shaped forge over real git repositories,
//! and an example config repository.
//!
//! The forge imports nothing of windlass outside this folder: it is written
//! from GitHub's documents, not from what windlass happens to send.

pub mod control_plane;
pub mod demo;
pub mod example;
pub mod forge;
pub mod installation;
pub mod process;
pub mod tools;
